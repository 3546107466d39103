"""What a user writes for a step or a dataset, and the sentence for each mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt

from mlbench.errors import InputError
from mlbench.workloads.options import parse, problems


@dataclass(frozen=True, slots=True)
class Params:
    ratio: Annotated[float, Gt(0), Lt(1)]
    rows: Annotated[int, Ge(1), Le(10)] = 2
    mode: Literal["local", "global"] = "local"
    strict: bool | None = None
    names: dict[str, str] | tuple[str, ...] = field(default_factory=dict)


def test_right_values_make_the_record() -> None:
    assert parse(Params, {"ratio": 0.5, "mode": "global", "strict": True, "names": ["a"]}, "step 'x'") == Params(
        0.5, 2, "global", True, ("a",)
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "'ratio' is missing"),
        ({"ratio": 1.5}, "'ratio' is 1.5, but must be below 1"),
        ({"ratio": 0}, "'ratio' is 0, but must be above 0"),
        ({"ratio": "half"}, "'ratio' is 'half', but must be a number"),
        ({"ratio": float("inf")}, "'ratio' is inf, but must be a finite number"),
        ({"ratio": True}, "'ratio' is true, but is not a choice between true and false"),
        ({"ratio": 0.5, "rows": 0}, "'rows' is 0, but must be at least 1"),
        ({"ratio": 0.5, "rows": 11}, "'rows' is 11, but must be at most 10"),
        ({"ratio": 0.5, "rows": 2.5}, "'rows' is 2.5, but must be a whole number"),
        ({"ratio": 0.5, "mode": "both"}, "'mode' is 'both', but must be one of 'local', 'global'"),
        ({"ratio": 0.5, "strict": "maybe"}, "'strict' is 'maybe', but must be true or false"),
        ({"ratio": 0.5, "names": 3}, "'names' is 3, which does not fit: input should be a valid dictionary; input"),
        ({"ratio": 0.5, "names": {"a": 1}}, "'names' is {'a': 1}, which does not fit"),
        ({"ratio": 0.5, "rato": 1}, "unknown key 'rato'; did you mean ratio or rows?"),
    ],
)
def test_each_mistake_has_its_sentence(values: dict[str, Any], sentence: str) -> None:
    found = problems(Params, values, "step 'x'")
    assert found[0].startswith(f"step 'x': {sentence}")


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(InputError) as caught:
        parse(Params, {"ratio": 2, "rows": -1, "no": 1}, "here")
    assert len(caught.value.problems) == 3
    assert all(problem.startswith("here: ") for problem in caught.value.problems)


def test_no_mistake_no_problem() -> None:
    assert problems(Params, {"ratio": 0.1}, "here") == []
