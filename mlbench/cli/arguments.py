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
_GATE = f"""\
{_OVERRIDES}
policy=no_regression and registry.promote=false hold unless given.

exit codes: 0 every constraint is met, 3 one is broken, 4 it cannot be told, 1 an arm failed, 2 wrong input,
130 interrupted
"""
_SYNC = """\
What was measured is kept below the cache directory until MLflow has it. A study goes where it was begun; credentials
come from the environment, as usual. Delivering again changes nothing. A study that was never finished is kept to be
resumed until it is discarded, which closes its runs.

exit codes: 0 everything is delivered, 1 something is not, 2 wrong input
"""
_FLAGS = frozenset({"--json", "--list", "--discard", "--dry-run", "--no-wait", "--no-browser", "--all", "--help", "-h"})
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
    overrides_allowed = given[:1] in (["run"], ["gate"])
    command, options, words = given[:1], [], []
    del given[:1]
    while given:
        argument = given.pop(0)
        if argument == "--":
            words += given
            break
        name, equals, value = argument.partition("=")
        if name in _FLAGS and given and given[0].lower() in _TRUTH:
            options += [name] if _TRUTH[given.pop(0).lower()] else []
        elif overrides_allowed and name.startswith("--") and _is_key(name[2:]) and (equals or given):
            words.append(f"{name[2:]}={value if equals else given.pop(0)}")
        elif name in _VALUED and not equals and given:
            options.append(f"{name}={given.pop(0)}")  # the value may begin with a dash
        elif name.startswith("-"):
            options.append(argument)
        else:
            words.append(argument)
    # argparse takes a list of words in one piece only; where a word is a command of its own, it comes first
    if command == ["cache"] or not words:
        return [*command, *words, *options]
    return [*command, *options, "--", *words]


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
    {
        "--overrides",
        "--config-dir",
        "--tracking-uri",
        "--experiment",
        "--output",
        "--port",
        "--model-name",
        "--alias",
        "--studies",
        "--percent",
        "--candidate",
        "--summary",
        "--junit",
        "--resume",
    }
    | {"--cache-dir", "--older-than", "--max-size"}
)


def _lazy(command: str, module: str = "mlbench.cli.commands") -> Callable[[argparse.Namespace], int]:
    """The function of a command, whose module is imported when it is called."""

    def run(chosen: argparse.Namespace) -> int:
        return int(getattr(import_module(module), command)(chosen))

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
    _study_to_run(run)
    _json(run, "print the decision record as JSON, and nothing else, on standard output")
    run.add_argument(
        "--resume",
        metavar="STUDY",
        help="go on with a study that ended before its end: run id, or name; see docs/faults.md",
    )
    run.add_argument("--dry-run", action="store_true", help="check everything and print the plan; run nothing")

    _gate(command("gate", "run a study and say for CI whether the candidate is acceptable", epilog=_GATE))
    _selfcheck(command("selfcheck", "count how often verdicts are right here, on studies whose answer is known"))

    listing = command("list", "list what there is, whether it can be used here, and why not")
    listing.add_argument("kind", nargs="?", choices=KINDS, metavar="KIND", help="one of " + ", ".join(KINDS))
    _config_dir(listing)
    _json(listing, "print a JSON object with one list per kind")

    show = command("show", "print a finished study again, read from MLflow")
    _study(show, nargs="?", default="latest")
    _tracking(show)
    _json(show, "print the study's record")

    compare = command("compare", "print several studies side by side")
    compare.add_argument("study", nargs="+", metavar="STUDY", help=_STUDY)
    _tracking(compare)
    _json(compare, "print a JSON object")

    promote = command("promote", "register a study's winner and point the alias at it", epilog=_EXIT_CODES)
    _study(promote)
    promote.add_argument("--model-name", metavar="NAME", help="registered model (default: the study's configuration)")
    promote.add_argument("--alias", metavar="NAME", help="alias to move (default: the study's configuration)")
    promote.add_argument("--dry-run", action="store_true", help="only say what would be done")
    _tracking(promote)
    _json(promote, "print what was done as a JSON object")

    rollback = command("rollback", "point the alias back at the version that the current one replaced")
    rollback.add_argument("model", metavar="MODEL", help="name of the registered model")
    rollback.add_argument("--alias", metavar="NAME", default="champion", help="alias to move (default: %(default)s)")
    rollback.add_argument("--dry-run", action="store_true", help="only say what would be done")
    _tracking(rollback)
    _json(rollback, "print what was done as a JSON object")

    report = command("report", "write a study's report pages, made again from what MLflow holds")
    _study(report, nargs="?", default="latest")
    report.add_argument("--output", metavar="DIR", default="report", help="where to write (default: %(default)s)")
    _tracking(report)
    _json(report, "print the paths of the pages as a JSON object")

    _sync(command("sync", "deliver studies that MLflow did not take when they were over", epilog=_SYNC))
    _cache(commands.add_parser("cache", help="what was built and kept: list it, make room", allow_abbrev=False))

    ui = command("ui", "open MLflow's pages on the right store; serves a local store until Ctrl-C")
    _study(ui, nargs="?", default=None)
    ui.add_argument("--port", type=int, default=5000, metavar="N", help="for a local store (default: %(default)s)")
    ui.add_argument("--no-browser", action="store_true", help="only print the address")
    _tracking(ui)
    return parser


_STUDY = "run id, the beginning of one, name of the study, or latest"


