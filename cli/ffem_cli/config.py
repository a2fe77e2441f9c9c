"""Settings: one file, one section a profile, an environment variable and a global option for each setting.

`FFEM_HOME/config.toml` (default: the platform's folder for user configuration):

    profile = "default"                  # the one that is used unless --profile or FFEM_PROFILE says otherwise
    [profiles.default]
    rpc_url = "http://127.0.0.1:8545"
    registry = "0x..."

Options override the environment, which overrides the file, which overrides the defaults below.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ffem_chain.errors import InputError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
DEFAULT_PROFILE = "default"
ROTATIONS = ("sphere", "block")
DETECTORS = ("centerface", "yolo5face", "scrfd")
POSES = ("facemesh", "landmarks", "3ddfa")


@dataclass(frozen=True)
class Setting:
    """One setting: its type is that of its default."""

    name: str
    default: str | int | float
    text: str

    @property
    def variable(self) -> str:
        """Environment variable that overrides it."""
        return f"FFEM_{self.name.upper()}"

    def parse(self, raw: Any, source: str) -> str | int | float:
        """The value, checked. Raises InputError naming `source`."""
        kind = type(self.default)
        try:
            value = kind(raw)
        except (TypeError, ValueError):
            value = None
        if value is None or isinstance(raw, bool | list | dict):
            words = {int: "a whole number", float: "a number", str: "text"}[kind]
            raise InputError(f"{source}: {self.name} must be {words}, not {raw!r}"[:200])
        if isinstance(value, int | float) and not 0 <= value <= 10**9:
            raise InputError(f"{source}: {self.name} is out of range")
        if problem := _problem(self.name, value):
            raise InputError(f"{source}: {problem}"[:300])
        return value


SETTINGS: tuple[Setting, ...] = (
    Setting("rpc_url", "http://127.0.0.1:8545", "JSON-RPC of the chain"),
    Setting("registry", "", "address of the registry contract"),
    Setting("store", "", "local:FOLDER, or the URL or multiaddr of an IPFS RPC (default: local, in FFEM_HOME)"),
    Setting("wallet", "", "name of the wallet in FFEM_HOME/wallets (default: the profile's name)"),
    Setting("album", "", "album for new captures where the command names none"),
    Setting("confirmations", 1, "blocks to wait for after a transaction"),
    Setting("timeout", 30.0, "seconds to wait for an answer of the chain or the store"),
    Setting("wait", 120.0, "seconds to wait for keepers"),
    Setting("from_block", 0, "block at which reading logs begins (the one of the deployment)"),
    Setting("relay", "", "URL of a relay: it sends what this wallet signs, and pays"),
    Setting("lifetime", 3600, "seconds in which a signed call can be sent"),
    Setting("external", "", "address of a wallet whose key is elsewhere: in hardware, or a contract"),
    Setting("model", "ffem-128", "flow that encodes new faces"),
    Setting("rotation", "sphere", "rotation of new captures: sphere or block"),
    Setting("detector", "centerface", "what finds faces: centerface, or a plug-in (docs/PLUGINS.md)"),
    Setting("pose", "facemesh", "what tells where a face looks: facemesh, or another (docs/PLUGINS.md)"),
    Setting("model_cache", "", "folder of third-party models (default: the platform's cache folder)"),
)
BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}


def home_folder() -> Path:
    """FFEM_HOME, or the platform's folder for this program."""
    given = os.environ.get("FFEM_HOME", "")
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_config_path("ffem", appauthor=False))


def check_name(name: str, what: str) -> str:
    """Itself, where it can be part of a file name. Raises InputError."""
    if not NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a {what}", "letters, digits, - and _, at most 64")
    return name


@dataclass(frozen=True)
class Config:
    """The settings in force. `source` says for each where it came from."""

    home: Path
    profile: str
    values: Mapping[str, str | int | float]
    source: Mapping[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A textual setting."""
        return str(self.values[name])

    def whole(self, name: str) -> int:
        """A whole number."""
        return int(self.values[name])

    def number(self, name: str) -> float:
        """A number."""
        return float(self.values[name])

    @property
    def path(self) -> Path:
        """The file."""
        return self.home / "config.toml"

    @property
    def wallets(self) -> Path:
        """Folder of wallets and vaults."""
        return self.home / "wallets"


def read_file(path: Path) -> dict[str, Any]:
    """The configuration file, {} where there is none. Raises InputError where it is not valid."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}", "correct it, or move it away") from None
    except OSError as error:
        hint = "check its permissions, or choose another folder with FFEM_HOME"
        raise InputError(f"{path} cannot be read: {error.strerror}", hint) from None
    profiles = data.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(entry, dict) for entry in profiles.values()):
        raise InputError(f"{path}: each profile is a section [profiles.NAME]")
    unknown = {name for entry in profiles.values() for name in entry} - set(BY_NAME)
    if unknown:
        raise InputError(f"{path}: there is no setting {', '.join(sorted(unknown))}", f"settings: {', '.join(BY_NAME)}")
    return data


