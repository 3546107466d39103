"""What was measured, as files: whole when read back, and an error of our own when they are damaged."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_study import make_measurement
from voided import with_void

from mlbench.records import RecordError
from mlbench.tracking import files


def same(mine, theirs):
    """Equality of two measurements, arrays included; records leave arrays out of their own comparison."""
    assert mine == theirs
    for one, other in zip((*mine.turns, *mine.void), (*theirs.turns, *theirs.void), strict=True):
        assert np.array_equal(one.timed_ns, other.timed_ns)
        assert np.array_equal(one.discarded_ns, other.discarded_ns)
    workers = ((*found.workers, *found.void_workers) for found in (mine, theirs))
    for one, other in zip(*workers, strict=True):
        assert np.array_equal(one.warmup_ns, other.warmup_ns)
    for one, other in zip(mine.predictions, theirs.predictions, strict=True):
        assert np.array_equal(one.outputs, other.outputs)
        assert np.array_equal(one.labels, other.labels)


def test_what_is_written_is_read(tmp_path):
    measured = make_measurement()
    files.write_measurement(tmp_path, measured)
    same(files.read_measurement(tmp_path, measured.plan), measured)


def test_what_does_not_count_is_written_too(tmp_path):
    measured = with_void(make_measurement(), 1, "script")
    files.write_measurement(tmp_path, measured)
    back = files.read_measurement(tmp_path, measured.plan)
    same(back, measured)
    assert back.sorted_out() == back


def test_an_arm_of_which_nothing_counts_is_written(tmp_path):
    measured = with_void(make_measurement(), 1, "script")
    void = replace(measured, turns=(), workers=(), void_workers=())
    files.write_measurement(tmp_path, void)
    same(files.read_measurement(tmp_path, measured.plan), void)


def test_an_arm_of_which_nothing_was_measured_leaves_an_empty_folder(tmp_path):
    measured = make_measurement()
    nothing = replace(measured, turns=(), workers=(), predictions=(), complete=False)
    files.write_measurement(tmp_path, nothing)
    assert not list((tmp_path / "fast").iterdir())
    same(files.read_measurement(tmp_path, measured.plan), nothing)


@pytest.mark.parametrize("name", ["measurement.json", "fast/workers.json", "fast/samples.parquet"])
def test_damage_is_an_error_that_names_the_file(tmp_path, name):
    measured = make_measurement()
    files.write_measurement(tmp_path, measured)
    (tmp_path / name).write_bytes(b"{")
    with pytest.raises(RecordError, match=name.rpartition("/")[2]):
        files.read_measurement(tmp_path, measured.plan)
