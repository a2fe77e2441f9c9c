"""Secrets do not show, whatever is done with them but `to_secret_bytes`."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from dataclasses import dataclass

import cbor2
import pytest

from ffem_chain.errors import FfemError
from ffem_chain.keys import grants, suites
from ffem_chain.keys.scope import Scope
from ffem_chain.keys.secret import Secret

TEXT = b"a very secret key of 32 bytes...."[:32]


@dataclass
class Holder:
    secret: Secret


def _shown(text: str) -> bool:
    return TEXT.decode() in text or TEXT.hex() in text or repr(TEXT)[2:-1] in text


def test_no_way_of_printing_shows_it() -> None:
    secret = Secret(TEXT)
    ways = [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret!a}", "%s %r" % (secret, secret)]  # noqa: UP031
    ways += [format(secret), repr([secret]), repr({"k": secret}), repr(Holder(secret))]
    ways += [repr(suites.PrivateKey(1, secret)), repr(grants.OpenedGrant(Scope(1, 1), secret))]
    assert not any(_shown(way) for way in ways)
    assert "32" not in repr(secret)  # nor its length: it may be a passphrase


def test_logging_and_exceptions_do_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("opened %s with %r", Secret(TEXT), suites.PrivateKey(1, Secret(TEXT)))
    assert not _shown(caplog.text)
    try:
        raise ValueError("failed", Secret(TEXT))
    except ValueError as error:
        assert not _shown("".join(traceback.format_exception(error)))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_not_pickled(protocol: int) -> None:
    for what in (Secret(TEXT), Holder(Secret(TEXT)), suites.PrivateKey(1, Secret(TEXT))):
        with pytest.raises(TypeError):
            pickle.dumps(what, protocol)


def test_it_is_not_copied_or_serialised() -> None:
    secret = Secret(TEXT)
    for attempt in (copy.copy, copy.deepcopy, json.dumps, cbor2.dumps, hash, vars, bytes, bytearray):
        with pytest.raises((TypeError, cbor2.CBOREncodeError, FfemError)):
            attempt(secret)


def test_comparison_is_by_content_and_only_with_secrets() -> None:
    assert Secret(TEXT) == Secret(bytearray(TEXT))
    assert Secret(TEXT) != Secret(TEXT[:-1])
    assert Secret(TEXT) != TEXT
    assert Secret.random() != Secret.random()


def test_only_bytes_are_secrets() -> None:
    for wrong in (32, "text", None, [1, 2]):
        with pytest.raises(TypeError):
            Secret(wrong)  # 32 would be a key of zeros


def test_its_bytes_are_its_own() -> None:
    data = bytearray(TEXT)
    secret = Secret(data)
    data[:] = bytes(32)
    assert secret.to_secret_bytes() == TEXT
