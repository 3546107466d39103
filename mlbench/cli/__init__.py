"""The command ``mlbench``: arguments in, exit code out. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from mlbench.cli.arguments import parse
from mlbench.errors import ExitCode, InputError, MlbenchError
from mlbench.masking import redact

DEBUG_VARIABLE = "MLBENCH_DEBUG"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    A user's mistake is exit code 2 and one line for each problem on standard error; an error of mlbench's own kind
    is its exit code and its message; anything else is exit code 1, with a traceback only where ``MLBENCH_DEBUG`` is
    set. Ctrl-C is 130, unless the command ended in order.

    Args:
        arguments: Without the program's name; None takes them from the command line.
    """
    try:
        chosen = parse(sys.argv[1:] if arguments is None else arguments)
        code = int(chosen.run(chosen))
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say("interrupted")
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has closed it; what is left unsaid goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILURE)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a user never sees a traceback unasked
        return _failed(error)
    return code


def _failed(error: Exception) -> int:
    if os.environ.get(DEBUG_VARIABLE):
        sys.stderr.write(redact("".join(traceback.format_exception(error))))
    if isinstance(error, InputError):
        for problem in error.problems:
            _say(problem)
    elif isinstance(error, MlbenchError):
        _say(str(error))
    else:
        what = " ".join(str(error).split()) or "no message"
        _say(f"unexpected error: {type(error).__name__}: {what} (set {DEBUG_VARIABLE}=1 for the traceback)")
    return int(error.exit_code if isinstance(error, MlbenchError) else ExitCode.FAILURE)


def _say(text: str) -> None:
    sys.stderr.write(f"mlbench: {redact(text)}\n")


__all__ = ["DEBUG_VARIABLE", "main"]
