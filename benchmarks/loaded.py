"""Are identical arms called different on a deliberately loaded machine?

Runs ``mlbench run`` several times on the baseline and its twin (the same recipe under another name), with busy loops
beside it while it measures, and counts what the two were called. They must be equivalent or inconclusive.

Run it from the checkout: ``python benchmarks/loaded.py [--studies N] [--loops N] [OVERRIDE ...]``. It prints a Markdown
report, ``--write`` keeps it in benchmarks/README.md, and exit code 1 says that a p50 was called faster or slower.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared import finish, machine, ratio, table

from mlbench.config import TrackingConfig
from mlbench.records import Estimate, Study, Verdict
from mlbench.tracking import connect, load_study

TWIN, P50 = "twin", "latency/p50_ms"
ARMS = ("variants=[]", "registry.promote=false", "tracking.log_models=false")
LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))\n"
"""Burns a processor, and ends by itself when whoever started it is gone."""


@contextmanager
def busy(loops: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many processes that each keep one processor busy; ended whatever happens."""
    with ExitStack() as ending:
        started = []
        for _ in range(loops):
            process = subprocess.Popen([sys.executable, "-c", LOOP])
            ending.callback(process.wait)
            ending.callback(process.kill)  # the last one in is the first to be called
            started.append(process)
        yield started


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one study made of two identical arms."""

    study: Study

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """By metric."""
        return self.study.arm(TWIN).verdicts

    @property
    def p50(self) -> Estimate | None:
        """The ratio of the twin to the baseline."""
        return self.verdicts[P50].ratio


def study(folder: Path, name: str, loops: int, overrides: Sequence[str] = ()) -> Outcome:
    """One study through the real program, with busy loops beside it from the first trial to the last.

    Args:
        folder: Where its store of runs is.
        name: Of the study.
        loops: How many.
        overrides: Of the configuration; the baseline's recipe is the twin's too.

    Raises:
        SystemExit: The program failed.
    """
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    steps = next((given.partition("=")[2] for given in overrides if given.startswith("baseline.steps=")), "[]")
    twin = f"+variants.{TWIN}={{steps: {steps}}}"
    command = [sys.executable, "-m", "mlbench", "run", f"name={name}", *ARMS, twin, *overrides]
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = []
        with ExitStack() as loaded:
            for line in process.stderr:
                said.append(line)
                if line.startswith("Measuring"):
                    loaded.enter_context(busy(loops))
                elif line.startswith("Deciding"):
                    loaded.close()
    if process.returncode:
        raise SystemExit("".join(said[-20:]) + f"mlbench run ended with exit code {process.returncode}")
    return Outcome(load_study(connect(TrackingConfig(uri=uri), create=False), name).study)


def report(outcomes: Sequence[Outcome], loops: int) -> str:
    """What the arms were called in each study, and how often in all."""
    metrics = list(dict.fromkeys(metric for outcome in outcomes for metric in outcome.verdicts))
    rows = [
        (
            str(number + 1),
            outcome.study.noise.level,
            ratio(outcome.p50),
            *(outcome.verdicts[metric].call if metric in outcome.verdicts else "-" for metric in metrics),
        )
        for number, outcome in enumerate(outcomes)
    ]
    calls = Counter(outcome.verdicts[P50].call for outcome in outcomes)
    said = ", ".join(f"{count} {call}" for call, count in calls.most_common())
    wrong = calls["faster"] + calls["slower"]
    head = ("study", "machine", "p50, twin over baseline", *metrics)
    return (
        f"{len(outcomes)} studies of two identical arms with {loops} busy loops beside them.\n\n"
        f"{table(head, rows)}\nCalls on p50: {said}; {wrong} of {len(outcomes)} called different.\n"
    )


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print the report; 1 when identical arms were called different."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--loops", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="keep the report in benchmarks/README.md")
    parser.add_argument("overrides", nargs="*", help="of the configuration, such as workload=wine")
    chosen = parser.parse_args(given)
    where = machine()
    with tempfile.TemporaryDirectory(prefix="mlbench-loaded-") as folder:
        outcomes = [
            study(Path(folder), f"loaded-{number + 1}", chosen.loops, chosen.overrides)
            for number in range(chosen.studies)
        ]
    finish("loaded", where + report(outcomes, chosen.loops), write=chosen.write)
    return int(any(outcome.verdicts[P50].call in ("faster", "slower") for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
