from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench import tables
from mlbench.records import IGNORED, Condition, Measurement, Plan, Predictions, RecordError, Round, Turn, WorkerReport


def plan():
    return Plan(
        seed=0,
        arms=("a", "b"),
        baseline="a",
        conditions=(Condition(1, 2, 1, 2), Condition(8, 2, 0, 1)),
        trials=2,
        warmup_calls=3,
        warmup_seconds=0.0,
        min_value_ns=1,
        schedule=(Round(0, 1, 0, ("a", "b")),),
    )


def turn(arm="a", trial=0, index=0, batch_size=1, position=0, discarded=(7,), timed=(1, 2, 3, 4), group=2, **hardware):
    start = 1000 * (trial * 100 + index * 10 + batch_size)
    return Turn(
        trial=trial,
        round=index,
        position=position,
        arm=arm,
        batch_size=batch_size,
        start_ns=start,
        end_ns=start + 900,
        cpu_ns=50,
        wall_ns=60,
        discarded_ns=np.array(discarded, np.int64),
        timed_ns=np.array(timed, np.int64),
        group=group,
        hardware=hardware,
    )


def report(arm="a", trial=0, warmup=(9, 8, 7)):
    return WorkerReport(arm, trial, 1, 2.0, 3.0, 4.0, 5.0, {"1": 6.0}, np.array(warmup, np.int64))


def measurement(turns, workers=()):
    return Measurement(plan(), tuple(turns), tuple(workers), ())


def equal(left: Turn, right: Turn) -> bool:
    return (
        left == right
        and np.array_equal(left.timed_ns, right.timed_ns)
        and np.array_equal(left.discarded_ns, right.discarded_ns)
    )


TURNS = (
    turn(rss_mib=10.5, energy_j=1.0),
    turn(arm="b", position=1),
    turn(index=1, rss_mib=11.0),
    turn(batch_size=8, discarded=(), timed=(5,), group=1),
    turn(trial=1, timed=(3, 5)),
    replace(turn(batch_size=8, timed=(6,), group=1), input_length=64),
    replace(turn(batch_size=8, timed=(7,), group=1), threads=2),
)


class TestSamples:
    def test_one_row_per_call_of_the_arm(self, tmp_path):
        path = tmp_path / "samples.parquet"
        tables.write_samples(path, "a", measurement(TURNS, [report(), report("b"), report(trial=1, warmup=(6,))]))
        columns = tables.read_samples(path)
        assert columns["phase"].tolist().count("warmup") == 4
        assert columns["phase"].tolist().count("discarded") == 5
        assert columns["ns"][columns["phase"] == "timed"].tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 5, 3, 5, 6, 7]
        assert columns["call"][columns["phase"] == "timed"].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 0, 1, 0, 0]
        assert set(columns["group"][columns["phase"] == "timed"]) == {1, 2}

    def test_warm_up_belongs_to_no_turn(self, tmp_path):
        path = tmp_path / "samples.parquet"
        tables.write_samples(path, "a", measurement(TURNS, [report(), report(trial=1, warmup=(6,))]))
        columns = tables.read_samples(path)
        warm = columns["phase"] == "warmup"
        assert set(columns["round"][warm]) == {-1}
        assert set(columns["batch_size"][warm]) == {1}
        assert pq.read_table(path).column("round").null_count == 4
        assert {worker: ns.tolist() for worker, ns in tables.warmup_of(columns).items()} == {
            (0, None): [9, 8, 7],
            (1, None): [6],
        }

    def test_an_arm_without_calls_has_an_empty_table(self, tmp_path):
        path = tmp_path / "samples.parquet"
        tables.write_samples(path, "nobody", measurement(TURNS))
        columns = tables.read_samples(path)
        assert {name: len(column) for name, column in columns.items()} == dict.fromkeys(columns, 0)
        assert tables.warmup_of(columns) == {}

    def test_columns_are_the_documented_ones(self, tmp_path):
        path = tmp_path / "samples.parquet"
        tables.write_samples(path, "a", measurement(TURNS))
        assert pq.read_schema(path).names == [
            "trial",
            "round",
            "position",
            "batch_size",
            "input_length",
            "threads",
            "counted",
            "phase",
            "call",
            "group",
            "ns",
        ]


class TestHardware:
    def test_a_figure_that_could_not_be_read_is_null(self, tmp_path):
        path = tmp_path / "hardware.parquet"
        tables.write_hardware(path, "a", measurement(TURNS))
        assert pq.read_table(path).column("energy_j").to_pylist() == [1.0, *[None] * 5]
        columns = tables.read_hardware(path)
        assert columns["rss_mib"][:2].tolist() == [10.5, 11.0]
        assert np.isnan(columns["rss_mib"][2:]).all()
        assert np.isnan(columns["energy_j"][1:]).all()
        assert columns["start_ns"].dtype == np.int64


