"""`ffem eval hmdb51` on a data set made here in HMDB51's layout: two classes of moving squares beside a face."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ffem_chain.errors import FormatError, InputError
from ffem_cli.evidence.downstream import hmdb51
from tests.support.cli import Cli

from .test_downstream import movie, photo

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
CLASSES = ("push_down", "push_right")


class Motion(torch.nn.Module):
    """Where the last frame is brighter than the first, by a linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(16, classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(B, 3, T, side, side) -> (B, classes)."""
        moved = (clips[:, :, -1] - clips[:, :, 0]).mean(1)
        found: torch.Tensor = self.layer(4 * torch.nn.functional.adaptive_avg_pool2d(moved, 4).flatten(1))
        return found


def motion(classes: int) -> torch.nn.Module:
    """The factory that the command is given."""
    torch.manual_seed(1)
    return Motion(classes)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`ffem` with a home that does not exist."""
    for name in [name for name in os.environ if name.startswith("FFEM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FFEM_HOME", str(tmp_path / "home"))
    return Cli(tmp_path / "home")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips a class, two to train with: a square moves down or to the right, the astronaut looks on."""
    folder = tmp_path_factory.mktemp("hmdb51")
    (folder / hmdb51.SPLITS).mkdir()
    face = photo(256)[:140, 56:196]
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir()
        lines = []
        for number in range(4):
            file = f"Film_{number}_{name}_f_nm_np1_fr_med_{number}.avi"
            pictures = []
            for step in range(8):
                picture = np.full((200, 200, 3), 40, np.uint8)
                picture[:140, :140] = face
                place = (150 + 4 * number) // 2, 10 + 20 * step
                x, y = (place[0] + 80, place[1]) if label == 0 else (place[1], place[0] + 80)
                cv2.rectangle(picture, (x, y), (x + 30, y + 30), (250, 250, 250), -1)
                pictures.append(picture)
            movie(folder / name / file, pictures)
            lines.append(f"{file} {1 + number // 2}\n")
        (folder / hmdb51.SPLITS / f"{name}_test_split1.txt").write_text("".join(lines) + "Other_0.avi 0\n")
    return folder


def test_layout(data: Path) -> None:
    split = hmdb51.read(data, data, 1)
    assert split.classes == CLASSES
    assert [(clip.label, clip.source) for clip in split.test] == [(n, f"Film_{m}") for n in (0, 1) for m in (2, 3)]
    assert {clip.name for clip in split.train}.isdisjoint(clip.name for clip in split.test)
    assert len(hmdb51.read(data, data / hmdb51.SPLITS, 1, most=1).train) == 2
    with pytest.raises(InputError, match="holds no files"):
        hmdb51.read(data, data, 2)


def test_damaged_layout(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "push_down_test_split1.txt"
    for line in ("clip.avi 3", "clip.avi", "../clip.avi 1"):
        file.write_text(line)
        with pytest.raises(FormatError):
            hmdb51.read(data, tmp_path, 1)
    file.write_text("absent.avi 2\n")
    with pytest.raises(InputError, match="1 clips are missing"):
        hmdb51.read(data, tmp_path, 1)


def test_trained_and_tested_on_fakes(cli: Cli, data: Path, tmp_path: Path) -> None:
    words: list[object] = ["--model", "ffem-64", "--pose", "landmarks", "eval", "hmdb51", "--videos", data]
    words += ["--splits", data, "--frames", 2, "--side", 64, "--json"]
    train = ["--network", f"{__name__}:motion", "--epochs", 60, "--rate", 0.5, "--cover", "original", "--cover", "fake"]
    found = cli.ok(*words, *train, "--keep", tmp_path / "kept").data
    assert found["loss"][-1] < 0.2 < found["loss"][0] and (found["train"], found["test"]) == (4, 4)
    for cover in ("original", "fake"):
        assert found["covers"][cover]["top1"] == 1 and found["covers"][cover]["films"] == 2
    assert found["covers"]["fake"]["as_original"] == 1

    # a network of one's own that was trained elsewhere, on clips that are there already
    network = Motion(2)
    with torch.no_grad():
        network.layer.weight.zero_()
        network.layer.bias.copy_(torch.tensor([0.0, 1.0]))  # always the second class
    file = tmp_path / "network.pt"
    torch.jit.script(network).save(str(file))  # type: ignore[no-untyped-call]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()}
    assert len(kept) == 4 + 4 * 2
    tested = cli.ok(*words, "--network", file, "--cover", "fake", "--keep", tmp_path / "kept").data
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()} == kept
    assert tested["covers"]["fake"]["top1"] == 0.5 and tested["train"] == 0
    assert tested["network"] != found["network"]


def test_what_is_no_network(cli: Cli, data: Path, tmp_path: Path) -> None:
    words: list[object] = ["--model", "ffem-64", "eval", "hmdb51", "--videos", data, "--splits", data]
    (tmp_path / "text.pt").write_text("no network")
    three = tmp_path / "three.pt"
    torch.jit.script(Motion(3)).save(str(three))  # type: ignore[no-untyped-call]
    for network, message in (
        (tmp_path / "none.pt", "cannot be read"),
        (tmp_path / "text.pt", "no TorchScript file"),
        ("no_such_module:make", "there is no network"),
        (f"{__name__}:photo", "makes no torch module"),
        (three, "does not give 2 classes"),
    ):
        done = cli(*words, "--network", network, "--cover", "original")
        assert done.status in (3, 4) and message in done.err, done.err
    done = cli(*words, "--network", three, "--cover", "wax")
    assert done.status == 3 and "there is no cover 'wax'" in done.err
