"""The commands, one module an area. Each has `add_to(app)`."""
