import gc
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeClock, make_arm
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from mlbench.errors import WorkerError
from mlbench.measurement.cells import Cells, calls_over
from mlbench.measurement.memory import memory_mib, unique_mib
from mlbench.measurement.mixing import mixed
from mlbench.measurement.process import _shared_file
from mlbench.measurement.wire import PROCESSING, TOKENIZER, Channel
from mlbench.measurement.worker import POOL, Worker, serve
from mlbench.records import OperatorTime, Profile


class FakeSession:
    """A model whose call takes ``call_ns`` on the fake clock and returns the row sums three times."""

    def __init__(self, clock: FakeClock, call_ns: int) -> None:
        self.clock, self.call_ns = clock, call_ns
        self.seen: list[np.ndarray] = []
        self.spoil: Callable[[np.ndarray], np.ndarray] = lambda array: array

    def prepare(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        return batch["x"]

    def run(self, prepared: np.ndarray) -> np.ndarray:
        self.clock.advance(self.call_ns)
        self.seen.append(prepared)
        return np.repeat(prepared.sum(axis=1, keepdims=True), 3, axis=1)

    def outputs(self, result: np.ndarray) -> tuple[np.ndarray, ...]:
        return (self.spoil(result),)

    def effective(self) -> dict[str, Any]:
        return {"runtime": "fake"}


class FakeRuntime:
    name = "fake"
    formats = ("fake",)

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.imported = False

    def import_library(self) -> None:
        self.imported = True

    def load(self, artifact: Any, settings: Any) -> FakeSession:
        self.session.clock.advance(7_000_000)
        return self.session


class Setup:
    def __init__(self, directory: Path, call_ns: int = 250_000, rows: int = 20, cells: Cells | None = None) -> None:
        self.clock = FakeClock()
        self.session = FakeSession(self.clock, call_ns)
        self.runtime = FakeRuntime(self.session)
        self.worker = Worker(self.clock, lambda _format, _settings: self.runtime, cells)
        self.items = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
        np.save(directory / "0.npy", self.items)
        arm = make_arm("a")
        self.load_message = {
            "command": "load",
            "inputs": str(directory),
            "batch_size": 1,
            "artifact": asdict(arm.artifact),
            "settings": asdict(arm.settings),
            "cpus": [],
        }

    def ask(self, command: str, **message: Any) -> tuple[dict[str, Any], Any]:
        return self.worker.handle({"command": command, **message})

    def load(self) -> dict[str, Any]:
        return self.worker.handle(self.load_message)[0]


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def test_import_is_apart_from_load(setup: Setup) -> None:
    settings = setup.load_message["settings"]
    header, _ = setup.ask("import", format="fake", settings=settings)
    assert setup.runtime.imported
    assert header["import_rss_mib"] == pytest.approx(memory_mib("VmRSS"), rel=0.2)


def test_load_and_first_call_are_timed_apart(setup: Setup) -> None:
    header = setup.load()
    assert header["load_ms"] == 7.0
    assert header["first_call_ms"] == 0.25
    assert header["effective"] == {"runtime": "fake", "python": platform.python_version()}
    # the kernel counts in batches; what this process held at its peak it may have given back since
    assert header["load_peak_mib"] > 0.9 * header["load_rss_mib"] > 0
    assert 0 < header["load_uss_mib"] < 1.1 * header["load_rss_mib"]


def test_mappings_are_walked_once_at_loading_and_never_afterwards(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks: list[int] = []

    def walk() -> float | None:
        walks.append(setup.clock.time)
        return unique_mib()

    monkeypatch.setattr("mlbench.measurement.worker.unique_mib", walk)
    setup.load()
    setup.ask("warm_up", batch_size=1, calls=3, seconds=0.0, min_value_ns=0)
    setup.ask("turn", batch_size=1, discard=1, calls=2, group=1)
    setup.ask("report")
    assert len(walks) == 1


def test_compiling_is_timed_apart_where_there_is_any(setup: Setup) -> None:
    assert setup.load()["compile_ms"] is None
    setup.session.compile = lambda prepared: setup.clock.advance(9_000_000)
    header = setup.load()
    assert (header["load_ms"], header["compile_ms"], header["first_call_ms"]) == (7.0, 9.0, 0.25)


def test_the_cpus_are_what_the_kernel_says(setup: Setup) -> None:
    assert setup.load()["cpus"] == tuple(sorted(os.sched_getaffinity(0)))


def test_the_worker_is_pinned_before_it_loads(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    monkeypatch.setattr("mlbench.measurement.worker.pin", done.append)
    monkeypatch.setattr(FakeRuntime, "load", lambda self, _artifact, _settings: done.append("load") or self.session)
    setup.ask(**{**setup.load_message, "cpus": [1]})
    assert done == [[1], "load"]


@pytest.fixture
def sequences(setup: Setup) -> Setup:
    artifact = setup.load_message["artifact"]
    artifact["inputs"] = [{"name": "x", "dtype": "float32", "shape": (None, None)}]
    return setup


@pytest.mark.parametrize(("length", "first"), [(1, [0]), (2, [0, 1]), (5, [0, 1, 0, 1, 0])])
def test_sequences_are_cut_or_repeated_to_the_length(sequences: Setup, length: int, first: list[int]) -> None:
    sequences.load()
    sequences.session.seen.clear()
    sequences.ask("turn", batch_size=3, input_length=length, discard=0, calls=1, group=1)
    (batch,) = sequences.session.seen
    assert batch.shape == (3, length)
    np.testing.assert_array_equal(batch[0], sequences.items[mixed(20)[0], first])


def test_without_a_length_items_are_as_the_data_has_them(sequences: Setup) -> None:
    sequences.load()
    sequences.session.seen.clear()
    sequences.ask("turn", batch_size=20, input_length=None, discard=0, calls=1, group=1)
    assert np.array_equal(sequences.session.seen[0], sequences.items[mixed(20)])


def test_padding_that_no_item_of_the_batch_needs_is_cut_before_anything_is_timed(
    sequences: Setup, tmp_path: Path
) -> None:
    sequences.load_message["trim"] = "x"  # the same array marks its own real tokens
    real = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 0, 0]], dtype=np.float32)
    np.save(tmp_path / "0.npy", real)
    sequences.load()
    sequences.session.seen.clear()
    sequences.ask("turn", batch_size=2, discard=0, calls=2, group=1)
    first, second = real[mixed(4)].sum(axis=1).reshape(2, 2).max(axis=1).astype(int)
    assert [batch.shape for batch in sequences.session.seen] == [(2, first), (2, second)]
    assert {first, second} == {2, 3}
    _, arrays = sequences.ask("predict", batch_size=2)
    np.testing.assert_array_equal(arrays["outputs"][:, 0], real.sum(axis=1))
    sequences.session.seen.clear()
    sequences.ask("turn", batch_size=2, input_length=3, discard=0, calls=1, group=1)
    assert sequences.session.seen[0].shape == (2, 3)


