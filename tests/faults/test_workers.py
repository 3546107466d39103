"""One study whose variants crash, hang, are killed and answer nonsense: each is named, and the others go on."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from caches import share_artifacts
from memory_group import memory_group
from plugins import install
from processes import gone
from tiny import TINY

from mlbench import cli, registry
from mlbench.config import TrackingConfig
from mlbench.records import ArmResult, Measurement, Study
from mlbench.tracking import connect, load_measurement, load_study

pytestmark = pytest.mark.e2e

RUNTIME = '''
import ctypes, os, pathlib, signal, subprocess, time
import numpy as np
from mlbench.runtimes.onnx_runtime import OnnxRuntime

class Session:
    """Serves the model, and misbehaves from the 20th call on: in the worker's first turns."""
    def __init__(self, session, options):
        self.session, self.options, self.calls = session, options, 0
        self.prepare, self.effective = session.prepare, session.effective
    def run(self, prepared):
        self.calls += 1
        behaviour = self.options["behaviour"]
        if behaviour == "hang":
            time.sleep(0.02)  # so that a whole turn may take longer than a call
        if self.calls > 19:
            if behaviour == "crash":
                ctypes.string_at(0)
            if behaviour == "hang":
                child = subprocess.Popen(["sleep", "600"])
                with open(self.options["children"], "a") as file:
                    print(child.pid, file=file)
                signal.pause()
            if behaviour == "eat":
                pathlib.Path(self.options["group"], "cgroup.procs").write_text(str(os.getpid()))
                eaten = [np.ones(1 << 21) for _ in range(64)]
            if behaviour == "be killed":
                starts = pathlib.Path(self.options["starts"])
                if self.calls == 20:
                    starts.write_text((starts.read_text() if starts.exists() else "") + "x")
                if len(starts.read_text()) in self.options["on"]:
                    os.kill(os.getpid(), signal.SIGKILL)
        return self.session.run(prepared)
    def outputs(self, result):
        first, *others = self.session.outputs(result)
        spoiled = {
            "answer nothing defined": lambda: first * np.nan,
            "answer too little": lambda: first[:, :3],
            "answer too few": lambda: first[:-1],
            "answer whole numbers": lambda: first.astype(np.int64),
        }
        return (spoiled.get(self.options["behaviour"], lambda: first)(), *others)

class FaultyRuntime:
    name = "faulty"
    formats = ("onnx",)
    def import_library(self):
        import onnxruntime
    def load(self, artifact, settings):
        import dataclasses
        return Session(OnnxRuntime().load(artifact, dataclasses.replace(settings, options={})), settings.options)
