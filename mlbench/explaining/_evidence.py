"""An arm beside its parent: what the rules read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlbench.records import ArmResult, OperatorTime, Profile, StepRecord

CONVERTING = "conversions"
CONVOLUTIONS, PRODUCTS = "convolutions", "matrix products"
WEIGHTS_ONLY = " weights"  # at the end of a precision: "int4 weights"
_CONVERSIONS = (
    "quantizelinear", "dynamicquantize", "fakequantize", "cast", "reorder", "convert", "aten::_to_copy", "aten::copy_",
    "quantize_per", "dequantize",
)  # fmt: skip
_TYPES = {"float": r"(?:float|f)(\d+)", "int": r"(?:int|i|u)(\d+)"}
_PRODUCTS = ("matmul", "gemm", "linear", "fullyconnected", "addmm", "aten::mm", "aten::bmm")


@dataclass(frozen=True, slots=True)
class Pair:
    """An arm and the arm whose recipe it extends."""

    arm: ArmResult
    parent: ArmResult

    @property
    def own_steps(self) -> tuple[StepRecord, ...]:
        """What was done to the parent's artifact, or all that was done where that was the workload's own model."""
        mine, theirs = (item.artifact.steps if item.artifact else () for item in (self.arm, self.parent))
        shared = theirs == mine[: len(theirs)]
        return mine[len(theirs) :] if shared else mine

    @property
    def profiles(self) -> Iterator[tuple[Profile, Profile]]:
        """The profiles of both at each batch size that both have."""
        theirs = {profile.batch_size: profile for profile in self.parent.profiles}
        return ((mine, theirs[mine.batch_size]) for mine in self.arm.profiles if mine.batch_size in theirs)

    @property
    def headline(self) -> tuple[Profile, Profile] | None:
        """The profiles of both at the headline batch size."""
        return next(self.profiles, None)

    def facts(self, name: str) -> tuple[Any, Any]:
        """What is in force in the arm's workers, and in the parent's."""
        return self.arm.effective.get(name), self.parent.effective.get(name)


def family(operator: str) -> str:
    """What kind of work an operator does, by its name in any of the runtimes; empty where it is something else.

    >>> family("ConvInteger"), family("aten::addmm"), family("DynamicQuantizeLinear"), family("Relu")
    ('convolutions', 'matrix products', 'conversions', '')
    """
    name = operator.lower()
    if any(word in name for word in _CONVERSIONS):
        return CONVERTING
    if "conv" in name:
        return CONVOLUTIONS
    return PRODUCTS if any(word in name for word in _PRODUCTS) else ""


def of_family(profile: Profile, wanted: str) -> tuple[OperatorTime, ...]:
    """The operators of one kind, the longest first."""
    return tuple(item for item in profile.operators if family(item.operator) == wanted)


def total(operators: tuple[OperatorTime, ...]) -> float:
    """Time of all of them in one call, milliseconds."""
    return sum(item.ms for item in operators)


def counted(layers: Mapping[str, Any]) -> Counter[str]:
    """Layers by kind of work, from a step's evidence by operator."""
    counts: Counter[str] = Counter()
    for operator, count in layers.items():
        if family(operator) in (CONVOLUTIONS, PRODUCTS):
            counts[family(operator)] += int(count)
    return counts


def counts(step: StepRecord, name: str) -> dict[str, int]:
    """What a step has counted under that name, without zeros; empty where it has counted nothing so called."""
    found = step.changed.get(name)
    return {str(kind): int(count) for kind, count in found.items() if count} if isinstance(found, Mapping) else {}


def bits(precision: Any) -> int:
    """Bits that a precision computes in, by its name in any runtime; 0 if that is unknown, as for weights alone.

    Where there are several, those of the floating-point ones.

    >>> bits("float32"), bits("bf16"), bits("float16, int8"), bits("int8"), bits("int4 weights"), bits("unknown")
    (32, 16, 16, 8, 0, 0)
    """
    name = "" if str(precision).endswith(WEIGHTS_ONLY) else str(precision)
    found = {kind: [int(size) for size in re.findall(pattern, name)] for kind, pattern in _TYPES.items()}
    return max(found["float"] or found["int"] or [0])
