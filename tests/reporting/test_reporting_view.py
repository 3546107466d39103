"""What is said of a study, before it is laid out."""

from __future__ import annotations

import dataclasses
import shlex

import pytest

import mlbench.statistics
from mlbench.records import ArmResult, Estimate, Noise, NoiseMoment, Notice, Plan, Study
from mlbench.reporting import view
from mlbench.reporting.html import render_html
from mlbench.reporting.markdown import render_markdown, render_note


def row(study: Study, name: str) -> view.ArmRow:
    return next(row for row in view.rows(study) if row.name == name)


def test_a_row_says_everything_of_an_arm(study: Study) -> None:
    winner = row(study, "pruned_onnx_int8")
    assert (winner.mark, winner.verdict, winner.speedup) == ("ship", "faster", "x5.87 (5.80 to 5.94)")
    assert (winner.p50, winner.p95, winner.throughput, winner.memory) == ("0.150", "0.186", "12,308", "69.0")
    assert (winner.quality, winner.quality_delta, winner.size) == ("99.2 %", "+0.1 (-0.4 to +0.7)", "0.110")
    assert row(study, "baseline").verdict == "baseline"
    slower = row(study, "onnx_int8_dynamic")
    assert (slower.verdict, slower.speedup) == ("slower", "x0.66 (0.65 to 0.67)")


def test_it_is_said_which_look_ended_a_study(study: Study) -> None:
    assert view.trials(study.plan) == "10 trials"
    assert not any("Look" in sentence for sentence in view.method(study))
    looked = dataclasses.replace(study.plan, trials=24, looks=(8, 16, 24))
    assert view.trials(looked) == "at most 24 trials (looked at after 8, 16 and 24)"

    def said(plan: Plan) -> str:
        return next(text for text in view.method(dataclasses.replace(study, plan=plan)) if "looks" in text)

    assert view.trials(looked.ended_at(1)) == "8 trials (look 1 of 3)"
    assert said(looked.ended_at(1)).endswith("Look 1 ended it: no verdict on p50 was open.")
    assert said(looked.ended_at(3)).endswith("Look 3, the last one, ended it.")
    assert said(looked).endswith("None of them ended it.")
    assert dict(view.facts(dataclasses.replace(study, plan=looked.ended_at(2))))["trials"] == "16 trials (look 2 of 3)"


def test_a_failed_arm_has_its_reason_and_no_numbers(study: Study) -> None:
    failed = row(study, "openvino_int8")
    assert (failed.verdict, failed.p50, failed.size, failed.speedup) == ("failed", "-", "-", "-")
    assert "aten::grid_sampler" in failed.reason
    assert view.failures(study) == (("openvino_int8", "failed", failed.reason),)


def test_an_arm_without_verdicts_is_not_called_anything(interrupted: Study) -> None:
    lost = row(interrupted, "pruned_onnx_int8")
    assert (lost.verdict, lost.p50, lost.quality) == ("-", "-", "-")
    assert view.state(interrupted).startswith("This study was interrupted")
    assert view.headline(interrupted) == "No decision yet"


def test_an_incumbent_is_marked(study: Study) -> None:
    arms = tuple(dataclasses.replace(arm, role="incumbent") if arm.name == "pruned" else arm for arm in study.arms)
    assert row(dataclasses.replace(study, arms=arms), "pruned").mark == "incumbent"


def test_headlines(study: Study, single: Study, few_trials: Study) -> None:
    assert view.headline(study) == "Ship pruned_onnx_int8"
    assert view.headline(single) == "Keep baseline"
    assert view.headline(few_trials) == "No decision yet"
    assert view.state(study) == ""


def test_the_quality_shown_is_the_one_that_the_policy_holds(study: Study) -> None:
    def under(*metrics: str) -> Study:
        policy = {"constraints": [{"metric": metric} for metric in metrics]}
        return dataclasses.replace(study, decision=dataclasses.replace(study.decision, policy=policy))

    assert view.quality_metric(under("latency/p50_ms", "quality/f1_macro")) == "f1_macro"
    assert view.quality_metric(under("quality/unknown")) == "accuracy"
    assert view.quality_metric(under()) == "accuracy"


def test_the_quality_of_a_task_without_accuracy() -> None:
    arm = ArmResult("a", "variant", None, metrics={"quality/rmse": Estimate(3.5, 3.1, 3.9)})  # type: ignore[arg-type]
    assert view.quality_of(arm, "rmse") == Estimate(3.5, 3.1, 3.9)
    assert view.quality_text(Estimate(3.5, 3.1, 3.9), with_interval=True) == "3.50 (3.10 to 3.90)"
    assert view.quality_text(Estimate(0.5)) == "0.500"


def test_another_quality_metric_is_found(study: Study) -> None:
    def renamed(arm: ArmResult) -> ArmResult:
        if arm.quality is None:
            return arm
        metrics = {"rmse": Estimate(3.5, 3.1, 3.9)}
        return dataclasses.replace(arm, quality=dataclasses.replace(arm.quality, metrics=metrics, deltas={}))

    other = dataclasses.replace(study, arms=tuple(map(renamed, study.arms)))
    assert view.quality_metric(other) == "rmse"
    assert view.rows(other)[0].quality == "3.50"


def test_what_the_interval_does_not_say_is_said_once(few_trials: Study, study: Study) -> None:
    (note,) = view.verdict_notes(few_trials)
    assert note == (
        "torch_int8, pruned, onnx_fp32, onnx_int8_dynamic, onnx_int8_static and pruned_onnx_int8: inconclusive, "
        "3 trials: no verdict with fewer than 6; about 6 trials would settle it"
    )
    assert view.verdict_notes(study) == ()