class TestTurns:
    def test_come_back_equal(self, tmp_path):
        everything = measurement(TURNS, [report()])
        tables.write_samples(tmp_path / "s", "a", everything)
        tables.write_hardware(tmp_path / "h", "a", everything)
        back, _ = tables.turns_of("a", tables.read_samples(tmp_path / "s"), tables.read_hardware(tmp_path / "h"))
        mine = [turn for turn in TURNS if turn.arm == "a"]
        assert len(back) == len(mine)
        assert all(equal(left, right) for left, right in zip(back, mine, strict=True))

    def test_without_any_call(self, tmp_path):
        tables.write_samples(tmp_path / "s", "z", measurement(TURNS))
        tables.write_hardware(tmp_path / "h", "z", measurement(TURNS))
        assert tables.turns_of("z", tables.read_samples(tmp_path / "s"), tables.read_hardware(tmp_path / "h")) == (
            (),
            (),
        )

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, 2**62), max_size=3),
                st.integers(1, 3),
                st.integers(1, 3),
                st.dictionaries(
                    st.sampled_from(["rss_mib", "steal_pct"]), st.floats(allow_nan=False, allow_infinity=False)
                ),
            ),
            max_size=5,
        )
    )
    def test_any_turns_come_back_equal(self, tmp_path_factory, drawn):
        folder = tmp_path_factory.mktemp("turns")
        turns = [
            turn(index=index, discarded=discarded, timed=range(calls * group), group=group, **hardware)
            for index, (discarded, calls, group, hardware) in enumerate(drawn)
        ]
        tables.write_samples(folder / "s", "a", measurement(turns))
        tables.write_hardware(folder / "h", "a", measurement(turns))
        back, _ = tables.turns_of("a", tables.read_samples(folder / "s"), tables.read_hardware(folder / "h"))
        assert len(back) == len(turns)
        assert all(equal(left, right) for left, right in zip(back, turns, strict=True))


class TestVoid:
    """Trials that do not count are kept beside those that do, and never taken for them."""

    @pytest.fixture
    def everything(self):
        counted = measurement(TURNS, [report()])
        void = (turn(trial=2, timed=(90, 91), rss_mib=99.0), turn(arm="b", trial=2))
        return replace(counted, void=void, void_workers=(report(trial=2, warmup=(70, 71)),))

    @pytest.fixture
    def written(self, tmp_path, everything):
        tables.write_samples(tmp_path / "s", "a", everything)
        tables.write_hardware(tmp_path / "h", "a", everything)
        return tmp_path

    def test_come_back_beside_the_others(self, written, everything):
        counted, void = tables.turns_of("a", tables.read_samples(written / "s"), tables.read_hardware(written / "h"))
        mine = [turn for turn in TURNS if turn.arm == "a"]
        assert len(counted) == len(mine)
        assert all(equal(left, right) for left, right in zip(counted, mine, strict=True))
        assert len(void) == 1
        assert equal(void[0], everything.void[0])

    def test_every_row_says_whether_it_counts(self, written):
        for table, most in (("s", 21 + 5), ("h", 6 + 1)):
            read = pq.read_table(written / table)
            assert read.num_rows == most
            assert read.column("counted").to_pylist() == [trial != 2 for trial in read.column("trial").to_pylist()]

    def test_their_warm_up_comes_back(self, written):
        warmup = tables.warmup_of(tables.read_samples(written / "s"))
        assert {worker: ns.tolist() for worker, ns in warmup.items()} == {(0, None): [9, 8, 7], (2, None): [70, 71]}

    def test_in_tables_of_the_first_schema_everything_counts(self, written):
        for table in ("s", "h"):
            old = pq.read_table(written / table).drop_columns(["counted"])
            metadata = {**old.schema.metadata, b"mlbench.schema": b"1"}
            pq.write_table(old.replace_schema_metadata(metadata), written / table)
        counted, void = tables.turns_of("a", tables.read_samples(written / "s"), tables.read_hardware(written / "h"))
        assert (len(counted), void) == (7, ())


