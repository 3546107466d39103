import json
import math
from dataclasses import replace

import numpy as np
import pytest
import yaml
from tiny_study import make_measurement, make_study
from voided import with_void

from mlbench.records import Estimate, Recipe, RecordError, RuntimeSettings, StepSpec
from mlbench.tracking import content, names


@pytest.fixture
def study(artifacts):
    return make_study(artifacts)


class TestStudy:
    def test_no_credentials_anywhere(self, study):
        secret = replace(
            study,
            config={"tracking": {"uri": "http://me:secret@host"}, "list": [1, ("http://me:secret@h",)]},
            overrides=("tracking.uri=http://me:secret@host",),
        )
        text = json.dumps(content.redacted({"study": str(content.public(secret))}))
        assert "secret" not in text
        assert content.public(secret).config["tracking"]["uri"] == "http://***@host"

    def test_nothing_else_changes(self, study):
        assert content.public(replace(study, arms=study.arms[:-1])) == replace(study, arms=study.arms[:-1])

    def test_tags(self, study):
        tags = content.study_tags(study)
        assert tags["mlbench.kind"] == "study"
        assert tags["mlbench.decision"] == "promote"
        assert tags["mlbench.winner"] == "fast"
        assert tags["mlbench.noise"] == "quiet"
        assert tags["mlbench.schema"] == "2"
        assert tags["mlbench.energy.source"] == "absent"

    def test_no_winner_no_tag(self, artifacts):
        assert names.WINNER not in content.study_tags(make_study(artifacts, "hold"))

    def test_comparison_has_one_row_per_arm(self, study):
        table = content.comparison(study)
        rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
        assert [row["arm"] for row in rows] == ["baseline", "fast", "script", "slow", "broken"]
        assert rows[1]["winner"] is True
        assert rows[1]["latency/p50_ms"] == 1.0
        assert rows[0]["vs_baseline/speedup_p50"] is None
        assert rows[4]["verdict"] == "failed"
        assert "explode" in rows[4]["reason"]

    def test_comparison_reads_as_a_table(self, study):
        import pandas as pd

        frame = pd.DataFrame(**content.comparison(study))
        assert frame.set_index("arm").loc["fast", "verdict"] == "faster"

    def test_params(self, study):
        params = content.study_params(study)
        assert params["workload"] == "tiny"
        assert params["batch_sizes"] == "1, 8"
        assert params["policy"] == "keep_accuracy"


class TestMetrics:
    def test_names_steps_and_intervals(self, study):
        points = content.metrics(study.arm("fast"))
        found = {(point.key, point.step): point.value for point in points}
        assert found["latency/p50_ms", 0] == 1.0
        assert found["vs_baseline/speedup_p50_low", 0] == 1.9
        assert found["vs_baseline/speedup_p50_high", 0] == 2.1
        assert found["by_batch/p50_ms", 1] == 1.0
        assert found["by_batch/p50_ms", 8] == 5.0
        assert ("latency/p50_ms_low", 0) not in found

    def test_what_is_no_number_is_not_logged(self, study):
        arm = replace(study.arm("fast"), metrics={"a": Estimate(math.nan), "b": Estimate(math.inf)}, series={})
        assert content.metrics(arm) == []

    def test_a_comparison_without_interval_has_no_bounds(self, study):
        arm = replace(study.arm("fast"), metrics={"vs_baseline/disk_ratio": Estimate(0.5)}, series={})
        assert content.metrics(arm) == [content.Point("vs_baseline/disk_ratio", 0.5)]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [(6.3180000000000005, 6.318), (123456.789, 123457.0), (0.000123456, 0.00012346), (0.0, 0.0)],
    )
    def test_rounded(self, value, expected):
        assert content.rounded(value) == expected


