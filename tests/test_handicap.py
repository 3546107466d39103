"""A baseline that MKL holds back on a processor of another maker: who is told, and what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlbench import handicap
from mlbench.records import ArmResult, Notice, Recipe, Verdict

MKL = {"runtime": "torch", "blas": "mkl", "blas_version": "2024.2", "cpu_vendor": "AuthenticAMD"}
VERDICTS = {"latency/p50_ms": Verdict("latency/p50_ms", "faster", None)}


def arm(name: str, **effective: Any) -> ArmResult:
    role: Any = "baseline" if name == "baseline" else "variant"
    return ArmResult(name, role, Recipe(name), effective=effective, verdicts={} if role == "baseline" else VERDICTS)


def held(name: str, share: float | None = 60.0, **more: Any) -> ArmResult:
    return arm(name, **MKL, **({} if share is None else {"blas_calls": 36, "blas_time_pct": share}), **more)


def test_the_share_of_the_call_bounds_what_it_can_account_for() -> None:
    assert handicap.handicap(held("baseline", blas_kernels="AVX2")) == (
        "spends 60 % of a call in MKL 2024.2, which takes slower paths on processors that are not Intel's (here "
        "AuthenticAMD, by its own word for AVX2), so that at most x2.50 of each is due to that"
    )
    assert "at most" not in handicap.handicap(held("baseline", 100.0))


def test_where_the_share_is_not_known_that_is_said() -> None:
    assert handicap.handicap(held("baseline", None)).endswith("how much of a call that is cannot be told")


@pytest.mark.parametrize(
    "facts",
    [
        {**MKL, "blas_time_pct": 60.0, "cpu_vendor": "GenuineIntel"},
        {**MKL, "blas_time_pct": 2.9},
        {**MKL, "blas_time_pct": 60.0, "blas": "openblas"},
        {key: value for key, value in MKL.items() if key != "cpu_vendor"},
        {"runtime": "onnxruntime"},
    ],
)
def test_who_is_not_held_back(facts: dict[str, Any]) -> None:
    assert handicap.handicap(arm("baseline", **facts)) == ""
    results = (arm("baseline", **facts), arm("onnx"))
    assert handicap.marked(results) == results
    assert handicap.notices(results) == []


def test_only_arms_that_are_not_held_back_themselves_are_marked() -> None:
    failed = replace(arm("failed"), verdicts={})
    found = {item.name: item for item in handicap.marked((held("baseline"), arm("onnx"), held("pruned"), failed))}
    assert {name for name, item in found.items() if handicap.is_inflated(item)} == {"onnx"}
    assert found["onnx"].tags == {"mlbench.baseline.handicap": "mkl"}
    (notice,) = found["onnx"].warnings
    assert notice.code == "slow_blas"
    assert notice.message.startswith("its speed-up is partly the baseline's handicap: baseline spends 60 %")
    assert "baseline=torch_tuned" in notice.action


def test_the_study_says_it_once_and_keeps_other_warnings() -> None:
    other = Notice("two_speeds", "jumps")
    jumping = replace(arm("int8"), warnings=(other,))
    told = handicap.notices(handicap.marked((held("baseline"), arm("onnx"), jumping)))
    assert told[0] == other
    (notice,) = told[1:]
    assert notice.message.startswith("the speed-ups of onnx, int8 (marked *) are partly the baseline's handicap: base")


def test_numpy_has_another_remedy() -> None:
    sklearn = arm("baseline", **{**MKL, "runtime": "sklearn"})
    assert "OpenBLAS" in handicap.marked((sklearn, arm("onnx")))[1].warnings[0].action


def test_the_same_library_through_pyfunc_is_held_back_in_the_same_way() -> None:
    through = replace(held("as_pyfunc"), effective={**held("as_pyfunc").effective, "runtime": "pyfunc"})
    other = arm("sklearn_pyfunc", runtime="pyfunc", blas="openblas", cpu_vendor="AuthenticAMD")
    found = {item.name: item for item in handicap.marked((held("baseline"), through, other))}
    assert [name for name, item in found.items() if handicap.is_inflated(item)] == ["sklearn_pyfunc"]
