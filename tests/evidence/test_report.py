"""The report of `ffem eval all`, on sections made up here: what is kept, what is done again, what a failure costs."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ffem_chain.errors import ChainUnavailable, InputError
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import load_model
from ffem_cli.eval.cache import Cache
from ffem_cli.eval.sealing import Camera
from ffem_cli.evidence import sections
from ffem_cli.evidence.report import inputs, run, saved
from ffem_cli.evidence.report.pages import Pages
from ffem_cli.evidence.report.run import Report
from ffem_cli.evidence.result import Claim, Plot, Result, Series, Sheet, Table, Text
from ffem_cli.evidence.setting import Setting
from tests.support.cli import ffem

PNG = b"\x89PNG\r\n\x1a\nnot much of a picture"
NAN = float("nan")
PAGES = Pages()  # of all tests: each plot is drawn once


def result(seed: int) -> Result:
    return Result(
        {"share": NAN, "seed": seed},
        {"photos": 3},
        (
            Text("It works.\n\nFor some."),
            Table("Shares", ("cover", "share"), (("black", "0 %"), ("none", None))),
            Plot("shares", "Shares", "bars", "", "", (Series("a", ("x", "y"), (0.5, NAN), (0.4, 0), (0.6, 1)),)),
            Sheet("sheet", "Nobody", PNG),
        ),
        (Claim("It holds", "1", "1", True), Claim("It does not", "1", "2", False)),
    )


@dataclass
class Made:
    """A section that counts how often it measured, and what it shall do instead."""

    TITLE: str
    QUESTION: str = "Does it work?"
    NEEDS: tuple[str, ...] = ("lfw",)
    calls: int = 0
    instead: Callable[[], None] = lambda: None

    def measure(self, setting: Setting) -> Result:
        self.calls += 1
        self.instead()
        setting.say("measuring", 1)
        return result(setting.seed)


@pytest.fixture(scope="module")
def camera() -> Camera:
    return Camera(load_model("ffem-64"), CenterFace())


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Made]:
    """Three sections in place of the real ones."""
    found = {name: Made(name.capitalize()) for name in ("one", "two", "three")}
    monkeypatch.setattr(sections, "NAMES", tuple(found))
    monkeypatch.setattr(sections, "section", found.__getitem__)
    monkeypatch.setattr(inputs, "code", lambda name: name)  # who works on the source meanwhile does no harm
    return found


@pytest.fixture
def setting(tmp_path: Path, camera: Camera) -> Setting:
    (tmp_path / "data" / "lfw").mkdir(parents=True)
    (tmp_path / "data" / "lfw" / "photo.jpg").write_bytes(b"a photo")
    (tmp_path / "models").mkdir()
    return Setting(tmp_path / "data", camera, tmp_path / "models", Cache(None), lambda what, done: None)


def go(setting: Setting, out: Path, only: tuple[str, ...] = ()) -> Report:
    run.prepare(out, force=False)
    return run.run(run.chosen(only), setting, out, "ffem eval all", PAGES, setting.say)


def states(report: Report) -> list[str]:
    return [entry.state for entry in report.entries]


def calls(made: dict[str, Made]) -> list[int]:
    return [section.calls for section in made.values()]


def test_everything_is_written_and_kept(made: dict[str, Made], setting: Setting, tmp_path: Path) -> None:
    out = tmp_path / "report"
    assert states(go(setting, out)) == ["measured"] * 3
    names = {path.name for path in out.iterdir()}
    per = ["{}.json", "{}-shares.svg", "{}-sheet.png"]
    assert names == {"index.html", "README.md", "report.json"} | {f.format(name) for f in per for name in made}
    document = json.loads((out / "one.json").read_bytes())
    assert document["data"] == {"share": None, "seed": 1} and document["record"] == {"photos": 3}
    assert (out / "one-sheet.png").read_bytes() == PNG
    whole = json.loads((out / "report.json").read_bytes())
    assert len(whole["claims"]) == 6 and "numpy" in whole["environment"]["versions"]
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert states(go(setting, out)) == ["kept"] * 3 and calls(made) == [1, 1, 1]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before, "the same bytes"


def test_what_changed_is_measured_again(made: dict[str, Made], setting: Setting, tmp_path: Path) -> None:
    out = tmp_path / "report"
    go(setting, out)
    for at, other in enumerate((replace(setting, seed=2), replace(setting, seed=2, small=True)), 2):
        assert states(go(other, out)) == ["measured"] * 3 and calls(made) == [at] * 3
    (setting.data / "lfw" / "another.jpg").write_bytes(b"one more")
    made["two"].NEEDS = ()
    assert states(go(other, out)) == ["measured"] * 3
    (setting.data / "lfw" / "last.jpg").write_bytes(b"one more")
    assert states(go(other, out)) == ["measured", "kept", "measured"]
    assert states(go(replace(other, retrain=True), out)) == ["measured"] * 3
    # what was trained anew serves whoever did not ask for that
    assert states(go(other, out)) == ["kept"] * 3


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b"edited", None])
def test_damage_is_found(made: dict[str, Made], setting: Setting, tmp_path: Path, damage: bytes | None) -> None:
    out = tmp_path / "report"
    go(setting, out)
    good = (out / "two.json").read_bytes()
    if damage is None:
        (out / "two-sheet.png").write_bytes(PNG[:-1])
    elif damage == b"edited":
        assert b'"0 %"' in good
        (out / "two.json").write_bytes(good.replace(b'"0 %"', b'"1 %"'))
    else:
        (out / "two.json").write_bytes(damage)
    assert states(go(setting, out)) == ["kept", "measured", "kept"]
    made_again, before = (json.loads(one) for one in ((out / "two.json").read_bytes(), good))
    assert {**made_again, "made": 0, "sha256": 0} == {**before, "made": 0, "sha256": 0} and (
        out / "two-sheet.png"
    ).read_bytes() == PNG


def test_a_failure_is_told_and_the_others_go_on(made: dict[str, Made], setting: Setting, tmp_path: Path) -> None:
    out = tmp_path / "report"

    def fail() -> None:
        raise InputError(f"{setting.data} has no folder <moon>", "look elsewhere")

    made["two"].instead = fail
    report = go(setting, out)
    assert states(report) == ["measured", "failed", "measured"] and str(setting.data) in report.errors[0].message
    for name in ("index.html", "README.md"):
        text = (out / name).read_text("utf-8")
        assert "could not be measured: DIR has no folder &lt;moon&gt; (look elsewhere)" in text
        assert str(setting.data) not in text
    # a run of the others leaves it told; its own run puts it right
    assert states(go(setting, out, ("one",))) == ["kept", "failed", "kept"]
    made["two"].instead = lambda: None
    assert states(go(setting, out, ("two",))) == ["kept", "measured", "kept"]
    assert "could not be measured" not in (out / "index.html").read_text("utf-8")
    # an outcome that was there stays beside a later failure
    made["two"].instead = fail
    later = go(replace(setting, seed=9), out, ("two",))
    assert states(later) == ["earlier", "failed", "earlier"] and later.entries[1].saved is not None
    assert "measured earlier, with other inputs" in (out / "index.html").read_text("utf-8")


def test_faults_cost_their_section_only(made: dict[str, Made], setting: Setting, tmp_path: Path) -> None:
    def divide() -> None:
        raise ZeroDivisionError("by zero")

    made["one"].instead = divide
    report = go(setting, tmp_path / "report")
    assert states(report) == ["failed", "measured", "measured"]
    assert report.errors[0].exit_status == 1 and "ZeroDivisionError" in report.errors[0].message


def test_an_interrupted_run_goes_on(made: dict[str, Made], setting: Setting, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    made["two"].instead = interrupt
    with pytest.raises(KeyboardInterrupt):
        go(setting, tmp_path / "report")
    assert "not measured yet" in (tmp_path / "report" / "index.html").read_text("utf-8")
    made["two"].instead = lambda: None
    assert states(go(setting, tmp_path / "report")) == ["kept", "measured", "measured"] and calls(made) == [1, 2, 1]


def test_a_full_disk_is_one_error(
    made: dict[str, Made], setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report"
    go(setting, out, ("one",))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(saved.DiskFull, match="no space is left"):
        patch.setattr("os.fsync", full)
        go(setting, out)
    assert not [path for path in out.iterdir() if path.name.startswith(".")], "nothing half-written stays"
    assert states(go(setting, out)) == ["kept", "measured", "measured"]

    def fill() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "vectors.npy")

    made["one"].instead = fill
    with pytest.raises(saved.DiskFull, match=r"vectors\.npy"):
        go(replace(setting, seed=2), out)


def test_pictures_of_an_earlier_report_go(made: dict[str, Made], setting: Setting, tmp_path: Path) -> None:
    out = tmp_path / "report"
    go(setting, out)
    (out / "mine.png").write_bytes(b"not the report's")
    document = json.loads((out / "report.json").read_bytes())
    document["files"] += ["../data/lfw/photo.jpg", "one-former.svg"]
    (out / "report.json").write_text(json.dumps(document))
    (out / "one-former.svg").write_text("<svg/>")
    go(setting, out)
    assert not (out / "one-former.svg").exists() and (out / "mine.png").exists()
    assert (setting.data / "lfw" / "photo.jpg").exists()


def test_the_command(made: dict[str, Made], setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFEM_HOME", str(tmp_path / "home"))
    out = tmp_path / "report"
    head = ["--model", "ffem-64", "--pose", "landmarks", "--model-cache", tmp_path / "models", "eval", "all"]
    words = [*head, "--data", setting.data, "--out", out, "--json"]

    def silent() -> None:
        raise ChainUnavailable("nobody answers", "wait")

    made["three"].instead = silent
    done = ffem([*words, "--only", "three, one"])
    assert done.status == ChainUnavailable.exit_status and done.error["error"] == "nobody answers"
    assert [one["state"] for one in done.data["sections"]] == ["measured", "waiting", "failed"]
    assert [claim["holds"] for claim in done.data["claims"]] == [True, False]
    command = json.loads((out / "one.json").read_bytes())["made"]["command"]
    assert command == "ffem --model ffem-64 --pose landmarks eval all --data DIR --out OUT --seed 1 --only one"
    done = ffem([*words, "--only", "one,four"])
    assert done.status == 3 and "'four'" in done.err and "one, two, three" in done.err
    assert ffem([*words, "--only", ","]).status == 3
    # a folder with something else in it, a file, a folder of data that is not there
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "README.md").write_text("mine")
    words[words.index(out)] = foreign
    assert ffem(words).status == 3 and (foreign / "README.md").read_text() == "mine"
    assert ffem([*words, "--only", "one", "--force"]).status == 0 and (foreign / "index.html").exists()
    words[words.index(foreign)] = setting.data / "lfw" / "photo.jpg"
    assert ffem(words).status == 3
    assert ffem([*head, "--data", tmp_path / "absent", "--out", out]).status == 3


def test_every_section_is_there_and_says_what_it_asks() -> None:
    for name in sections.NAMES:
        section = sections.section(name)
        assert section.TITLE and section.QUESTION.endswith("?") and isinstance(section.NEEDS, tuple), name
        assert callable(section.measure) and len(inputs.code(name)) == 16
    assert len({inputs.code(name) for name in sections.NAMES}) == len(sections.NAMES), "each has a source of its own"
