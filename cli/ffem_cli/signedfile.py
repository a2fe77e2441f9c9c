"""Files of signed calls: one a line, so that each can travel by itself, by mail or as a QR code."""

from __future__ import annotations

from pathlib import Path

from ffem_chain.chain.signed import MAX_BYTES, Call
from ffem_chain.errors import FormatError, InputError
from ffem_chain.keys.files import read_file, write_private
from ffem_cli.output import Answer, count, instant, moment

MOST_CALLS = 64


class SignedFile:
    """What one command signs instead of sending it. `path` None: nowhere to put it, so that signing is refused."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.calls: list[Call] = []

    def keep(self, call: Call) -> None:
        """Add a call to the file, which the first one makes. Raises InputError where there is none to write to, or one
        already."""
        if self._path is None:
            raise InputError("the key of this wallet is elsewhere: it cannot send this", "add --sign-only FILE")
        lines = b"".join(one.to_json() + b"\n" for one in (*self.calls, call))
        write_private(self._path, lines, replace=bool(self.calls))
        self.calls.append(call)

    def answer(self) -> Answer:
        """What was signed, or waits to be."""
        signed = all(call.signature for call in self.calls)
        data = {"file": self._path, "signed": signed, "calls": [described(call) for call in self.calls]}
        until = moment(min(call.deadline for call in self.calls))
        state = "signed" if signed else "NOT signed yet"
        lines = [f"{self._path}: {count(len(self.calls), 'call')}, {state}, good until {until}"]
        if signed:
            lines.append(f"  anybody can send it: ffem relay submit {self._path}")
        else:
            lines.append(f"  what its wallet has to sign: ffem relay typed-data {self._path}")
        return Answer(data, lines)


def described(call: Call) -> dict[str, object]:
    """A call for JSON."""
    return {
        "call": call.kind.name,
        "id": call.digest,
        "signer": call.signer,
        "nonce": f"{call.nonce:064x}",
        "deadline": instant(call.deadline),
        "signed": bool(call.signature),
    }


def read_calls(path: Path) -> list[Call]:
    """The calls in a file, which a stranger may have written. Raises InputError, FormatError."""
    lines = read_file(path, "file of signed calls", MOST_CALLS * MAX_BYTES).split(b"\n")
    found = [line for line in lines if line.strip()]
    if not all(line.startswith(b"{") for line in found):
        raise FormatError(f"{path.name} is no file of signed calls", "make one: ffem --sign-only FILE COMMAND")
    if not 1 <= len(found) <= MOST_CALLS:
        raise InputError(f"{path.name} holds {len(found)} calls, not 1 to {MOST_CALLS}")
    return [Call.from_json(line) for line in found]
