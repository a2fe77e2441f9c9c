"""What is drawn over a box: the cover of I_enc, fills, heads and tones of fakes."""
