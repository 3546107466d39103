"""Which interpreter a worker runs on: this one, or one of the arm's own that has its runtime in another version.

Such an interpreter needs numpy and the runtime's library. mlbench itself is lent to it, from where it lies here and
without anything that lies beside it, so that the arm's libraries are the interpreter's own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from mlbench.errors import WorkerError
from mlbench.records import Arm, Collation, RuntimeSettings
from mlbench.runtimes.loading import check_available

EXAMINER = "mlbench.measurement.examine"
_PACKAGE = Path(__file__).resolve().parents[1]
_TIMEOUT_S = 300.0
_LEND = (
    "import importlib.util as u, runpy, sys; place = sys.argv.pop(1); "
    "s = u.spec_from_file_location('mlbench', place + '/__init__.py', submodule_search_locations=[place]); "
    "m = u.module_from_spec(s); sys.modules['mlbench'] = m; s.loader.exec_module(m); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def command(python: str | None, module: str, *arguments: str) -> list[str]:
    """How to start a module of mlbench on an interpreter; None is the one that runs this."""
    if python is None:
        return [sys.executable, "-P", "-m", module, *arguments]
    return [python, "-c", _LEND, str(_PACKAGE), module, *arguments]


def environment(python: str | None, base: Mapping[str, str]) -> dict[str, str]:
    """The import path: the coordinator's own, in its order; of another interpreter, what the user has set for all."""
    if python is None:
        path = [entry or str(Path.cwd()) for entry in sys.path]
        return {**base, "PYTHONPATH": os.pathsep.join(dict.fromkeys([*path, str(_PACKAGE.parent)]))}
    # PYTHONSAFEPATH: what lies in the working directory is not imported by accident (as with -P)
    return {**{key: value for key, value in base.items() if key != "PYTHONHOME"}, "PYTHONSAFEPATH": "1"}


def problem(python: str) -> str:
    """Why this cannot be an interpreter, said without starting it; empty where it can."""
    path = Path(python).expanduser()
    if not path.is_file():
        return f"the interpreter {python} {'is a directory' if path.is_dir() else 'does not exist'}"
    return "" if os.access(path, os.X_OK) else f"the interpreter {python} is not executable"


def examine(arm: Arm, collation: Collation | None = None) -> None:
    """See that the interpreter of the arm's workers has what its settings ask for, before anything is measured.

    One of the arm's own is also asked to import numpy, the runtime's library, and what makes the model's inputs where
    calls begin with texts or images.

    Args:
        arm: The arm.
        collation: What the workers do to the items of each batch.

    Raises:
        WorkerError: It has not; the sentence says what, and names an interpreter of the arm's own.
    """
    settings = arm.settings
    if settings.python is None:
        check_available(arm.artifact.format, settings)
        return
    found = problem(settings.python)
    if found:
        raise WorkerError(f"runtime.python: {found}")
    begins = "" if collation is None else collation.begins
    reason = _ask(settings.python, arm.artifact.format, settings, begins)
    if reason:
        raise WorkerError(f"runtime.python: the interpreter {settings.python} {reason}")


def _ask(python: str, artifact_format: str, settings: RuntimeSettings, begins: str) -> str:
    """What the interpreter says of itself, as a clause; empty where all is well."""
    asked = (artifact_format, json.dumps(asdict(settings)), begins)
    try:
        done = subprocess.run(
            command(python, EXAMINER, *asked),
            env=environment(python, os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except OSError as error:
        return f"cannot be started: {error.strerror or error}"
    except subprocess.TimeoutExpired:
        return f"gave no answer for {_TIMEOUT_S:g} s"
    said = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode == 0 and said:
        return str(json.loads(said[-1])["reason"])
    last = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")
    return f"cannot run mlbench's worker: {last}"
