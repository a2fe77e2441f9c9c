"""Where a face looks, and the square that the flow takes: alignment, pose, turning to the front and back."""