'''


def variant(name: str, behaviour: str, **more: object) -> str:
    options = ", ".join(f"{key}: {value}" for key, value in {"behaviour": behaviour, **more}.items())
    return f"+variants.{name}={{steps: [{{name: export_onnx}}], runtime: {{name: faulty, options: {{{options}}}}}}}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faulty")


@pytest.fixture(scope="module")
def group() -> Iterator[Path | None]:
    """A control group whose processes may have 32 MiB more together, where one can be made."""
    with memory_group(32) as made:
        yield made


@pytest.fixture(scope="module")
def loaded(folder: Path, group: Path | None) -> Iterator[tuple[Study, Measurement]]:
    install(folder, "faulty_runtime", RUNTIME, "[mlbench.runtimes]\nfaulty = faulty_runtime:FaultyRuntime\n")
    uri = f"sqlite:///{folder}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("MLBENCH_CACHE_DIR", str(folder / "cache"))
        patch.chdir(folder)
        share_artifacts(folder / "cache")
        registry.entries.cache_clear()
        code = cli.main(
            [
                "run",
                "name=faulty",
                f"tracking.uri={uri}",
                *TINY,
                "protocol.rounds=8",
                "protocol.hang_floor_s=1",
                variant("crashes", "crash"),
                variant("hangs", "hang", children=folder / "children"),
                variant("unlucky", "be killed", starts=folder / "unlucky", on="[1]"),
                variant("wounded", "be killed", starts=folder / "wounded", on="[3, 4]"),
                variant("undefined", "answer nothing defined"),
                variant("narrow", "answer too little"),
                variant("short", "answer too few"),
                variant("whole", "answer whole numbers"),
                *([] if group is None else [variant("hungry", "eat", group=group)]),
            ]
        )
        assert code == 0
        tracker = connect(TrackingConfig(uri=uri), create=False)
        found = load_study(tracker, "faulty")
        yield found.study, load_measurement(tracker, found)
    registry.entries.cache_clear()
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="module")
def study(loaded: tuple[Study, Measurement]) -> Study:
    return loaded[0]


@pytest.fixture(scope="module")
def measured(loaded: tuple[Study, Measurement]) -> Measurement:
    return loaded[1]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crashes", "the worker was ended by signal SIGSEGV"),
        ("hangs", "(after 1 call of this turn) and was ended"),
        ("undefined", "values that are not finite (NaN) for 1 of 1 items"),
        ("narrow", "shape [1, 3], where the workload's model gives [items, 10]"),
        ("short", "shape [0, 10] for a batch of 1 items"),
        ("whole", "the model returned int64, where the workload's model gives real numbers (float32)"),
    ],
)
def test_an_arm_that_never_gets_through_a_trial_has_failed_by_name(study: Study, name: str, reason: str) -> None:
    arm = study.arm(name)
    assert arm.status == "failed"
    assert reason in arm.failure
    assert (arm.metrics, arm.verdicts, arm.quality) == ({}, {}, None)


def test_a_worker_that_hangs_is_ended_with_what_it_started(study: Study, folder: Path) -> None:
    assert study.arm("hangs").status == "failed"
    assert study.arm("hangs").failure.startswith("the worker hung in a call for ")
    children = [int(line) for line in (folder / "children").read_text().split()]
    assert len(children) == 2  # it had a second chance
    assert all(gone(child, 10) for child in children)


def test_a_worker_that_is_ended_for_memory_says_so(study: Study, group: Path | None) -> None:
    if group is None:
        pytest.skip("no control group with a memory limit can be made here: that needs root")
    arm = study.arm("hungry")
    assert arm.status == "failed"
    assert "the worker was ended by signal SIGKILL, while the kernel ended processes for want of memory" in arm.failure
    assert "its peak memory was" in arm.failure


def test_a_crash_says_how_much_memory_there_was(study: Study) -> None:
    assert "its peak memory was" in study.arm("crashes").failure


def test_the_others_go_on(study: Study) -> None:
    assert study.status == "finished"
    for arm in (study.baseline, study.arm("twin")):
        assert (arm.status, arm.metrics["latency/p50_ms"].n) == ("ok", 3)


def test_an_arm_that_was_killed_once_is_whole_and_the_study_says_so(study: Study) -> None:
    arm = study.arm("unlucky")
    assert (arm.status, arm.failure, arm.metrics["latency/p50_ms"].n) == ("ok", "", 3)
    said = [notice.message for notice in study.warnings if notice.code == "repeated_trial"]
    (about,) = (text for text in said if text.startswith("unlucky, trial 1 of 3 lost: the worker was ended by"))
    assert about.endswith("; measured once more as trial 4, with fresh workers for all arms")
    assert not any("4 of 3" in text or "5 of 3" in text for text in said)


def test_what_was_measured_in_lost_trials_is_in_mlflow_and_does_not_count(measured: Measurement) -> None:
    assert measured.replaced == {0: 3, 1: 4}  # trial 1 was lost by many, trial 2 by the one that was wounded
    assert measured.counted == {3: 0, 4: 1, 2: 2}
    assert {turn.trial for turn in measured.turns} == {2, 3, 4}
    for trial in (0, 1):
        void = {turn.arm for turn in measured.void if turn.trial == trial}
        assert {"baseline", "twin"} <= void
    assert {(worker.arm, worker.trial) for worker in measured.void_workers} >= {("twin", 0), ("unlucky", 1)}
    assert not {worker.arm for worker in measured.void_workers} & {"crashes", "hangs"}


def test_an_arm_that_was_killed_twice_gets_no_verdict(study: Study) -> None:
    arm: ArmResult = study.arm("wounded")
    assert arm.status == "incomplete"
    assert {verdict.call for verdict in arm.verdicts.values()} == {"inconclusive"}
    assert "1 of 3 trials of wounded were lost (the worker was ended by signal SIGKILL" in (
        arm.verdicts["latency/p50_ms"].reason
    )
    assert not next(judged for judged in study.decision.judgements if judged.arm == "wounded").eligible
