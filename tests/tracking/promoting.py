"""Two studies that promote at the same moment, in processes of their own, on whatever store."""

import subprocess
import sys

from mlbench.tracking import Champion

_PROMOTE = """
import sys
from mlbench.config import RegistryConfig, TrackingConfig
from mlbench.tracking import PromotionRefusedError, connect, promote
tracker = connect(TrackingConfig(uri=sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
try:
    print(promote(tracker, sys.argv[2], RegistryConfig()).sentence)
except PromotionRefusedError as error:
    print("refused:", error)
"""


def aliases(tracker, name="mlbench-tiny"):
    return {alias: int(version) for alias, version in tracker.client.get_registered_model(name).aliases.items()}


def record(tracker, run_id, version=None):
    """That the study began when the champion was this version."""
    for key, value in Champion("mlbench-tiny", "champion", version).tags.items():
        tracker.client.set_tag(run_id, key, value)


def at_once(tracker, first, second):
    """What two processes say that promote at the same moment, in the order of the alphabet."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _PROMOTE, tracker.location.uri, run_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for run_id in (first, second)
    ]
    assert [worker.stdout.readline() for worker in workers] == ["ready\n", "ready\n"]
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return sorted(worker.communicate(timeout=120)[0] for worker in workers)


def promote_at_once(tracker, first, second):
    """One champion, one clear refusal, and nothing else left behind; neither study has promoted yet."""
    for run_id in (first, second):
        record(tracker, run_id)
    said = at_once(tracker, first, second)
    assert said[0].startswith("'mlbench-tiny' version 1 (fast) is now 'champion'")
    assert said[1].startswith("refused: 'mlbench-tiny': 'champion' was moved since the study")
    assert "from nothing to version 1 (promoted by the study" in said[1]
    model = tracker.client.get_registered_model("mlbench-tiny")
    assert (aliases(tracker), model.tags) == ({"champion": 1}, {})
    assert len(tracker.client.search_model_versions("name = 'mlbench-tiny'")) == 1
