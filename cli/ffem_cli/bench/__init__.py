"""`ffem bench`: what the path of a photo, the envelopes and the transactions cost on this machine."""
