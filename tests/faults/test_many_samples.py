"""50 arms with a fifth of 100,000 samples each: kept, concluded, delivered and read back within bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.e2e
def test_the_coordinator_stays_small_beside_a_million_samples() -> None:
    """The whole of it is ``benchmarks/many_samples.py`` without arguments; a million samples alone are 8 MiB."""
    command = [sys.executable, str(ROOT / "benchmarks" / "many_samples.py"), "--calls", "1000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["samples"], found["kept"], found["stored"]) == (50 * 20_000,) * 3
    assert found["whole_arms"] == 50
    assert found["parts"] == 50 * 2  # they leave trial by trial
    assert found["peak"] - found["before"] < 150
    assert found["peak"] < 500
