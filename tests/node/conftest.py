"""The model, the detector and the photo of the tests of faces."""

from __future__ import annotations

from faces.conftest import detector, model, photo

__all__ = ["detector", "model", "photo"]
