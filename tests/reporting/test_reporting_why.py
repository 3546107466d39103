"""Why arms are not faster than what they extend: the same words in every output."""

from __future__ import annotations

import dataclasses
import io

import pytest
from reporting_studies import EVIL

from mlbench.records import Explanation, OperatorTime, Profile, Study
from mlbench.reporting import why
from mlbench.reporting.html import render_html
from mlbench.reporting.markdown import escape, render_markdown
from mlbench.reporting.terminal import print_study, result_console

REASONS = ("convolutions take 0.9 ms per call (ConvInteger 0.9 ms), those of onnx_fp32 0.3 ms", "converting takes 20 %")


def profile(operator: str, ms: float, batch: int, others: int = 0) -> Profile:
    more = tuple(OperatorTime(f"Op{number}", 1.0, 0.001) for number in range(others))
    return Profile("a profiler", batch, 10, 2 * ms, (OperatorTime(operator, 4.0, ms), *more))


def explained(study: Study, reasons: tuple[str, ...] = REASONS, unseen: tuple[str, ...] = ()) -> Study:
    arms = []
    for arm in study.arms:
        if arm.name == "onnx_int8_dynamic":
            verdict = arm.verdicts["latency/p50_ms"]
            arm = dataclasses.replace(  # noqa: PLW2901
                arm,
                why=Explanation("onnx_fp32", verdict, reasons, unseen),
                profiles=(profile("ConvInteger", 0.9, 1, others=9), profile("ConvInteger", 30.0, 32)),
            )
        if arm.name in ("onnx_fp32", "baseline"):
            arm = dataclasses.replace(arm, profiles=(profile("FusedConv", 0.3, 1),))  # noqa: PLW2901
        arms.append(arm)
    return dataclasses.replace(study, arms=tuple(arms))


def test_an_explanation_with_the_time_by_operator_beside_parent_and_baseline(study: Study) -> None:
    (found,) = why.whys(explained(study))
    assert (found.arm, found.title) == ("onnx_int8_dynamic", "slower than onnx_fp32, x0.66 (0.65 to 0.67)")
    assert found.reasons == REASONS
    assert [(row.arm, row.batch, row.call) for row in found.operators] == [
        ("onnx_int8_dynamic", "1", "1.80"),
        ("onnx_fp32", "1", "0.600"),
        ("baseline", "1", "0.600"),
        ("onnx_int8_dynamic", "32", "60.0"),
    ]
    assert found.operators[0].operators.startswith("ConvInteger 0.900 (x4), Op0 0.00100 (x1)")
    assert found.operators[0].operators.endswith("2 others 0.00200")


@pytest.mark.parametrize(
    ("call", "title"), [("equivalent", "no faster than"), ("inconclusive", "not shown to be faster than")]
)
def test_what_is_to_be_explained(study: Study, call: str, title: str) -> None:
    held = explained(study)
    arm = held.arm("onnx_int8_dynamic")
    assert arm.why is not None
    verdict = dataclasses.replace(arm.why.verdict, call=call)  # type: ignore[arg-type]
    other = dataclasses.replace(arm, why=dataclasses.replace(arm.why, verdict=verdict))
    arms = tuple(other if item is arm else item for item in held.arms)
    assert why.whys(dataclasses.replace(held, arms=arms))[0].title.startswith(f"{title} onnx_fp32")


def test_that_nothing_was_found_is_a_sentence_too(study: Study) -> None:
    none = explained(study, reasons=(), unseen=("no profile of onnx_fp32: it died",))
    assert why.whys(none)[0].reasons == ("no reason found in the evidence",)
    (line,) = why.lines(none)
    assert line.endswith("x0.66 (0.65 to 0.67): no reason found in the evidence")
    assert "not seen: no profile of onnx\\_fp32: it died" in render_markdown(none)
    assert "Not seen: no profile of onnx_fp32: it died" in render_html(none, {}, ())


def test_every_output_says_it(study: Study) -> None:
    held = explained(study)
    page, markdown, stream = render_html(held, {}, ()), render_markdown(held), io.StringIO()
    print_study(held, result_console(stream))
    terminal = " ".join(stream.getvalue().split())
    for reason in REASONS:
        assert reason in page
        assert escape(reason) in markdown
    assert REASONS[0] in terminal
    assert "(and 1 more in the report)" in terminal
    assert '<a href="#why">' in page
    assert "| onnx\\_fp32 | 1 | 0.600 | FusedConv 0.300 (x4) |" in markdown
    for output in (render_html(study, {}, ()), render_markdown(study)):
        assert why.INTRODUCTION not in output


def test_names_of_operators_do_no_harm(study: Study) -> None:
    held = explained(study)
    evil = tuple(
        dataclasses.replace(arm, profiles=(profile(EVIL, 1.0, 1),)) if arm.profiles else arm for arm in held.arms
    )
    spoiled = dataclasses.replace(held, arms=evil)
    assert EVIL not in render_html(spoiled, {}, ())
    assert EVIL not in render_markdown(spoiled)


def test_on_what_operators_ran_is_said_once_where_it_is_the_same_for_all(study: Study) -> None:
    def row(*wheres: str) -> str:
        taken = tuple(OperatorTime(f"Op{number}", 1.0, 0.5, where) for number, where in enumerate(wheres))
        held = explained(study)
        arms = tuple(
            dataclasses.replace(arm, profiles=(Profile("a profiler", 1, 10, 2.0, taken),)) if arm.why else arm
            for arm in held.arms
        )
        return why.whys(dataclasses.replace(held, arms=arms))[0].operators[0].operators

    assert row("CPU", "CPU") == "Op0 0.500 (x1), Op1 0.500 (x1); all on CPU"
    assert row("CUDA", "CPU") == "Op0 0.500 (x1, CUDA), Op1 0.500 (x1, CPU)"
    assert row("", "") == "Op0 0.500 (x1), Op1 0.500 (x1)"
