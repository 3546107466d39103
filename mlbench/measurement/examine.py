"""Run by the interpreter of an arm before anything is measured: says, as JSON, what it lacks.

It is written for older Pythons than mlbench itself needs, so that those can say that they are too old.
"""

import json
import sys


def reason(artifact_format: str, runtime: str) -> str:
    """Why this interpreter cannot serve the format with the runtime, as a clause; empty when it can."""
    if sys.version_info < (3, 11):  # noqa: UP036 - another interpreter than mlbench was installed for
        return "is Python " + ".".join(map(str, sys.version_info[:2])) + ", but the worker needs 3.11 or later"
    try:
        import numpy as np  # noqa: F401 - the import is the point
    except ImportError as error:
        return f"cannot import numpy: {error}"
    from mlbench.errors import MlbenchError
    from mlbench.records import RuntimeSettings
    from mlbench.runtimes.loading import runtime_for

    try:
        runtime_for(artifact_format, RuntimeSettings(name=runtime)).import_library()
    except MlbenchError as error:
        return f"cannot serve the arm: {error}"
    except Exception as error:  # noqa: BLE001 - a library that is damaged raises what it likes
        return f"cannot import what the runtime needs: {type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    print(json.dumps({"reason": reason(*sys.argv[1:3])}))  # noqa: T201 - this is the answer
