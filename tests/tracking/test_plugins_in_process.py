"""Timing a model in the process it is in, on a clock that a test turns."""

import gc
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.errors import InputError, WorkerError
from mlbench.metrics import EVALUATION
from mlbench.statistics import percentile
from mlbench.tracking.plugins import in_process
from mlbench.tracking.plugins.in_process import Findings, batches_of, measure, timed
from mlbench.tracking.plugins.settings import EvaluatorSettings


class FakeModel:
    """Each call takes as long as the next number says, milliseconds, on the clock that it turns itself."""

    def __init__(self, *milliseconds):
        self.now, self.durations, self.seen = 0, list(milliseconds), []

    def now_ns(self):
        return self.now

    cpu_ns = now_ns

    def predict(self, batch):
        self.seen.append(np.asarray(batch).copy())
        duration = self.durations[min(len(self.seen) - 1, len(self.durations) - 1)]
        self.now += int(duration * 1e6)
        return np.zeros(len(batch))


ROWS = np.arange(10).reshape(5, 2)


def of(found, name):
    return found.metrics[f"pyfunc/{name}"]


class TestTimed:
    def test_warm_up_is_left_out_and_the_first_call_is_kept(self):
        model = FakeModel(500, 40, 1, 2, 3)
        settings = EvaluatorSettings(calls=3, warmup_calls=2)
        first, times = timed(model.predict, ROWS, 1, settings, model)
        assert first == 500_000_000
        assert times.tolist() == [1_000_000, 2_000_000, 3_000_000]

    def test_it_stops_when_the_time_is_up_but_not_before_the_first_call(self):
        model = FakeModel(400)
        settings = EvaluatorSettings(calls=100, warmup_calls=1, max_seconds=1.0)
        _, times = timed(model.predict, ROWS, 1, settings, model)
        assert len(model.seen) == 3  # begun at 0, 0.4 and 0.8 s
        assert times.tolist() == [400_000_000] * 2
        slow = FakeModel(5000)
        first, times = timed(slow.predict, ROWS, 1, settings, slow)
        assert (first, times.tolist()) == (5_000_000_000, [5_000_000_000])

    def test_garbage_is_not_collected_meanwhile_and_then_as_before(self):
        seen = []
        for before in (True, False):
            (gc.enable if before else gc.disable)()
            try:
                model = FakeModel(1)
                timed(lambda batch: seen.append(gc.isenabled()), ROWS, 1, EvaluatorSettings(calls=1), model)
                assert gc.isenabled() == before
            finally:
                gc.enable()
        assert set(seen) == {False}