def test_calls_may_begin_with_texts(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    words = Tokenizer(WordLevel({"[PAD]": 0, "a": 1, "b": 2}, unk_token="[PAD]"))
    words.pre_tokenizer = Whitespace()
    words.enable_padding()
    words.save(str(tmp_path / TOKENIZER))
    np.save(tmp_path / "0.npy", np.array(["a b", "b", "a a a"]))
    setup.load_message |= {"begins": "texts", "originals": 1}
    setup.load_message["artifact"]["inputs"] = [{"name": "input_ids", "dtype": "int64", "shape": (None, None)}]
    monkeypatch.setattr(setup.session, "prepare", lambda batch: batch["input_ids"].astype(np.float32))
    assert setup.load()["effective"]["timing"] == "end-to-end"
    setup.session.seen.clear()
    header, _ = setup.ask("turn", batch_size=2, discard=0, calls=1, group=1)
    assert mixed(3)[:2].tolist() == [2, 1]
    assert setup.session.seen[0].tolist() == [[1, 1, 1], [2, 0, 0]]
    assert header["wall_ns"] == 250_000
    _, arrays = setup.ask("predict", batch_size=3)
    assert arrays["outputs"][:, 0].tolist() == [3, 2, 3]


def test_calls_may_begin_with_images(setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / PROCESSING).write_text('{"size": [1, 1], "factor": 0.5}')
    images = np.stack([np.full((4, 6, 3), 10 * number, dtype=np.uint8) for number in range(3)])
    np.save(tmp_path / "0.npy", images)
    setup.load_message |= {"begins": "images", "originals": 1}
    setup.load_message["artifact"]["inputs"] = [{"name": "p", "dtype": "float32", "shape": (None, 3, 1, 1)}]
    monkeypatch.setattr(setup.session, "prepare", lambda batch: batch["p"].reshape(len(batch["p"]), -1))
    assert setup.load()["effective"]["timing"] == "end-to-end"
    setup.session.seen.clear()
    header, _ = setup.ask("turn", batch_size=2, discard=0, calls=1, group=1)
    assert setup.session.seen[0].tolist() == [[10, 10, 10], [5, 5, 5]]
    assert header["wall_ns"] == 250_000
    _, arrays = setup.ask("predict", batch_size=3)
    assert arrays["outputs"][:, 0].tolist() == [0, 15, 30]


def test_a_length_is_refused_where_no_input_has_a_free_one(setup: Setup) -> None:
    setup.load()
    with pytest.raises(WorkerError, match="no input of this artifact has a free length"):
        setup.ask("warm_up", batch_size=1, input_length=8, calls=3, seconds=0.0, min_value_ns=1)


def test_threads_that_left_the_cpus_of_their_trial_are_told_of(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.measurement.worker.pin", lambda _cpus: None)
    monkeypatch.setattr("mlbench.measurement.worker.allowed", lambda: (1,))
    setup.ask(**{**setup.load_message, "cpus": [1]})
    assert setup.ask("report")[0]["cpus"] == (1,)
    monkeypatch.setattr("mlbench.measurement.worker.allowed", lambda: (0, 1))
    with pytest.raises(WorkerError, match="may run on CPUs 0, 1, but were kept on 1"):
        setup.ask("report")
    setup.load()  # not pinned: anywhere is right
    assert setup.ask("report")[0]["cpus"] == (0, 1)


def test_the_garbage_collector_is_frozen_and_off_while_calls_are_timed(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.load()
    seen: list[tuple[bool, bool]] = []
    run = setup.session.run

    def watched(prepared: np.ndarray) -> np.ndarray:
        seen.append((gc.isenabled(), gc.get_freeze_count() > 0))
        return run(prepared)

    monkeypatch.setattr(setup.session, "run", watched)
    try:
        setup.ask("warm_up", batch_size=1, calls=2, seconds=0.0, min_value_ns=1)
        seen.clear()
        setup.ask("turn", batch_size=1, discard=1, calls=2, group=1)
        assert seen == [(False, True)] * 3
        assert gc.isenabled()
        monkeypatch.setattr(setup.session, "run", lambda _prepared: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            setup.ask("turn", batch_size=1, discard=1, calls=2, group=1)
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_warm_up_lasts_for_the_calls_and_the_seconds(setup: Setup) -> None:
    setup.load()
    by_calls = setup.ask("warm_up", batch_size=1, calls=30, seconds=0.0, min_value_ns=1_000_000)
    assert len(by_calls[1]["warmup_ns"]) == 30
    by_time = setup.ask("warm_up", batch_size=1, calls=30, seconds=0.05, min_value_ns=1_000_000)
    assert len(by_time[1]["warmup_ns"]) == 200  # 0.05 s at 0.25 ms a call


@pytest.mark.parametrize(("call_ns", "group"), [(250_000, 4), (400_000, 3), (1_000_000, 1), (5_000_000, 1)])
def test_short_calls_are_grouped_until_a_value_lasts_long_enough(tmp_path: Path, call_ns: int, group: int) -> None:
    setup = Setup(tmp_path, call_ns)
    setup.load()
    header, _ = setup.ask("warm_up", batch_size=1, calls=10, seconds=0.0, min_value_ns=1_000_000)
    assert header["group"] == group


def test_a_turn_discards_then_times_single_calls(setup: Setup) -> None:
    setup.load()
    setup.session.seen.clear()
    header, arrays = setup.ask("turn", batch_size=1, discard=2, calls=5, group=4)
    assert arrays["discarded_ns"].tolist() == [250_000] * 2
    assert arrays["timed_ns"].tolist() == [250_000] * 20
    assert header["wall_ns"] == 20 * 250_000
    assert header["cpu_ns"] == 10 * 250_000  # the fake CPU clock runs at half speed
    assert header["end_ns"] - header["start_ns"] == 22 * 250_000
    assert header["hardware"]["peak_rss_mib"] >= header["hardware"]["rss_mib"] > 0
    assert len(setup.session.seen) == 22


def test_calls_are_seen_to_be_over_one_by_one_from_outside(tmp_path: Path) -> None:
    with _shared_file() as file:
        setup = Setup(tmp_path, cells=Cells(file.fileno()))
        setup.load()
        seen: list[int | None] = []
        run = setup.session.run
        setup.session.run = lambda prepared: (  # type: ignore[method-assign]
            seen.append(calls_over(file.fileno())),
            run(prepared),
        )[1]
        header, warm_up = setup.ask("warm_up", batch_size=1, calls=6, seconds=0.0, min_value_ns=1_000_000)
        assert (seen, calls_over(file.fileno())) == (list(range(6)), 6)
        seen.clear()
        _, arrays = setup.ask("turn", batch_size=1, discard=2, calls=5, group=header["group"])
        assert (seen, calls_over(file.fileno())) == (list(range(22)), 22)
        seen.clear()
        setup.ask("predict", batch_size=8)
        assert (seen, calls_over(file.fileno())) == ([0, 1, 2], 3)
    assert warm_up["warmup_ns"].tolist() == [250_000] * 6
    assert arrays["discarded_ns"].tolist() == [250_000] * 2
    assert arrays["timed_ns"].tolist() == [250_000] * 20


@pytest.mark.parametrize("shared", [True, False])
def test_times_are_the_clocks_however_many_calls_a_turn_has_and_stay_when_the_next_one_begins(
    tmp_path: Path, *, shared: bool
) -> None:
    with _shared_file() as file:
        setup = Setup(tmp_path, cells=Cells(file.fileno()) if shared else None)
        setup.load()
        run = setup.session.run

        def slower_and_slower(prepared: np.ndarray) -> np.ndarray:
            setup.session.call_ns += 1
            return run(prepared)

        setup.session.run = slower_and_slower  # type: ignore[method-assign]
        turns, begins = [], []
        for calls in (3, 1500, 2):  # the second one is longer than a page
            begins.append(setup.session.call_ns + 1)
            turns.append(setup.ask("turn", batch_size=1, discard=2, calls=calls, group=1)[1])
    for begin, calls, arrays in zip(begins, (3, 1500, 2), turns, strict=True):
        assert arrays["discarded_ns"].tolist() == [begin, begin + 1]
        assert arrays["timed_ns"].tolist() == list(range(begin + 2, begin + 2 + calls))


def test_calls_go_through_different_items_the_same_way_each_turn(setup: Setup) -> None:
    setup.load()
    setup.session.seen.clear()
    setup.ask("turn", batch_size=2, discard=0, calls=POOL + 1, group=1)
    first = list(setup.session.seen)
    np.testing.assert_array_equal(first[0], setup.items[mixed(20)[0:2]])
    np.testing.assert_array_equal(first[1], setup.items[mixed(20)[2:4]])
    np.testing.assert_array_equal(first[POOL], first[0])
    setup.session.seen.clear()
    setup.ask("turn", batch_size=2, discard=0, calls=POOL + 1, group=1)
    np.testing.assert_array_equal(np.stack(setup.session.seen), np.stack(first))


def test_of_a_split_that_is_grouped_by_class_every_batch_has_many_and_every_arm_the_same(tmp_path: Path) -> None:
    seen: list[list[np.ndarray]] = []
    for _ in range(2):
        setup = Setup(tmp_path, rows=200)
        setup.items[:, 0] = np.arange(200) // 20  # ten classes, one after the other
        np.save(tmp_path / "0.npy", setup.items)
        setup.load()
        setup.session.seen.clear()
        setup.ask("turn", batch_size=32, discard=0, calls=POOL, group=1)
        seen.append(list(setup.session.seen))
        _, arrays = setup.ask("predict", batch_size=32)
        np.testing.assert_array_equal(arrays["outputs"][:, 0], setup.items.sum(axis=1))  # in the split's own order
    assert all(len(np.unique(batch[:, 0])) >= 8 for batch in seen[0])
    np.testing.assert_array_equal(np.stack(seen[0]), np.stack(seen[1]))


def test_a_batch_larger_than_the_test_set_goes_round(tmp_path: Path) -> None:
    setup = Setup(tmp_path, rows=3)
    setup.load()
    setup.session.seen.clear()
    setup.ask("turn", batch_size=5, discard=0, calls=1, group=1)
    np.testing.assert_array_equal(setup.session.seen[0], setup.items[mixed(3)[[0, 1, 2, 0, 1]]])


def test_predictions_cover_every_item_in_order(setup: Setup) -> None:
    setup.load()
    _, arrays = setup.ask("predict", batch_size=8)
    np.testing.assert_array_equal(arrays["outputs"][:, 0], setup.items.sum(axis=1))
    assert arrays["outputs"].shape == (20, 3)


class FakeDevice:
    """A device whose log also has every call of the session and every reading of the clock."""

    def __init__(self, setup: Setup) -> None:
        self.log: list[str] = []
        self.session = setup.session
        run, now = setup.session.run, setup.clock.now_ns
        setup.session.run = lambda prepared: (self.log.append("run"), run(prepared))[1]  # type: ignore[method-assign]
        setup.clock.now_ns = lambda: (self.log.append("clock"), now())[1]
        setup.session.device = self  # type: ignore[attr-defined]

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def reset_peak(self) -> None:
        self.log.append("reset")

    def peak_mib(self) -> float:
        return 12.5

    def call_ms(self, prepared: Any) -> float:
        self.log.append("between events")
        return 0.75


def test_a_device_is_awaited_before_the_clock_is_read_and_asked_outside_the_timed_calls(setup: Setup) -> None:
    device = FakeDevice(setup)
    setup.load()
    assert device.log[:4] == ["clock", "synchronize", "clock", "synchronize"]  # loading ends when the device is done
    device.log.clear()
    setup.ask("warm_up", batch_size=1, calls=1, seconds=0.0, min_value_ns=0)
    assert device.log[0] == "reset"
    device.log.clear()
    header, _ = setup.ask("turn", batch_size=1, discard=1, calls=1, group=1)
    assert device.log[:2] == ["synchronize", "clock"]
    assert device.log[-1] == "between events"
    assert device.log.index("between events") > max(i for i, entry in enumerate(device.log) if entry == "clock")
    assert header["hardware"]["gpu_allocated_peak_mib"] == 12.5
    assert header["hardware"]["gpu_call_ms"] == 0.75


def test_without_a_device_there_is_no_figure_of_one(setup: Setup) -> None:
    setup.load()
    header, _ = setup.ask("turn", batch_size=1, discard=0, calls=1, group=1)
    assert not [name for name in header["hardware"] if name.startswith("gpu")]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda array: array * np.nan, "not finite"),
        (lambda array: array[:0], r"shape \[0, 3\] for a batch of 1 items"),
        (lambda array: np.float32(3), r"shape \[\] for a batch"),
        (lambda array: array[:, :2], r"shape \[1, 2\], where the workload's model gives \[items, 3\]"),
        (lambda array: array.astype(np.int64), "int64, where the workload's model gives real numbers"),
    ],
)
def test_a_wrong_answer_is_caught_at_the_first_call(
    setup: Setup, spoil: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    setup.session.spoil = spoil
    with pytest.raises(WorkerError, match=message):
        setup.load()


def test_a_model_that_answers_too_few_items_is_caught_at_the_first_call_with_more(setup: Setup) -> None:
    """At batch size 1 it looks right, and it would be very fast at every other one."""
    setup.session.spoil = lambda array: array[:1]
    setup.load()
    setup.ask("warm_up", batch_size=1, calls=3, seconds=0.0, min_value_ns=0)
    with pytest.raises(WorkerError, match=r"shape \[1, 3\] for a batch of 4 items"):
        setup.ask("warm_up", batch_size=4, calls=3, seconds=0.0, min_value_ns=0)


def test_items_that_turn_out_to_be_nan_later_are_caught_before_anything_is_made_of_them(setup: Setup) -> None:
    setup.session.spoil = lambda array: np.where(array > 64, np.nan, array)  # the last four items, none of them first
    setup.load()
    with pytest.raises(WorkerError, match=r"not finite \(NaN\) for 4 of 5 items"):
        setup.ask("predict", batch_size=5)


def test_a_model_that_returns_nothing_is_caught(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.session, "outputs", lambda _result: ())
    with pytest.raises(WorkerError, match="returned nothing"):
        setup.load()


def test_measuring_before_loading_is_refused(setup: Setup) -> None:
    with pytest.raises(WorkerError, match="before it loaded"):
        setup.ask("report")


def test_a_delayed_artifact_really_takes_its_share_longer(setup: Setup) -> None:
    setup.load_message["artifact"]["meta"] = {"delay_percent": 50}
    assert setup.load()["effective"]["delay_percent"] == 50


def test_a_failed_command_is_answered_and_the_worker_goes_on(setup: Setup) -> None:
    mine_read, theirs_write = os.pipe()
    theirs_read, mine_write = os.pipe()
    mine, theirs = Channel(mine_read, mine_write), Channel(theirs_read, theirs_write)
    mine.send({"command": "report"})
    mine.send({"command": "nonsense"})
    mine.send(setup.load_message)
    mine.send({"command": "report"})
    os.close(mine._writer)
    mine._writer = -1
    serve(theirs, setup.worker)
    answers = [mine.receive(1)[0] for _ in range(4)]
    mine.close()
    theirs.close()
    assert answers[0] == {"ok": False, "error": "the worker was asked to measure before it loaded its artifact"}
    assert answers[1] == {"ok": False, "error": "KeyError: 'nonsense'"}
    assert answers[2]["ok"] is True
    assert "numpy" in answers[3]["modules"]


def test_what_multiplies_matrices_is_asked_once_after_the_last_turn(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlbench.measurement.worker.cpu_vendor", lambda: "AuthenticAMD")
    asked: list[np.ndarray] = []

    def libraries(call: Callable[[], Any]) -> dict[str, Any]:
        asked.append(call())
        return {"blas": "mkl"}

    setup.session.libraries = libraries  # type: ignore[attr-defined]
    setup.load()
    setup.ask("warm_up", batch_size=1, calls=3, seconds=0.0, min_value_ns=0)
    setup.ask("turn", batch_size=1, discard=1, calls=2, group=1)
    assert asked == []
    header, _ = setup.ask("report")
    assert header["effective"].items() >= {"runtime": "fake", "blas": "mkl", "cpu_vendor": "AuthenticAMD"}.items()
    assert [answer.shape for answer in asked] == [(1, 3)]


def test_where_a_model_runs_is_asked_apart_from_the_report(setup: Setup) -> None:
    setup.load()
    assert setup.ask("report")[0]["placement"] is False
    assert setup.ask("placement")[0]["effective"] == {}
    asked: list[np.ndarray] = []
    setup.session.placement = lambda prepared: asked.append(prepared) or {"nodes": "CPU: 2"}  # type: ignore[attr-defined]
    header = setup.ask("report")[0]
    assert (header["placement"], asked) == (True, [])
    assert "nodes" not in header["effective"]
    assert setup.ask("placement")[0]["effective"] == {"nodes": "CPU: 2"}
    assert [len(prepared) for prepared in asked] == [1]


def profile_message(setup: Setup, **more: Any) -> dict[str, Any]:
    kept = {key: setup.load_message[key] for key in ("inputs", "artifact", "settings", "cpus")}
    return {"command": "profile", **kept, "batch_sizes": [1, 32], "input_length": None, "trim": "", **more}


def test_a_profile_is_the_runtimes_own_on_the_first_items(setup: Setup) -> None:
    given: list[np.ndarray] = []

    def take(_artifact: Any, _settings: Any, batches: list[dict[str, np.ndarray]]) -> list[Profile]:
        given.extend(batch["x"] for batch in batches)
        return [Profile("fake", len(batch["x"]), 10, 1.0, (OperatorTime("Add", 1.0, 0.5),)) for batch in batches]

    setup.runtime.profile = take  # type: ignore[attr-defined]
    header, arrays = setup.worker.handle(profile_message(setup))
    assert arrays == {}
    assert [item["batch_size"] for item in header["profiles"]] == [1, 32]
    assert header["profiles"][0]["operators"] == ({"operator": "Add", "calls": 1.0, "ms": 0.5, "where": ""},)
    np.testing.assert_array_equal(given[0], setup.items[:1])
    np.testing.assert_array_equal(given[1], setup.items[np.arange(32) % 20])
    assert setup.session.seen == []  # nothing is measured there


def test_a_runtime_without_a_profiler_says_so(setup: Setup) -> None:
    with pytest.raises(WorkerError, match="the runtime 'fake' has no profile by operator"):
        setup.worker.handle(profile_message(setup))
