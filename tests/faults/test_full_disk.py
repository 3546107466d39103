"""A disk that is really full: said clearly, what was written stays whole, and it goes on when there is room again."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from caches import share_artifacts
from fakes import FakeClock, FakeHandle, make_arm
from small_disk import SmallDisk, mounted
from tiny import TINY

from mlbench import cli
from mlbench.config import ProtocolConfig, ScenarioConfig, TrackingConfig
from mlbench.errors import BuildError, MlbenchError
from mlbench.journal import Begun, Journal, JournalError
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.plan import make_plan
from mlbench.progress import Progress
from mlbench.records import Artifact, Measurement, TensorSpec
from mlbench.tracking import connect, load_measurement, load_study
from mlbench.variants.store import Store, StoreError

SPEC = (TensorSpec("x", "float32", (None, 2)),)
ARMS = [make_arm("baseline", "baseline"), make_arm("a")]
PLAN = make_plan(
    ["baseline", "a"], "baseline", ScenarioConfig(batch_sizes=(1,)), ProtocolConfig(trials=3, rounds=2, calls=5), seed=3
)
INPUTS, LABELS = {"x": np.zeros((4, 2), np.float32)}, np.array([0, 1, 2, 0])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder, 12) as small:
        yield small


def make(out: Path) -> Artifact:
    (out / "model.bin").write_bytes(bytes(1 << 20))
    return Artifact("", "onnx", str(out), "model.bin", SPEC, SPEC, 0)


def make_with_a_tool(out: Path) -> Artifact:
    """As a tool does that hides the system's own error."""
    try:
        return make(out)
    except OSError:
        raise BuildError("export_onnx", "RuntimeError: enforce fail at inline_container.cc:664") from None


@pytest.mark.parametrize("maker", [make, make_with_a_tool])
def test_an_artifact_that_does_not_fit_leaves_the_others_whole(disk: SmallDisk, maker: object) -> None:
    store = Store(disk.path / "cache")
    before = store.build({"number": 1}, make)
    disk.fill()
    with pytest.raises(StoreError, match=r"no space is left on the disk of .*; make room \(mlbench cache prune\)"):
        store.build({"number": 2}, maker)  # type: ignore[arg-type]
    assert [path.name for path in (store.root / "artifacts").iterdir()] == [before.digest]
    assert store.find(before.digest) == before
    disk.free()
    assert store.build({"number": 2}, make).size_bytes == 1 << 20


def test_trials_that_do_not_fit_are_said_and_measured_again(disk: SmallDisk) -> None:
    clock = FakeClock()
    said: list[str] = []

    def keep(trial: int, part: Measurement) -> None:
        if trial == 1:
            disk.fill()
        try:
            journal.trial(trial, part)
        except JournalError as error:
            said.append(str(error))
            disk.free()

    def measure(before: list[Measurement]) -> Measurement:
        return Coordinator(
            PLAN,
            ARMS,
            INPUTS,
            LABELS,
            launch=lambda arm: FakeHandle(arm, [], clock),
            trial_over=keep,
            before=before,
        ).run()

    with Journal.begin(disk.path, Begun("0" * 32, "mine", "2026", "0", "uri", "mlbench", {})) as journal:
        whole = measure([])
        assert len(said) == 1
        assert "No space left on device" in said[0]
        kept, damaged = journal.finished(PLAN)
        assert ([part.turns[0].trial for part in kept], damaged) == ([0, 2], [])
        assert [path.name for path in journal.path.iterdir() if path.name.startswith(".")] == []
        resumed = measure(kept)
    assert [(turn.trial, turn.round, turn.arm) for turn in resumed.turns] == [
        (turn.trial, turn.round, turn.arm) for turn in whole.turns
    ]


def test_inputs_that_do_not_fit_are_said_before_anything_is_measured(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(disk.path))
    launched: list[object] = []
    large = {"x": np.zeros((1 << 21, 2), np.float32)}
    with pytest.raises(
        MlbenchError, match=r"cannot be written to .*: (no|Not enough free) space .*; \$TMPDIR names another place"
    ):
        Coordinator(PLAN, ARMS, large, LABELS, launch=launched.append).run()  # type: ignore[arg-type]
    assert launched == []
    assert list(disk.path.iterdir()) == []


