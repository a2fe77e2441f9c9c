"""`ffem init` and `ffem config`: folder, profile, wallet, vault."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ffem_chain.errors import InputError
from ffem_cli import config, shell
from ffem_cli.output import Answer, Table
from ffem_cli.session import Session

_HIDDEN = "/..."


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    shell.command(app, "init", example="ffem init --profile alice --devnet", new_profile=True)(init)
    group = shell.group("config", "Show and change settings.")
    shell.command(group, "show", example="ffem config show --json")(show)
    shell.command(group, "set", example="ffem config set store http://127.0.0.1:5001")(set_value)
    shell.command(group, "unset", example="ffem config unset store")(unset)
    shell.command(group, "profiles", example="ffem config profiles")(list_profiles)
    shell.command(group, "use", example="ffem config use alice")(use)
    app.add_typer(group)


def init(
    session: Session,
    import_key: Annotated[
        bool, typer.Option("--import", help="Import a private key (FFEM_PRIVATE_KEY_FILE or a prompt).")
    ] = False,
    devnet: Annotated[
        bool, typer.Option("--devnet", help="Use the running devnet, and let it fund the wallet.")
    ] = False,
) -> Answer:
    """Make what is missing: folder, profile, wallet and vault. Safe to repeat; nothing is overwritten.

    Settings given before `init` (ffem --store ... init) are written to the profile. One passphrase protects wallet
    and vault: FFEM_PASSPHRASE_FILE, FFEM_PASSPHRASE or a prompt.
    """
    from ffem_cli.making import fund, make_wallet, new_account

    settings = session.config
    changes = {
        name: value for name, value in settings.values.items() if settings.source.get(name, "").startswith("option")
    }
    net = None
    if devnet:
        from ffem_devnet.devnet import status

        net = status(settings.home / "devnet")
        if not net.running or not net.url or not net.registry:
            raise InputError("no devnet is running", "ffem devnet up")
        changes |= {"rpc_url": net.url, "registry": net.registry, "from_block": 0}
        if net.ipfs_running and net.ipfs_url and settings.source["store"] == "default":
            changes["store"] = net.ipfs_url
    account = new_account(import_key=True) if import_key else None
    made = make_wallet(session, account)
    config.save(settings, changes)
    address = session.address()
    funded = net is not None and fund(net.url or "", net.accounts[0], address, settings.number("timeout"))
    data: dict[str, Any] = {
        "home": settings.home,
        "profile": settings.profile,
        "wallet": settings.text("wallet"),
        "address": address,
        "made": made,
        "settings": {name: shown(name, value) for name, value in changes.items()},
        "funded": funded,
    }
    words = [f"{settings.home}: profile {settings.profile}, wallet {settings.text('wallet')} {address}"]
    words.append(f"made: {', '.join(made)}" if made else "wallet and vault were there already")
    if funded:
        words.append("the devnet has funded the wallet")
    session.out.note("\n".join(("next:", *(f"  {line}" for line in _next(session, devnet)))))
    return Answer(data, words)


def _next(session: Session, devnet: bool) -> list[str]:
    """Commands that make sense after `init`."""
    flag = "" if session.config.profile == config.DEFAULT_PROFILE else f" --profile {session.config.profile}"
    lines = [f"ffem wallet backup{flag} FILE      a lost wallet or vault cannot be made again"]
    if not devnet and not session.config.text("registry"):
        lines += [
            f"ffem devnet up{flag}               a chain on this machine, and",
            f"ffem init --devnet{flag}           ether of it for this wallet; or",
            f"ffem deploy{flag}                  a registry on your chain (ffem config set rpc_url URL)",
        ]
    return [*lines, f"ffem key register{flag}", f"ffem album create{flag} NAME", f"ffem doctor{flag}"]


def shown(name: str, value: object) -> object:
    """A setting as it may be printed: of a URL, not what may hold an access key."""
    if name in ("rpc_url", "store") and str(value).startswith("http"):
        from urllib.parse import urlsplit

        parts = urlsplit(str(value))
        place = parts.netloc.rpartition("@")[2]
        more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
        return f"{parts.scheme}://{place}{_HIDDEN if more else ''}"
    return value


def show(
    session: Session,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show URLs whole, with access keys in them.")] = False,
) -> Answer:
    """Show every setting in force and where it comes from."""
    settings = session.config
    values = {name: value if reveal else shown(name, value) for name, value in settings.values.items()}
    rows = [(name, value, settings.source[name], config.BY_NAME[name].variable) for name, value in values.items()]
    data = {
        "file": settings.path,
        "profile": settings.profile,
        "settings": values,
        "source": settings.source,
    }
    table = Table(("setting", "value", "from", "variable"), rows)
    return Answer(data, (f"{settings.path}, profile {settings.profile}", table))


def _setting(name: str) -> config.Setting:
    key = name.replace("-", "_")
    if key not in config.BY_NAME:
        raise InputError(f"there is no setting {name!r}", f"settings: {', '.join(config.BY_NAME)}")
    return config.BY_NAME[key]


def set_value(
    session: Session,
    name: Annotated[str, typer.Argument(help="Setting, see `ffem config show`.")],
    value: Annotated[str, typer.Argument(help="Its new value.")],
) -> Answer:
    """Write one setting to the profile."""
    setting = _setting(name)
    parsed = setting.parse(value, "argument")
    config.save(session.config, {setting.name: parsed})
    public = shown(setting.name, parsed)
    data = {"profile": session.config.profile, "setting": setting.name, "value": public}
    return Answer(data, (f"profile {session.config.profile}: {setting.name} = {public}",))


def unset(session: Session, name: Annotated[str, typer.Argument(help="Setting, see `ffem config show`.")]) -> Answer:
    """Remove one setting from the profile; its default applies again."""
    setting = _setting(name)
    config.change(
        session.config, lambda data: data["profiles"].setdefault(session.config.profile, {}).pop(setting.name, None)
    )
    data = {"profile": session.config.profile, "setting": setting.name, "value": None}
    return Answer(data, (f"profile {session.config.profile}: {setting.name} is unset",))


def list_profiles(session: Session) -> Answer:
    """List the profiles."""
    found = config.profiles(session.config.home)
    rows = [
        ("*" if name == session.config.profile else "", name, section.get("wallet", name), section.get("registry", ""))
        for name, section in sorted(found.items())
    ]
    data = {"profile": session.config.profile, "profiles": sorted(found)}
    return Answer(data, (Table(("", "profile", "wallet", "registry"), rows, "there is no profile yet: ffem init"),))


def use(session: Session, name: Annotated[str, typer.Argument(help="Name of the profile.")]) -> Answer:
    """Choose the profile that is used where none is named."""
    config.load(name, {})
    config.change(session.config, lambda data: data.update(profile=name))
    return Answer({"profile": name}, (f"profile {name} is used from now on",))
