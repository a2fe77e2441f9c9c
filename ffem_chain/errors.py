"""Errors that a user can act on. Each says what happened and what to do, and has an exit status of its own.

The command line prints `message` and then `hint` to stderr and leaves with `exit_status`; nothing else maps
exceptions to statuses. Messages never hold key material.
"""

from __future__ import annotations


class FfemError(Exception):
    """Base of all errors that are the user's to solve."""

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(FfemError):
    """An argument, setting or picture that cannot be used (no face, damaged file, too large)."""

    exit_status = 3


class FormatError(FfemError):
    """Bytes that do not follow their format: damaged, truncated, oversized or of an unknown version."""

    exit_status = 4


class NotForMe(FfemError):
    """An envelope, grant or keystore that is for somebody else."""

    exit_status = 5


class Tampered(FfemError):
    """Bytes that fail authentication, or do not match the digest that the chain records."""

    exit_status = 6


class Refused(FfemError):
    """The chain refuses: revoked, expired, not granted, stale key version, not the owner."""

    exit_status = 7


class ChainUnavailable(FfemError):
    """The RPC does not answer, or answers for another chain or contract."""

    exit_status = 8


class StoreUnavailable(FfemError):
    """The store does not answer or does not have the content."""

    exit_status = 9


class Pending(FfemError):
    """Not done yet, and not wrong: a keeper has not answered, confirmations are missing. Try again later."""

    exit_status = 10


class MissingExtra(FfemError):
    """A part that was left out at installation (`pip install 'ffem-chain[faces]'`)."""

    exit_status = 11