class TestArm:
    def test_tags(self, study):
        tags = content.arm_tags(study, study.arm("fast"), "#0072b2")
        assert tags["mlbench.kind"] == "arm"
        assert tags["mlbench.arm"] == "fast"
        assert tags["mlbench.role"] == "variant"
        assert tags["mlbench.verdict"] == "faster"
        assert tags["mlflow.runColor"] == "#0072b2"
        assert tags["mlbench.ship"] == "true"
        assert content.arm_tags(study, study.baseline, "")["mlbench.ship"] == "false"
        assert json.loads(tags["mlbench.absent"]) == {"energy/joules_per_sample": "no counter here"}
        assert "mlbench.error" not in tags

    def test_the_contract_wins_over_an_arms_own_tags(self, study):
        arm = replace(study.arm("fast"), tags={"mlbench.arm": "other", "team": "vision"})
        tags = content.arm_tags(study, arm, "")
        assert tags["mlbench.arm"] == "fast"
        assert tags["team"] == "vision"

    def test_a_failed_arm(self, study):
        tags = content.arm_tags(study, study.arm("broken"), "")
        assert tags["mlbench.verdict"] == "failed"
        assert tags["mlbench.error"].startswith("step 'explode'")
        assert "secret" not in tags["mlbench.error"]

    def test_many_reasons_still_are_json(self, study):
        arm = replace(study.arm("fast"), absent={f"metric/{number}": "because " * 40 for number in range(100)})
        text = content.arm_tags(study, arm, "")["mlbench.absent"]
        assert len(text) < 8000
        assert len(json.loads(text)) == 100

    @pytest.mark.parametrize(("name", "expected"), [("baseline", "baseline"), ("fast", "faster"), ("broken", "failed")])
    def test_verdict(self, study, name, expected):
        assert content.verdict(study.arm(name)) == expected

    def test_a_variant_without_verdict(self, study):
        assert content.verdict(replace(study.arm("fast"), verdicts={})) == "none"

    def test_params_name_each_step(self, study):
        steps = (StepSpec("fine_tune", {"epochs": 6}), StepSpec("export"), StepSpec("fine_tune", {"epochs": 2}))
        settings = RuntimeSettings(options={"graph_level": "all"})
        arm = replace(study.arm("fast"), recipe=Recipe("fast", steps, settings))
        params = content.arm_params(study, arm)
        assert params["recipe"] == "fine_tune + export + fine_tune"
        assert params["fine_tune.epochs"] == "6"
        assert params["fine_tune.2.epochs"] == "2"
        assert params["runtime"] == "onnxruntime"
        assert params["precision"] == "fp32"
        assert params["effective.version"] == "1.32.0"
        assert params["runtime.graph_level"] == "all"
        assert params["artifact.format"] == "onnx"
        assert params["study.created"] == "2026-01-01 00:00:00"

    def test_params_of_an_arm_that_was_never_served(self, study):
        params = content.arm_params(study, study.arm("broken"))
        assert params["runtime"] == "auto"
        assert "precision" not in params
        assert "artifact.format" not in params

    def test_recipe_names_no_directory(self, study):
        record = content.recipe(study.arm("fast"))
        assert "path" not in record["artifact"]
        assert record["artifact"]["steps"][0]["changed"] == {"nodes": 2}
        assert record["recipe"]["steps"][0]["name"] == "export_onnx"
        assert content.recipe(study.arm("broken"))["artifact"] is None


class TestMeasurement:
    def test_workers_come_back(self):
        measured = with_void(make_measurement(), 1, "script")
        mine = [worker for worker in measured.workers if worker.arm == "fast"]
        void = [worker for worker in measured.void_workers if worker.arm == "fast"]
        stored = json.loads(content.as_json(content.worker_records(measured, "fast")))
        assert [(worker["trial"], worker["counted"]) for worker in stored] == [(0, True), (2, True), (1, False)]
        warmup = {(worker.trial, worker.threads): worker.warmup_ns for worker in (*mine, *void)}
        back, left = content.workers_from(stored, warmup)
        assert (back, left) == (mine, void)
        assert np.array_equal(left[0].warmup_ns, void[0].warmup_ns)
        assert [np.array_equal(a.warmup_ns, b.warmup_ns) for a, b in zip(back, mine, strict=True)] == [True, True]

    def test_everything_comes_back(self):
        measured = with_void(make_measurement(), 1, "script")
        stored = json.loads(content.as_json(content.measurement_record(measured)))
        of = content.OfArm(
            measured.turns[::-1],
            measured.workers,
            measured.predictions,
            measured.void[::-1],
            measured.void_workers,
        )
        assert content.measurement_from(measured.plan, stored, [of]) == measured
        assert stored["lost"][0]["repeated_as"] == 2

    @pytest.mark.parametrize(("repeated", "number"), [(True, 1), (False, None)])
    def test_a_second_attempt_of_the_first_schema_had_the_same_number(self, repeated, number):
        measured = make_measurement()
        stored = json.loads(content.as_json(content.measurement_record(measured)))
        stored["lost"] = [{"arm": "script", "trial": 1, "reason": "killed", "repeated": repeated}]
        back = content.measurement_from(measured.plan, stored, [content.OfArm(measured.turns, measured.workers)])
        assert [loss.repeated_as for loss in back.lost] == [number]
        assert bool(back.lost_by("script")) is not repeated
        assert (back.turns, back.void, back.replaced) == (measured.turns, (), {})
        assert back.sorted_out() == back

    @pytest.mark.parametrize("stored", [[{"arm": "a"}], [{"modules": []}], [{"modules": [], "trial": 1, "x": 2}]])
    def test_damaged_workers(self, stored):
        with pytest.raises(RecordError, match=r"workers\.json"):
            content.workers_from(stored, {})

    @pytest.mark.parametrize("stored", [{}, {"lost": [{"x": 1}]}])
    def test_damaged_measurement(self, stored):
        with pytest.raises(RecordError, match=r"measurement\.json"):
            content.measurement_from(make_measurement().plan, stored, ())


def test_yaml_keeps_the_order_and_the_letters():
    text = content.as_yaml({"b": 1, "a": ["größe"]})
    assert text.startswith("b: 1\n")
    assert yaml.safe_load(text) == {"b": 1, "a": ["größe"]}
