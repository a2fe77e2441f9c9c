"""Where the faces of a picture are: detectors and their plug-ins."""
