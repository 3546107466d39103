"""Run by the interpreter of an arm before anything is measured: says, as JSON, what it lacks.

It is written for older Pythons than mlbench itself needs, so that those can say that they are too old.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

_NEEDED = {"texts": "tokenizers", "words": "tokenizers", "images": "PIL"}


def reason(artifact_format: str, settings: dict[str, Any], begins: str = "") -> str:
    """Why this interpreter cannot serve the format as the settings say, as a clause; empty when it can.

    Args:
        artifact_format: What is to be served.
        settings: The arm's runtime settings, as plain values.
        begins: What calls begin with, which may take a library of its own: :attr:`mlbench.records.Collation.begins`.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 - another interpreter than mlbench was installed for
        return "is Python " + ".".join(map(str, sys.version_info[:2])) + ", but the worker needs 3.11 or later"
    try:
        import numpy as np  # noqa: F401 - the import is the point
    except ImportError as error:
        return f"cannot import numpy: {error}"
    from mlbench.errors import MlbenchError
    from mlbench.measurement.wire import settings_from_dict
    from mlbench.runtimes.loading import check_available, runtime_for

    asked = settings_from_dict(settings)
    try:
        runtime_for(artifact_format, asked).import_library()
        check_available(artifact_format, asked)
    except MlbenchError as error:
        return f"cannot serve the arm: {error}"
    except Exception as error:  # noqa: BLE001 - a library that is damaged raises what it likes
        return f"cannot import what the runtime needs: {type(error).__name__}: {error}"
    needed = _NEEDED.get(begins)
    try:
        if needed is not None:
            importlib.import_module(needed)
    except ImportError as error:
        return f"cannot import {needed}, which calls that begin with {begins} need: {error}"
    return ""


if __name__ == "__main__":
    answer = {"reason": reason(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3])}
    print(json.dumps(answer))  # noqa: T201 - this is the answer
