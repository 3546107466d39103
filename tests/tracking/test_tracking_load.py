import re

import pytest
from tiny_study import REPORTS, arms_of, make_measurement, make_study

from mlbench.errors import InputError
from mlbench.records import RecordError
from mlbench.tracking import content, load_measurement, load_samples, load_study, names, publish, studies


class TestReference:
    def test_run_id(self, three):
        tracker, ids = three
        assert load_study(tracker, ids[0]).run_id == ids[0]

    def test_beginning_of_a_run_id(self, three):
        tracker, ids = three
        length = next(n for n in range(4, 33) if len({run_id[:n] for run_id in ids}) == 3)
        assert load_study(tracker, ids[1][:length]).run_id == ids[1]

    def test_name(self, three):
        tracker, ids = three
        assert load_study(tracker, "tiny-20260101-000000").run_id == ids[0]

    def test_latest_is_the_newest_with_a_result(self, three):
        tracker, ids = three
        assert load_study(tracker).run_id == ids[2]

    def test_several(self, three):
        tracker, ids = three
        with pytest.raises(InputError, match="'twice' means 2 studies") as caught:
            load_study(tracker, "twice")
        assert ids[1] in str(caught.value)
        assert ids[2] in str(caught.value)

    @pytest.mark.parametrize("reference", ["TWICE", "it's", "abc", "a/b"])
    def test_unknown(self, three, reference):
        tracker, _ = three
        with pytest.raises(InputError, match=f"no study '{reference}' in the experiment 'mlbench'"):
            load_study(tracker, reference)

    def test_unknown_names_the_nearest(self, three):
        tracker, _ = three
        with pytest.raises(InputError, match=r"did you mean twice\?"):
            load_study(tracker, "twicee")

    def test_unknown_run_id(self, three):
        tracker, _ = three
        with pytest.raises(InputError, match=r"no run '0{32}'"):
            load_study(tracker, "0" * 32)

    def test_an_arm(self, three):
        tracker, ids = three
        arm = load_study(tracker, ids[0]).arms["fast"]
        with pytest.raises(InputError, match=f"is no study of mlbench; it is an arm of the study {ids[0]}"):
            load_study(tracker, arm)

    def test_a_run_of_something_else(self, three):
        tracker, _ = three
        other = tracker.client.create_run(tracker.experiment_id).info.run_id
        with pytest.raises(InputError, match=r"is no study of mlbench$"):
            load_study(tracker, other)

    def test_without_a_result(self, three):
        tracker, _ = three
        unfinished = tracker.open_study("unfinished", {}, []).run_id
        for reference in (unfinished, "unfinished"):
            with pytest.raises(InputError, match="has no result"):
                load_study(tracker, reference)

    def test_list(self, three):
        tracker, ids = three
        unfinished = tracker.open_study("unfinished", {}, []).run_id
        listed = studies(tracker)
        assert [entry.run_id for entry in listed] == [unfinished, *ids[::-1]]
        assert [entry.decision for entry in listed] == ["", "promote", "promote", "promote"]
        assert listed[1].winner == "fast"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", listed[0].started)
        assert len(studies(tracker, limit=2)) == 2


def test_more_candidates_than_fit_into_a_message(tracker):
    for _ in range(10):
        tracker.open_study("same", {}, [])
    with pytest.raises(InputError, match=r"means 10 studies.*; and 2 more"):
        load_study(tracker, "same")


def test_no_study_yet(tracker):
    with pytest.raises(InputError, match="there is no study yet in the experiment 'mlbench'"):
        load_study(tracker)


def test_a_study_comes_back_equal(published, artifacts):
    tracker, run_id = published
    loaded = load_study(tracker, run_id)
    assert loaded.study == content.public(make_study(artifacts))
    assert list(loaded.arms) == ["baseline", "fast", "script", "slow", "broken"]
    assert loaded.status == "FINISHED"


class TestSamples:
    def test_of_an_arm(self, published):
        tracker, run_id = published
        columns = load_samples(tracker, load_study(tracker, run_id), "fast")
        timed = columns["ns"][columns["phase"] == "timed"]
        mine = [turn.timed_ns for turn in make_measurement().turns if turn.arm == "fast"]
        assert sorted(timed) == sorted(value for values in mine for value in values)

    def test_unknown_arm(self, published):
        tracker, run_id = published
        with pytest.raises(InputError, match=r"has no arm 'fats'; did you mean fast\?"):
            load_samples(tracker, load_study(tracker, run_id), "fats")

    def test_an_arm_that_was_never_measured(self, published):
        tracker, run_id = published
        with pytest.raises(InputError, match="nothing was measured of the arm 'broken'"):
            load_samples(tracker, load_study(tracker, run_id), "broken")


class TestDamage:
    @pytest.fixture
    def run_id(self, tracker, artifacts):
        study = make_study(artifacts, arms=make_study(artifacts).arms[:1])
        runs = tracker.open_study(study.name, study.config, study.overrides)
        publish(study, make_measurement(), runs, arms=arms_of(artifacts), log_models=False, **REPORTS)
        return runs.run_id

    def test_a_study_of_a_newer_mlbench(self, tracker, run_id):
        tracker.client.log_text(run_id, '{"schema": 99}', names.STUDY_JSON)
        with pytest.raises(RecordError, match=r"schema version 99.*upgrade mlflow-mlbench"):
            load_study(tracker, run_id)

    def test_no_study_record(self, tracker, run_id, tmp_path):
        next(tmp_path.rglob(names.STUDY_JSON)).unlink()
        with pytest.raises(RecordError, match=f"run {run_id} has no readable artifact 'study.json'"):
            load_study(tracker, run_id)

    def test_a_damaged_measurement(self, tracker, run_id):
        tracker.client.log_text(run_id, "{", names.MEASUREMENT_JSON)
        with pytest.raises(RecordError, match=r"'measurement\.json' is not readable"):
            load_measurement(tracker, load_study(tracker, run_id))