def _study(parser: argparse.ArgumentParser, **more: Any) -> None:
    default = "" if more.get("default") is None else " (default: %(default)s)"
    parser.add_argument("study", metavar="STUDY", help=_STUDY + default, **more)


def _study_to_run(parser: argparse.ArgumentParser) -> None:
    """What a command takes that runs a study."""
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="in Hydra's syntax, see below")
    parser.add_argument(
        "--overrides",
        dest="more_overrides",
        action="append",
        default=[],
        metavar="TEXT",
        help="several overrides in one text, quoted as in a shell; may be empty",
    )
    _config_dir(parser)
    _tracking(parser, "the configuration's", "the configuration's")
    _no_wait(parser)


def _gate(parser: argparse.ArgumentParser) -> None:
    _study_to_run(parser)
    parser.add_argument("--candidate", metavar="ARM", help="the variant to judge (default: every variant has to pass)")
    parser.add_argument(
        "--summary", metavar="FILE.md", help="write a Markdown summary (GITHUB_STEP_SUMMARY gets one too)"
    )
    parser.add_argument("--junit", metavar="FILE.xml", help="write JUnit XML, one test case per arm and constraint")
    _json(parser, "print the answer as JSON, and nothing else, on standard output")
    parser.set_defaults(run=_lazy("do_gate", "mlbench.cli.gate"))


def _selfcheck(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="as for run; variants are not used")
    parser.add_argument("--studies", type=positive, default=10, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument(
        "--percent", type=percentage, default=10.0, metavar="P", help="work added to the slow arm (default: 10)"
    )
    _config_dir(parser)
    _no_wait(parser)
    _json(parser, "print the result as a JSON object")
    parser.set_defaults(run=_lazy("do_selfcheck", "mlbench.cli.selfcheck"))


def _cache(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list what is kept, the most recently used first", allow_abbrev=False)
    listing.set_defaults(run=_lazy("do_cache_list"))
    _json(listing, "print a JSON array")
    prune = actions.add_parser("prune", help="remove what is kept", allow_abbrev=False)
    prune.set_defaults(run=_lazy("do_cache_prune"))
    _json(prune, "print what was removed as a JSON array")
    which = prune.add_argument_group("what to remove (at least one)")
    which.add_argument("--all", action="store_true", help="everything")
    which.add_argument("--older-than", type=duration, metavar="TIME", help="what was not used for so long: 12h, 30d")
    which.add_argument("--max-size", type=size, metavar="SIZE", help="the oldest, until the rest fits: 500MB, 2GB")
    for made in (listing, prune):
        _cache_dir(made)


def _sync(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", nargs="?", metavar="STUDY", help="run id, or the beginning of one (default: all)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="say what is kept, and deliver nothing")
    what.add_argument(
        "--discard", action="store_true", help="remove what is kept of STUDY, or of unfinished ones with --older-than"
    )
    parser.add_argument("--older-than", type=duration, metavar="TIME", help="with --discard: not touched for 12h, 30d")
    parser.add_argument("--tracking-uri", metavar="URI", help="deliver there (default: where the study was begun)")
    _cache_dir(parser)
    _json(parser, "print a JSON array")
    parser.set_defaults(run=_lazy("do_sync", "mlbench.cli.sync"))


def _no_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-wait", action="store_true", help="refuse, exit code 1, while another study is measured on this machine"
    )


def _cache_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache-dir", metavar="DIR", help="default: MLBENCH_CACHE_DIR, or ~/.cache/mlbench")


def positive(words: str) -> int:
    """A whole number of at least 1."""
    if not words.isdecimal() or int(words) < 1:
        raise argparse.ArgumentTypeError(f"{words!r} is not a whole number of at least 1")
    return int(words)


def percentage(words: str) -> float:
    """A number above 0, in percent."""
    try:
        value = float(words)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(f"{words!r} is not a percentage above 0 and up to 1000")
    return value


def duration(words: str) -> float:
    """Seconds from text such as ``12h`` or ``30d``."""
    return _amount(words, {"s": 1, "m": 60, "h": 3600, "d": 86400}, "a time such as 90s, 30m, 12h or 30d")


def size(words: str) -> int:
    """Bytes from text such as ``500MB`` or ``2GB``; multiples of 1000, of 1024 with an ``i`` as in ``GiB``."""
    units = {f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)}
    units |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)}
    return round(_amount(words, units | {"b": 1}, "a size such as 500MB or 2GB"))


def _amount(words: str, units: dict[str, int], expected: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", words.strip().lower())
    if match is None or match.group(2) not in units:
        raise argparse.ArgumentTypeError(f"{words!r} is not {expected}")
    return float(match.group(1)) * units[match.group(2)]


def _config_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="a directory of your own configuration, before the packaged one; may be repeated",
    )


def _tracking(
    parser: argparse.ArgumentParser,
    uri: str = "MLFLOW_TRACKING_URI, or MLflow's own default",
    experiment: str = "mlbench",
) -> None:
    parser.add_argument("--tracking-uri", metavar="URI", help=f"MLflow tracking URI (default: {uri})")
    parser.add_argument("--experiment", metavar="NAME", help=f"MLflow experiment (default: {experiment})")


def _json(parser: argparse.ArgumentParser, help: str) -> None:  # noqa: A002 - argparse's own word
    parser.add_argument("--json", action="store_true", help=help)
