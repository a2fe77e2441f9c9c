"""Evidence: every figure that the project claims, made by one command (`ffem eval all`), a section a module."""
