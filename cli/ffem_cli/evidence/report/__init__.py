"""The report of `ffem eval all`: runs the sections, keeps their outcomes, and makes the pages that people read."""
