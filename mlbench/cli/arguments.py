"""What the command line may hold, and what ``mlflow run`` makes of it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from mlbench import __version__, schema
from mlbench.config import StudyConfig
from mlbench.errors import InputError
from mlbench.listing import KINDS

_EXIT_CODES = "exit codes: 0 done, 1 failure, 2 wrong input, 3 policy not met, 4 inconclusive, 130 interrupted"
_OVERRIDES = """\
overrides follow Hydra's syntax:
  protocol=quick                     selects from a group
  protocol.trials=12                 sets a value
  'variants=[onnx_fp32,pruned]'      selects several variants
  '+variants.twin={steps: []}'       adds a variant
  '~variants.pruned'                 takes one away
"""
_FLAGS = frozenset({"--json", "--dry-run", "--no-browser", "--all", "--help", "-h"})
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The parsed command line; ``run`` holds the function of the command.

    Raises:
        InputError: ``--overrides`` holds an open quotation.
        SystemExit: As argparse does: 2 for what it cannot read, 0 for ``--help`` and ``--version``.
    """
    chosen = _parser().parse_args(arrange(arguments))
    if hasattr(chosen, "more_overrides"):
        chosen.overrides += [text for line in chosen.more_overrides for text in split(line)]
    return chosen


def arrange(arguments: Sequence[str]) -> list[str]:
    """Arguments as argparse takes them, from arguments as ``mlflow run`` passes them.

    ``mlflow run -P protocol.trials=6`` arrives as ``--protocol.trials 6`` and becomes the override
    ``protocol.trials=6``; ``-P dry-run=true`` arrives as ``--dry-run true`` and becomes ``--dry-run``.
    """
    given = list(arguments)
    overrides_allowed = given[:1] == ["run"]
    arranged: list[str] = []
    while given:
        argument = given.pop(0)
        if argument == "--":
            return [*arranged, argument, *given]
        name, equals, value = argument.partition("=")
        if name in _FLAGS and given and given[0].lower() in _TRUTH:
            arranged += [name] if _TRUTH[given.pop(0).lower()] else []
        elif overrides_allowed and name.startswith("--") and _is_key(name[2:]) and (equals or given):
            arranged.append(f"{name[2:]}={value if equals else given.pop(0)}")
        elif name in _VALUED and not equals and given:
            arranged.append(f"{name}={given.pop(0)}")  # the value may begin with a dash
        else:
            arranged.append(argument)
    return arranged


def _is_key(name: str) -> bool:
    """Whether an option's name is a key of the configuration, such as ``protocol.trials``."""
    return f"--{name}" not in _VALUED and re.split(r"[./]", name, maxsplit=1)[0] in schema.fields(StudyConfig)


def split(line: str) -> list[str]:
    """One text as several overrides: split at blanks, except between quotation marks and inside brackets.

    Quotation marks and backslashes mean what they mean in a shell, but inside brackets they are left to Hydra.

    >>> split("protocol=quick name='my study' +variants.twin={steps: []}")
    ['protocol=quick', 'name=my study', '+variants.twin={steps: []}']

    Raises:
        InputError: A quotation is left open.
    """
    words: list[str] = []
    word: str | None = None
    quote, depth, escaped = "", 0, False
    for sign in line:
        literal = escaped or (quote and sign != quote and not (sign == "\\" and quote == '"'))
        escaped = False
        if literal:
            word = (word or "") + sign
        elif sign == "\\":
            escaped = True
            word = (word or "") + (sign if depth else "")
        elif sign in "'\"":
            quote = "" if quote else sign
            word = (word or "") + (sign if depth else "")
        elif sign.isspace() and not depth:
            words += [] if word is None else [word]
            word = None
        else:
            depth = max(0, depth + (sign in "[{") - (sign in "]}"))
            word = (word or "") + sign
    if quote or escaped:
        what = f"the quotation {quote} is never closed" if quote else "a backslash stands at the end"
        raise InputError(f"--overrides: {what}: {line}")
    return words if word is None else [*words, word]


# ---------------------------------------------------------------------------------------------------------------------
# the parser

_VALUED = frozenset(
    {"--overrides", "--config-dir", "--tracking-uri", "--experiment", "--output", "--port", "--alias"}
    | {"--older-than", "--max-size"}
)


def _lazy(command: str) -> Callable[[argparse.Namespace], int]:
    """The function of a command, whose module is imported when it is called."""

    def run(chosen: argparse.Namespace) -> int:
        return int(getattr(import_module("mlbench.cli.commands"), command)(chosen))

    return run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mlbench",
        description="Decides, with evidence, which variant of a model to ship, and leaves the evidence in MLflow.",
        epilog=_EXIT_CODES,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mlbench {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, help: str, **more: Any) -> argparse.ArgumentParser:  # noqa: A002 - argparse's own word
        made: argparse.ArgumentParser = commands.add_parser(
            name,
            help=help,
            description=help[0].upper() + help[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **more,
        )
        made.set_defaults(run=_lazy(f"do_{name}"))
        return made

    run = command("run", "run a study: build, measure, decide, record", epilog=f"{_OVERRIDES}\n{_EXIT_CODES}")
    run.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="in Hydra's syntax, see below")
    run.add_argument(
        "--overrides",
        dest="more_overrides",
        action="append",
        default=[],
        metavar="TEXT",
        help="several overrides in one text, quoted as in a shell; may be empty",
    )
    _config_dir(run)
    _tracking(run, "the configuration's")
    _json(run, "print the decision record as JSON, and nothing else, on standard output")
    run.add_argument("--dry-run", action="store_true", help="check everything and print the plan; run nothing")

    listing = command("list", "list what there is, whether it can be used here, and why not")
    listing.add_argument("kind", nargs="?", choices=KINDS, metavar="KIND", help="one of " + ", ".join(KINDS))
    _config_dir(listing)
    _json(listing, "print a JSON object with one list per kind")
    return parser


def _config_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="a directory of your own configuration, before the packaged one; may be repeated",
    )


def _tracking(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--tracking-uri", metavar="URI", help=f"MLflow tracking URI (default: {default})")
    parser.add_argument("--experiment", metavar="NAME", help=f"MLflow experiment (default: {default})")


def _json(parser: argparse.ArgumentParser, help: str) -> None:  # noqa: A002 - argparse's own word
    parser.add_argument("--json", action="store_true", help=help)
