"""Arms, and profiles, in one line each."""

from __future__ import annotations

from typing import Any

from mlbench.records import (
    ArmResult,
    Artifact,
    Estimate,
    Explanation,
    OperatorTime,
    Profile,
    Recipe,
    SeriesPoint,
    StepRecord,
    StepSpec,
    Verdict,
)

P50 = "latency/p50_ms"


def verdict(call: Any = "slower", *, withheld: bool = False) -> Verdict:
    return Verdict(P50, call, Estimate(1.5, 1.4, 1.6, unit="ratio"), withheld=withheld)


def step(name: str, **changed: Any) -> StepRecord:
    return StepRecord(name, {}, f"print of {name}", changed)


def profile(*operators: tuple[Any, ...], batch: int = 1, source: str = "a profiler") -> Profile:
    """Operators as (name, ms), (name, ms, how often) or (name, ms, how often, where)."""
    made = [OperatorTime(name, *(more[1:2] or (1.0,)), more[0], *more[2:]) for name, *more in operators]
    return Profile(source, batch, 10, sum(item.ms for item in made), tuple(made))


def arm(
    name: str,
    *steps: StepRecord,
    profiles: tuple[Profile, ...] = (),
    by_batch: dict[int, float] | None = None,
    digest: str = "",
    **effective: Any,
) -> ArmResult:
    role: Any = "baseline" if name == "baseline" else "variant"
    points = tuple(SeriesPoint(size, Estimate(ms)) for size, ms in (by_batch or {}).items())
    return ArmResult(
        name,
        role,
        Recipe(name, tuple(StepSpec(item.name, item.params) for item in steps)),
        artifact=Artifact(digest or name, "onnx", "/", "model.onnx", (), (), 1, steps),
        effective=effective,
        series={"by_batch/p50_ms": points} if points else {},
        profiles=profiles,
    )


def explained_arm(name: str, parent: str, *steps: StepRecord, **more: Any) -> ArmResult:
    from dataclasses import replace

    return replace(arm(name, *steps, **more), why=Explanation(parent, verdict()))