class TestBatches:
    @given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 10))
    def test_they_run_through_the_rows_and_have_the_size_that_was_asked_for(self, rows, size, most):
        found = batches_of(np.arange(rows), size, most)
        assert all(len(batch) == size for batch in found)
        joined = np.concatenate(found)
        assert (joined == np.arange(len(joined)) % rows).all()
        assert len(found) == min(most, -(-rows // size))

    def test_frames_stay_frames(self):
        frame = pd.DataFrame({"a": [1.5, 2.5, 3.5], "b": ["x", "y", "z"]}, index=[7, 8, 9])
        first, second = batches_of(frame, 2, 5)
        assert second.to_dict("list") == {"a": [3.5, 1.5], "b": ["z", "x"]}
        assert list(second.index) == [0, 1]
        assert first.dtypes.tolist() == frame.dtypes.tolist()


class TestMeasure:
    def measured(self, model, features=ROWS, labels=None, **settings):
        chosen = EvaluatorSettings(**{"task": "none", "warmup_calls": 0, "throughput_batch_size": 4, **settings})
        return measure(model, features, labels, chosen, clock=model)

    def test_percentiles_and_throughput_against_their_sample(self):
        latency = np.linspace(1, 3, 100)
        model = FakeModel(*latency, *([8.0] * 100))
        found = self.measured(model)
        for name, level in {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95}.items():
            expected = percentile(np.trunc(latency * 1e6) / 1e6, level, unit="ms")
            assert of(found, name) == expected
        assert of(found, "samples_per_s").value == pytest.approx(4 / 0.008)
        assert of(found, "first_call_ms").value == pytest.approx(1.0)
        assert found.effective["calls"] == 100
        assert {len(batch) for batch in model.seen[100:]} == {4}

    def test_what_the_sample_does_not_support_is_absent_with_the_reason(self):
        found = self.measured(FakeModel(1), calls=50)
        assert "pyfunc/p90_ms" in found.metrics
        assert found.absent["pyfunc/p95_ms"] == "50 calls do not support it: at least 93 are needed (calls)"
        late = self.measured(FakeModel(600), calls=100, max_seconds=1.0)
        assert late.absent["pyfunc/p50_ms"] == "2 calls do not support it: at least 8 are needed (max_seconds=1)"
        assert late.absent["pyfunc/samples_per_s"].startswith("2 calls")

    def test_memory_is_that_of_this_process(self):
        found = self.measured(FakeModel(1))
        assert 10 < of(found, "process_rss_mib").value <= of(found, "process_peak_rss_mib").value * 1.01
        assert found.how == in_process.IN_PROCESS

    def test_peak_memory_is_the_kernels_own_mark_and_not_what_a_parent_left(self, monkeypatch):
        def memory_mib(field):
            if field == "VmHWM":
                raise WorkerError("no VmHWM")
            return 77.0

        monkeypatch.setattr(in_process, "memory_mib", memory_mib)
        found = self.measured(FakeModel(1))
        assert of(found, "process_rss_mib").value == 77.0
        assert "pyfunc/process_peak_rss_mib" not in found.metrics
        assert "VmHWM" in found.absent["pyfunc/process_peak_rss_mib"]

    def test_a_served_model_says_so_and_has_no_memory_of_ours(self):
        model = FakeModel(1)
        model.pid = 12345
        found = self.measured(model)
        assert found.how == in_process.SERVED
        assert "pyfunc/process_rss_mib" not in found.metrics
        assert found.absent["pyfunc/process_peak_rss_mib"] == "the model runs in a scoring server of its own"

    def test_size_as_mlflow_has_it(self):
        model = FakeModel(1)
        model.metadata = SimpleNamespace(model_size_bytes=3 * 2**20)
        assert of(self.measured(model), "model_size_mib").value == 3.0
        assert "pyfunc/model_size_mib" in self.measured(FakeModel(1)).absent

    def test_every_name_is_public(self):
        model = FakeModel(1)
        model.metadata = SimpleNamespace(model_size_bytes=1)
        labels = np.zeros(5)
        names = {row.name for row in EVALUATION}
        for task in ("classification", "regression"):
            found = self.measured(model, labels=labels, task=task, calls=5000)
            assert set(found.metrics) - names == set()
            assert set(found.absent) - names <= {"pyfunc/quality"}

    def test_nothing_to_measure(self):
        with pytest.raises(InputError, match="give `model`"):
            measure(None, ROWS, None, EvaluatorSettings())
        with pytest.raises(InputError, match="no rows"):
            self.measured(FakeModel(1), features=ROWS[:0])


def test_numbers_hold_the_bounds_and_the_record_the_reasons():
    found = Findings("so", {"pyfunc/p50_ms": percentile(np.arange(20.0), 0.5)}, {"pyfunc/p99_ms": "too few"})
    assert set(found.numbers()) == {"pyfunc/p50_ms", "pyfunc/p50_ms_low", "pyfunc/p50_ms_high"}
    record = found.record()
    assert record["absent"] == {"pyfunc/p99_ms": "too few"}
    assert record["metrics"]["pyfunc/p50_ms"]["method"] == "order statistics"
    assert "python" in record["environment"]
