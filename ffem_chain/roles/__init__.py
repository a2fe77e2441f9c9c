"""What an owner and a recipient do, on top of keys, chain, capture and stores. No command line, no output."""