def full_at(disk: SmallDisk, words: str) -> Callable[[Progress, str], None]:
    """Begins a phase, with a disk that fills up when it is this one."""
    phase = Progress.phase

    def begin(self: Progress, text: str) -> None:
        if text.startswith(words):
            disk.fill()
        phase(self, text)

    return begin


@pytest.mark.e2e
def test_a_study_whose_disk_is_full_while_it_builds_says_so_and_later_builds_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The cache is on the disk that is full, and the tracking store on another."""
    folder = tmp_path / "disk"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    small = "+variants.small={steps: [{name: export_onnx}, {name: quantize_onnx_weights}]}"
    command = ["run", *TINY, small, "protocol.trials=1"]
    with mounted(folder, 48) as disk:
        monkeypatch.setenv("MLBENCH_CACHE_DIR", str(folder / "cache"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Progress, "phase", full_at(disk, "Building small"))
            assert cli.main([*command, "name=full"]) == 1
        err = capfd.readouterr().err
        assert "step 1 of 1: export_onnx" in err
        assert re.search(r"no space is left on the disk of .*; make room \(mlbench cache prune\) and start again", err)
        assert "what is built already is used" in err
        assert "Traceback" not in err
        assert not list((folder / "cache" / "studies").iterdir())  # nothing was measured
        built = sorted(path.name for path in (folder / "cache" / "artifacts").iterdir())
        assert len(built) == 2  # the model, and the baseline: nothing half made is left

        disk.free()
        assert cli.main([*command, "name=again"]) == 0
        err = capfd.readouterr().err
        assert "epoch" not in err
        assert "export_onnx" not in err
        assert "step 2 of 2: quantize_onnx_weights" in err
        left = {path.name for path in (folder / "cache" / "artifacts").iterdir()}
        assert len(left - set(built)) == 1
        assert left > set(built)
    tracker = connect(TrackingConfig(uri=uri), create=False)
    runs = tracker.client.search_runs([tracker.experiment_id])
    statuses = {run.info.run_name: run.info.status for run in runs if run.data.tags["mlbench.kind"] == "study"}
    assert statuses == {"full": "FAILED", "again": "FINISHED"}
    assert load_study(tracker, "again").study.arm("small").status == "ok"


def full_after_the_first(disk: SmallDisk) -> Callable[[Journal, int, Measurement], None]:
    """Keeps a trial, with a disk that fills up before the second one is written."""
    keep = Journal.trial

    def trial(self: Journal, number: int, part: Measurement) -> None:
        if number:
            disk.fill()
        keep(self, number, part)

    return trial


@pytest.mark.e2e
def test_a_study_whose_disk_is_full_keeps_what_it_has_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder, 24) as disk:
        monkeypatch.chdir(folder)
        uri = f"sqlite:///{folder}/mlflow.db"
        monkeypatch.setenv("MLBENCH_CACHE_DIR", str(folder / "cache"))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        share_artifacts(folder / "cache")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Journal, "trial", full_after_the_first(disk))
            assert cli.main(["run", "name=full", *TINY, "tracking.attempts=1"]) == 1
        out, err = capfd.readouterr()
        assert "Decision:" in out
        assert "cannot be written: No space left on device" in err
        assert "1 of 3 trials are in it: mlbench run --resume" in err
        assert "Traceback" not in err

        disk.free()
        assert cli.main(["run", "--resume", "full"]) == 0
        assert "1 of 3 trials were measured before" in capfd.readouterr().err
        tracker = connect(TrackingConfig(uri=uri), create=False)
        loaded = load_study(tracker, "full")
        assert loaded.study.status == "finished"
        assert len(load_measurement(tracker, loaded).turns) == 3 * 2 * 2
        monkeypatch.chdir(tmp_path)
