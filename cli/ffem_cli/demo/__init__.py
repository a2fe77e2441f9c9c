"""`ffem demo`: one photo, from the camera to the audit. `story.py` is sample code for the library's roles."""
