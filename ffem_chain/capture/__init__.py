"""The sealed capture: its four files, and the exact layer that gives the original pixels back."""