class TestPredictions:
    @pytest.mark.parametrize("shape", [(3, 4), (3,), (3, 2, 2), (1, 1)])
    def test_come_back_equal(self, tmp_path, shape):
        outputs = np.random.default_rng(0).normal(size=shape)
        labels = np.arange(shape[0], dtype=np.int64)
        tables.write_predictions(tmp_path / "p", Predictions("a", outputs, labels))
        back = tables.read_predictions(tmp_path / "p")
        assert back.arm == "a"
        assert np.array_equal(back.outputs, outputs)
        assert np.array_equal(back.labels, labels)

    def test_what_the_task_decided_comes_back(self, tmp_path):
        decided = np.array([1, 0])
        tables.write_predictions(tmp_path / "p", Predictions("a", np.eye(2), np.array([1, 1]), decided))
        assert pq.read_table(tmp_path / "p").column_names == ["row", "label", "predicted", "output_0", "output_1"]
        assert tables.read_predictions(tmp_path / "p").decided.tolist() == [1, 0]
        tables.write_predictions(tmp_path / "p", Predictions("a", np.eye(2), np.array([1, 1])))
        assert tables.read_predictions(tmp_path / "p").decided is None

    @pytest.mark.parametrize(
        ("labels", "columns"),
        [
            (np.array([0.5, -1.25]), ["label"]),
            (np.array([[0, 1, 1], [1, 0, 0]]), ["label_0", "label_1", "label_2"]),
            (np.array([[0, IGNORED], [1, 2]]), ["label_0", "label_1"]),
        ],
        ids=["numbers", "several labels", "tokens"],
    )
    def test_labels_of_every_task_come_back(self, tmp_path, labels, columns):
        tables.write_predictions(tmp_path / "p", Predictions("a", np.zeros((2, 3)), labels, labels))
        back = tables.read_predictions(tmp_path / "p")
        for found in (back.labels, back.decided):
            assert found.dtype == labels.dtype
            np.testing.assert_array_equal(found, labels)
        assert pq.read_table(tmp_path / "p").column_names[1 : 1 + len(columns)] == columns


class TestDamage:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "samples.parquet"
        tables.write_samples(path, "a", measurement(TURNS))
        return path

    def change(self, path, **metadata):
        table = pq.read_table(path)
        changed = dict(table.schema.metadata)
        changed |= {f"mlbench.{key}".encode(): value.encode() for key, value in metadata.items()}
        pq.write_table(table.replace_schema_metadata(changed), path)

    def test_truncated(self, path):
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(RecordError, match=r"samples\.parquet' cannot be read"):
            tables.read_samples(path)

    def test_absent(self, tmp_path):
        with pytest.raises(RecordError, match="cannot be read"):
            tables.read_samples(tmp_path / "none.parquet")

    def test_newer(self, path):
        self.change(path, schema="99")
        with pytest.raises(RecordError, match=r"schema version 99.*upgrade mlflow-mlbench"):
            tables.read_samples(path)

    def test_another_table(self, path):
        with pytest.raises(RecordError, match="is a table of samples, but a table of hardware was expected"):
            tables.read_hardware(path)

    def test_a_foreign_file(self, tmp_path):
        pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
        with pytest.raises(RecordError, match="not a table of mlbench"):
            tables.read_samples(tmp_path / "x.parquet")

    def test_missing_columns(self, path):
        pq.write_table(pq.read_table(path).drop_columns(["ns", "group"]), path)
        with pytest.raises(RecordError, match="lacks the columns group, ns"):
            tables.read_samples(path)

    @pytest.mark.parametrize(
        ("name", "column"),
        [
            ("ns", pa.array(["1", "2"])),
            ("ns", pa.array([1.5, 2.5])),
            ("trial", pa.array([None, 1], pa.int32())),
            ("phase", pa.array([1, 2])),
            ("call", pa.array([[1], [2]])),
            ("counted", pa.array([1, 0])),
            ("counted", pa.array([None, True])),
        ],
    )
    def test_columns_that_hold_something_else(self, path, name, column):
        table = pq.read_table(path).slice(0, 2)
        pq.write_table(table.set_column(table.column_names.index(name), name, column), path)
        with pytest.raises(RecordError, match=f"its column {name} does not hold what it should"):
            tables.read_samples(path)

    def test_a_column_that_is_there_twice(self, path):
        table = pq.read_table(path)
        pq.write_table(table.append_column("ns", table.column("ns")), path)
        with pytest.raises(RecordError, match=r"'samples\.parquet' (is damaged: its column ns|cannot be read)"):
            tables.read_samples(path)

    def test_more_than_there_is_memory(self, path, monkeypatch):
        table = pq.read_table(path).slice(0, 1)
        many = pa.Table.from_arrays([pa.repeat(table[n][0], 1 << 17) for n in table.column_names], schema=table.schema)
        pq.write_table(many, path)
        monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 256}.__getitem__)  # 1 MiB
        with pytest.raises(RecordError, match="it unpacks to"):
            tables.read_samples(path)

    def test_impossible_shape(self, tmp_path):
        tables.write_predictions(tmp_path / "p", Predictions("a", np.zeros((2, 3)), np.zeros(2, np.int64)))
        self.change(tmp_path / "p", output_shape="5")
        with pytest.raises(RecordError, match=r"do not have the shape \(5\)"):
            tables.read_predictions(tmp_path / "p")

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(self, path, monkeypatch):
        before = path.read_bytes()

        def explode(*_args, **_options):
            raise OSError("disk full")

        monkeypatch.setattr(pq, "write_table", explode)
        with pytest.raises(OSError, match="disk full"):
            tables.write_samples(path, "a", measurement(TURNS))
        assert path.read_bytes() == before
        assert [entry.name for entry in path.parent.iterdir()] == ["samples.parquet"]