def load(profile: str | None, options: Mapping[str, object], *, new_profile: bool = False) -> Config:
    """The settings in force; `options` as given on the command line, None where not given.

    Raises InputError for a file, variable or option that cannot be used, or a profile that does not exist
    (unless `new_profile`; the one called `default` needs no section).
    """
    home = home_folder()
    data = read_file(home / "config.toml")
    asked = profile or os.environ.get("FFEM_PROFILE", "")
    name = check_name(asked or str(data.get("profile", DEFAULT_PROFILE)), "profile")
    known = data.get("profiles", {})
    if name not in known and name != DEFAULT_PROFILE and not new_profile:
        there = f"profiles: {', '.join(sorted(known))}; " if known else ""
        raise InputError(f"there is no profile {name!r}", f"{there}make it: ffem init --profile {name}")
    section = known.get(name, {})
    values: dict[str, str | int | float] = {}
    source: dict[str, str] = {}
    for setting in SETTINGS:
        key = setting.name
        candidates = (
            (options.get(key), f"option --{key.replace('_', '-')}"),
            (os.environ.get(setting.variable) or None, setting.variable),
            (section.get(key), f"profile {name}"),
        )
        raw, where = next(((raw, where) for raw, where in candidates if raw is not None), (None, "default"))
        values[key] = setting.default if raw is None else setting.parse(raw, where)
        source[key] = where
    values["wallet"] = values["wallet"] or name
    values["store"] = values["store"] or f"local:{home / 'store'}"
    return Config(home, name, values, source)


def _problem(name: str, value: str | int | float) -> str:
    """What is wrong with a value of the right type, empty where nothing is."""
    text = str(value)
    if name == "rotation" and text not in ROTATIONS:
        return f"rotation must be {' or '.join(ROTATIONS)}"
    for kind, names in (("detector", DETECTORS), ("pose", POSES)):
        if name == kind and text not in names:
            return f"{kind} must be {', '.join(names[:-1])} or {names[-1]}"
    if name == "registry" and text and not re.fullmatch("0[xX][0-9a-fA-F]{40}", text):
        return f"{text!r} is no contract address"
    if name == "wallet" and text and not NAME.fullmatch(text):
        return f"{text!r} is no name for a wallet: letters, digits, - and _, at most 64"
    if name == "rpc_url" and not re.match("https?://[^/]", text):
        return "the RPC URL is not an http or https URL, for example http://127.0.0.1:8545"
    if name == "store" and text and not re.match("(local:.|https?://[^/]|/.)", text):
        return f"{text!r} names no store: local:FOLDER, http://127.0.0.1:5001 or /ip4/127.0.0.1/tcp/5001"
    return ""


def change(config: Config, edit: Callable[[dict[str, Any]], None]) -> None:
    """Let `edit` change the file's content (`profile`, `profiles`), under a lock.

    Raises InputError where the file cannot be written; it is then as it was.
    """
    import tomli_w
    from filelock import FileLock

    from ffem_chain.keys.files import write_private

    try:
        config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InputError(f"{config.home} cannot be made: {error.strerror}", "choose another with FFEM_HOME") from None
    with FileLock(f"{config.path}.lock"):
        data = read_file(config.path)
        data.setdefault("profile", config.profile)
        data.setdefault("profiles", {})
        edit(data)
        write_private(config.path, tomli_w.dumps(data).encode())


def save(config: Config, changes: Mapping[str, str | int | float]) -> None:
    """Write settings to the profile, which is made where it is missing; all others stay."""
    change(config, lambda data: data["profiles"].setdefault(config.profile, {}).update(changes))


def profiles(home: Path) -> dict[str, dict[str, Any]]:
    """All profiles in the file."""
    found: dict[str, dict[str, Any]] = read_file(home / "config.toml").get("profiles", {})
    return found