def test_trials_needed_are_not_repeated(few_trials: Study) -> None:
    arm = few_trials.arms[1]
    verdict = dataclasses.replace(arm.verdicts[view.HEADLINE], reason="wide; about 6 trials would settle it")
    told = dataclasses.replace(
        few_trials, arms=(few_trials.arms[0], dataclasses.replace(arm, verdicts={view.HEADLINE: verdict}))
    )
    assert view.verdict_notes(told) == ("torch_int8: inconclusive, wide; about 6 trials would settle it",)


def test_every_dash_has_its_reason(study: Study) -> None:
    assert view.missing(study) == (
        "energy per sample: this machine has no readable energy counter",
        "p99 latency of torch_int8: 400 values cannot support it, 473 are needed",
    )
    assert view.shown_missing(study) == ("p99 latency of torch_int8: 400 values cannot support it, 473 are needed",)


def test_noise_is_always_warned_of(study: Study, single: Study) -> None:
    assert [code for code, _, _ in view.warnings(study)] == ["noisy_machine"]
    untold = dataclasses.replace(study, warnings=(Notice("few-trials", "few"),))
    codes = [code for code, _, _ in view.warnings(untold)]
    assert codes == ["few-trials", "machine"]
    assert view.warnings(single) == ()
    assert view.noise_sentence(dataclasses.replace(single, noise=Noise("quiet"))) == "The machine was quiet."
    moments = (
        NoiseMoment("before", "quiet", ("steal 0 %", "load average 0.1")),
        NoiseMoment("during", "noisy", ("heat",)),
    )
    watched = dataclasses.replace(single, noise=Noise("noisy", ("heat",), moments))
    assert view.noise_sentence(watched) == (
        "The machine was noisy: before the first turn quiet (steal 0 %, load average 0.1); "
        "during the turns noisy (heat)."
    )


def test_the_method_has_the_numbers_of_the_plan(study: Study, few_trials: Study) -> None:
    said = " ".join(view.method(study))
    for part in (
        "10 trials",
        "10 rounds per trial",
        "seed 0",
        "2 discarded calls",
        "at least 1 ms",
        "within 3 %",
        "90 %",
        "95 %",
    ):
        assert part in said
    assert "give no verdict" not in said
    assert "Fewer than 6 trials give no verdict" in view.method(few_trials)[-1]


def test_the_least_number_of_trials_is_that_of_the_statistics() -> None:
    assert view.MINIMUM_TRIALS == mlbench.statistics.MIN_TRIALS


def test_the_command_survives_a_shell_and_tells_no_password(study: Study, hostile: Study) -> None:
    ours, project = view.reproduce(study).splitlines()
    assert shlex.split(ours) == ["mlbench", "run", *study.overrides]
    words = shlex.split(project, comments=True)
    assert words[:6] == ["mlflow", "run", ".", "--env-manager", "local", "-P"]
    assert shlex.split(words[6].removeprefix("overrides=")) == list(study.overrides)
    assert "secret" not in view.reproduce(hostile)
    assert shlex.split(view.reproduce(hostile))[2] == "name=<script>alert(1)</script>"
    plain = view.reproduce(dataclasses.replace(study, overrides=())).splitlines()
    assert [shlex.split(line, comments=True) for line in plain] == [
        ["mlbench", "run"],
        ["mlflow", "run", ".", "--env-manager", "local"],
    ]


def test_facts(study: Study) -> None:
    facts = dict(view.facts(study))
    assert facts["data"] == "scikit-learn digits: train 862, validation 216, test 719"
    assert (facts["batch sizes"], facts["took"]) == ("1, 8 and 32", "2 min 11 s")


def test_recipes_show_what_each_step_changed(study: Study) -> None:
    by_name = {recipe.arm: recipe for recipe in view.recipes(study)}
    steps = by_name["pruned"].steps
    assert steps[0] == (
        "prune_structured",
        "ratio 0.5, seed 0",
        "parameters_removed_share 0.744, channels_before 320, channels_after 160",
        "1.7 s",
    )
    assert [step[2] for step in by_name["openvino_int8"].steps] == ["not done", "not done"]
    assert by_name["baseline"].steps == ()


@pytest.mark.parametrize(
    ("values", "shown"),
    [({}, "-"), ({"a": 1.23456789, "b": None, "c": [1, 2], "d": "x"}, "a 1.235, b null, c [1, 2], d x")],
)
def test_pairs(values: dict[str, object], shown: str) -> None:
    assert view.pairs(values) == shown


def test_a_speed_up_that_is_partly_the_baselines_handicap_is_marked(study: Study) -> None:
    notice = Notice("slow_blas", "its speed-up is partly the baseline's handicap: baseline spends 60 % in MKL")
    arms = tuple(dataclasses.replace(arm, warnings=(notice,)) if arm.name == "onnx_fp32" else arm for arm in study.arms)
    held = dataclasses.replace(study, arms=arms)
    assert view.inflated(study) == ""
    assert view.inflated(held) == "* partly a handicap of baseline, see the warnings"
    assert row(held, "onnx_fp32").speedup == row(study, "onnx_fp32").speedup + " *"
    assert row(held, "pruned").speedup == row(study, "pruned").speedup
    arm = held.arm("onnx_fp32")
    marked = {metric for metric, verdict in arm.verdicts.items() if view.speedup(arm, verdict).endswith("*")}
    assert marked == {"latency/p50_ms", "latency/p95_ms", "throughput/samples_per_s"}  # memory is no matter of speed
    for shown in (render_markdown(held), render_note(held), render_html(held, {}, ())):
        assert "partly a handicap of baseline" in shown
