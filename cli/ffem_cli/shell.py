"""How a function becomes a command: the options that every command has, and printing what it returns."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

import typer

from ffem_chain.errors import Pending
from ffem_cli import config
from ffem_cli.output import Answer, Output
from ffem_cli.session import Session

P = ParamSpec("P")
Result = TypeVar("Result", bound=Answer | None)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", "-p", metavar="NAME", help="Section of config.toml to use.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="The flow that encodes faces: ffem-64 or ffem-128.")
]
DetectorOption = Annotated[
    str | None, typer.Option("--detector", metavar="NAME", help="What finds faces: centerface, yolo5face or scrfd.")
]
PoseOption = Annotated[
    str | None, typer.Option("--pose", metavar="NAME", help="Where faces look: facemesh, landmarks or 3ddfa.")
]


@dataclass(frozen=True)
class Choices:
    """Names that a command's options gave; None leaves it to the setting."""

    model: str | None = None
    detector: str | None = None
    pose: str | None = None


@dataclass
class Globals:
    """What was given before the command's name."""

    as_json: bool = False
    profile: str | None = None
    sign_only: Path | None = None
    options: dict[str, object] = field(default_factory=dict)


GIVEN = Globals()


def group(name: str, text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(name=name, help=text, no_args_is_help=True, rich_markup_mode="rich")


def command(
    app: typer.Typer, name: str, *, example: str, new_profile: bool = False
) -> Callable[[Callable[Concatenate[Session, P], Result]], Callable[Concatenate[Session, P], Result]]:
    """Register a function of a session as the command `name`. Its docstring is the help, `example` the last line.

    Every command gets --json and --profile. What the function returns is printed (None: it printed line by line
    itself); errors go to `main`. With `new_profile` the profile need not exist yet.
    """

    def register(
        function: Callable[Concatenate[Session, P], Result],
    ) -> Callable[Concatenate[Session, P], Result]:
        hints = typing.get_type_hints(function, include_extras=True)
        own = list(inspect.signature(function).parameters.values())[1:]

        def run(**values: Any) -> None:
            as_json = bool(values.pop("as_json_")) or GIVEN.as_json
            profile = values.pop("profile_") or GIVEN.profile
            settings = config.load(profile, GIVEN.options, new_profile=new_profile)
            session = Session(settings, Output(as_json), sign_only=GIVEN.sign_only)
            answer: Answer | None
            try:
                answer = function(session, **values)  # type: ignore[call-arg]
            except Pending:
                if session.signed is None or not session.signed.calls:
                    raise
                # The command ended where it would have waited for the chain: what it signed is in the file.
                answer = session.signed.answer()
            if answer is None:
                return
            session.out.show(answer)
            if answer.failure is not None:
                raise answer.failure

        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [p.replace(annotation=hints[p.name], kind=keyword) for p in own]
        parameters.append(inspect.Parameter("as_json_", keyword, default=False, annotation=JsonOption))
        parameters.append(inspect.Parameter("profile_", keyword, default=None, annotation=ProfileOption))
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        run.__doc__ = inspect.cleandoc(function.__doc__ or "")
        app.command(name, epilog=f"Example: {example}")(run)
        return function

    return register
