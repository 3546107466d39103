"""The front of speed and quality."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from reporting_studies import make_study

from mlbench.records import ArmResult, Estimate, Quality, Recipe, Study
from mlbench.reporting.plane import plane, plane_sentences

STUDY = make_study()


def with_points(points: list[tuple[int, int]]) -> Study:
    arms = tuple(
        ArmResult(
            f"arm{place}",
            "variant",
            Recipe(f"arm{place}"),
            metrics={"latency/p50_ms": Estimate(float(latency))},
            quality=Quality({"accuracy": Estimate(quality / 10, unit="fraction")}),
        )
        for place, (latency, quality) in enumerate(points)
    )
    return dataclasses.replace(STUDY, arms=arms)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=9))
def test_an_arm_is_beaten_if_another_is_as_good_on_both_and_better_on_one(
    points: list[tuple[int, int]],
) -> None:
    found = plane(with_points(points))
    assert len(found) == len(points)
    by_name = {point.name: point for point in found}
    for point, (latency, quality) in zip(found, points, strict=True):
        beaten = any(other != (latency, quality) and other[0] <= latency and other[1] >= quality for other in points)
        assert (point.beaten_by is not None) == beaten
        if point.beaten_by is not None:
            assert by_name[point.beaten_by].beaten_by is None  # the arm that is named is itself on the front


def test_the_default_figures(study: Study) -> None:
    assert plane_sentences(study) == (
        "On the front, fastest first: pruned_onnx_int8 and pruned.",
        "Dominated by pruned_onnx_int8: baseline, torch_int8, onnx_fp32, onnx_int8_dynamic and onnx_int8_static.",
        "By less than the intervals, so it may be chance: pruned.",
    )


def test_arms_without_both_figures_are_left_out(study: Study, interrupted: Study) -> None:
    assert {point.name for point in plane(study)} == {arm.name for arm in study.arms} - {"openvino_int8"}
    assert "pruned_onnx_int8" not in {point.name for point in plane(interrupted)}
    assert plane_sentences(dataclasses.replace(study, arms=study.arms[-1:])) == ()


def around(point: Estimate, by: float) -> Estimate:
    return dataclasses.replace(point, low=point.value - by, high=point.value + by)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=9))
def test_without_intervals_everything_is_clear_and_with_endless_ones_only_the_front_is(
    points: list[tuple[int, int]],
) -> None:
    study = with_points(points)
    exact = plane(study)
    assert all(point.clear and point.rival is None for point in exact)
    arms = tuple(
        dataclasses.replace(
            arm,
            metrics={"latency/p50_ms": around(arm.metrics["latency/p50_ms"], 100.0)},
            quality=Quality({"accuracy": around(arm.quality.metrics["accuracy"], 100.0)}),  # type: ignore[union-attr]
        )
        for arm in study.arms
    )
    for point, before in zip(plane(dataclasses.replace(study, arms=arms)), exact, strict=True):
        assert point.beaten_by == before.beaten_by  # the intervals do not move the points
        assert point.clear == (point.beaten_by is None)
        assert point.rival is None  # nothing is clearly better than anything


def test_doubt_is_said_where_the_intervals_overlap() -> None:
    def placed(*arms: tuple[float, float, float, float]) -> list[str]:
        study = with_points([(1, 1)] * len(arms))
        changed = tuple(
            dataclasses.replace(
                arm,
                metrics={"latency/p50_ms": around(Estimate(latency), spread)},
                quality=Quality({"accuracy": around(Estimate(quality, unit="fraction"), doubt)}),
            )
            for arm, (latency, spread, quality, doubt) in zip(study.arms, arms, strict=True)
        )
        return [point.standing for point in plane(dataclasses.replace(study, arms=changed))]

    assert placed((1, 0.1, 0.9, 0.01), (2, 0.1, 0.8, 0.01)) == ["on the front", "dominated by arm0"]
    assert placed((1, 0.1, 0.9, 0.5), (1.1, 0.1, 0.8, 0.5)) == [
        "on the front",
        "dominated by arm0, though their intervals overlap in both",
    ]
    assert placed((1, 0.1, 0.90, 0.05), (2, 0.1, 0.91, 0.05)) == [
        "on the front",
        "on the front, though not clearly beside arm0",
    ]
    assert placed((1, 0.1, 0.8, 0.01), (2, 0.1, 0.9, 0.01)) == ["on the front", "on the front"]
