"""The shipped model, the real detector, and one photo (a NASA portrait in the public domain, from scikit-image)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import Model, load_model

from .support import SealedPicture, seal


@pytest.fixture(scope="session")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="session")
def detector() -> CenterFace:
    return CenterFace()


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    """One frontal face, 512 x 512 px."""
    picture = np.ascontiguousarray(data.astronaut())
    picture.flags.writeable = False
    return picture


@pytest.fixture(scope="session")
def sealed(photo: NDArray[np.uint8], model: Model, detector: CenterFace) -> SealedPicture:
    """The photo, sealed with `sphere`."""
    return seal(photo, model, detector)
