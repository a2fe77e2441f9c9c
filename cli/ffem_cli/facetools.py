"""What finds, turns, encodes and decodes faces, as the settings or an option of a command name it.

Everything is imported when it is first asked for: most commands need neither torch nor OpenCV.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ffem_chain.errors import MissingExtra
from ffem_cli.config import BY_NAME, Config

if TYPE_CHECKING:
    from ffem_chain.capture.model import Capture
    from ffem_chain.faces.finding.detect import Detector
    from ffem_chain.faces.flow.weights import Model
    from ffem_chain.faces.posing.pose import PoseEstimator

_LARGEST_WEIGHTS = 256 << 20


class FaceTools:
    """The models and plug-ins of the settings."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def model_cache(self) -> Path:
        """Folder of third-party models."""
        from ffem_chain.faces import modelcache

        given = self.config.text("model_cache")
        return Path(given).expanduser() if given else modelcache.default_folder()

    def model(self, weights: Path | None = None, name: str | None = None) -> Model:
        """The flow of the setting, of a `name` that a command's option gave, or from a file of weights. Raises
        MissingExtra where torch or OpenCV is not installed."""
        with _faces_installed():
            import cv2  # noqa: F401 - needed as soon as the flow is

            from ffem_chain.faces.flow.weights import load_bytes, load_model
        if weights is not None:
            from ffem_chain.keys.files import read_file

            return load_bytes(read_file(weights, "weights", _LARGEST_WEIGHTS), weights.stem)
        return load_model(self._chosen("model", name))

    def model_of(self, capture: Capture) -> Model:
        """The flow that sealed `capture`, whatever the setting says. Raises like `model`, and NotForMe where that model
        is not shipped with this version."""
        with _faces_installed():
            import cv2  # noqa: F401 - needed as soon as the flow is

            from ffem_chain.faces.flow.weights import model_of
        return model_of(capture.manifest.model_id)

    def detector(self, name: str | None = None) -> Detector:
        """What finds faces: `name` as a command's option gave it, or the setting. Raises MissingExtra like `model`, and
        where a plug-in's model is not on this machine."""
        chosen = self._chosen("detector", name)
        with _faces_installed():
            from ffem_chain.faces.finding.detectors import detector

            return detector(chosen, self.model_cache())

    def pose(self, name: str | None = None) -> PoseEstimator:
        """What tells where a face looks, chosen and raising like `detector`."""
        chosen = self._chosen("pose", name)
        with _faces_installed():
            from ffem_chain.faces.posing.pose import pose_estimator

            return pose_estimator(chosen, self.model_cache())

    def _chosen(self, setting: str, option: str | None) -> str:
        """A setting, which an option of the command overrides. Raises InputError."""
        if option is None:
            return self.config.text(setting)
        return str(BY_NAME[setting].parse(option, f"option --{setting}"))


@contextmanager
def _faces_installed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"this needs {error.name}, which is not installed", "pip install 'ffem-chain[faces]'"
        ) from None
