"""The demo from its first act to its last, and what it leaves behind."""

from __future__ import annotations

import time
from typing import Any

from ffem_cli.demo import attempts, auditing
from ffem_cli.demo.pictures import Panel, Picture, overview, png
from ffem_cli.demo.story import Story
from ffem_cli.demo.telling import Teller
from ffem_cli.pictures import FAKE_TEMPERATURE
from ffem_cli.sandbox import Sandbox, keeping
from ffem_cli.session import Session
from ffem_cli.shell import Choices

NAMES = {
    "overview.png": "all of them side by side",
    "original.png": "what the camera saw",
    "encrypted.png": "what everybody sees, the stranger too: I_enc, the published picture",
    "fake.png": "what anybody may decode from it: fake faces",
    "opened.png": "what the recipient opened: the original pixels",
    "opened-by-flow.png": "what the same key gives through the flow alone: an approximation",
    "audit.json": "the auditor's report",
    "story.json": "everything that was printed, as data",
}


def play(session: Session, picture: Picture, store: str, choices: Choices) -> tuple[Story, dict[str, Any]]:
    """All acts on a world of their own, which is gone at the end; the story and its document."""
    teller = Teller(session.out)
    teller.line("One photo from the camera to the audit. Everything runs on this machine, in a temporary folder.")
    with Sandbox(store) as box:
        with teller.act("world", "A chain, a registry and a store") as act:
            act.working("loading the face detector and the flow")
            flow, finder = session.model(name=choices.model), session.detector(choices.detector)
            estimator = session.pose(choices.pose)
            reader = box.reader()
            act.say(
                f"Anvil at {box.url}, chain {reader.rpc.chain_id}; registry {box.address}",
                f"store: {box.store.check()}",
                chain_id=reader.rpc.chain_id,
                registry=box.address,
                deployment=reader.deployment_id,
                store=store,
            )
        story = Story(teller, box, flow, finder, estimator, picture)
        keeper = story.people()
        with keeping(keeper):
            story.seal()
            story.public()
            record = story.grant()
            opened = story.release(record)
            story.open(opened)
            attempts.stranger(story, record)
            attempts.mistake(story)
            story.revoke(record)
            attempts.replay(story, record)
        report = auditing.judge(story)
    return story, {"finished": int(time.time()), "acts": [act.document() for act in teller.acts], "audit": report}


def sheet(story: Story) -> dict[str, bytes]:
    """The demo's pictures by file name, PNG."""
    pictures = story.pictures
    fakes = "a fake face" if len(story.capture.public_faces) == 1 else "fake faces"
    whole = "the original, bit for bit" if story.identical else "every sealed face, bit for bit"
    panels = (
        Panel(pictures["original.png"], "What the camera saw", "original.png\nstays with the camera"),
        Panel(pictures["encrypted.png"], "What everybody sees", "encrypted.png (I_enc)\nthe published picture"),
        Panel(pictures["fake.png"], "What anybody may decode", f"fake.png\n{fakes}, temperature {FAKE_TEMPERATURE}"),
        Panel(pictures["opened.png"], "What the recipient opens", f"opened.png\n{whole}"),
        Panel(
            pictures["opened-by-flow.png"],
            "The same by the flow alone",
            f"opened-by-flow.png\nan approximation, PSNR {story.psnr:.1f} dB",
        ),
        Panel(pictures["encrypted.png"], "What the stranger sees", "encrypted.png\nevery attempt was refused"),
    )
    faces = [face.box for face in story.capture.public_faces if face.sealed]
    box = max(faces, key=lambda face: face.width * face.height)
    files = {"overview.png": overview(panels, (box.x, box.y, box.right, box.bottom))}
    for name, pixels in pictures.items():
        files[name] = story.capture.image_png if name == "encrypted.png" else png(pixels)
    return files
