"""Who is explained, whose profiles that takes, and what comes of it."""

from __future__ import annotations

import pytest
from explained_arms import arm, explained_arm, profile, step, verdict

from mlbench.explaining import explained, needs_explaining, to_profile

ARMS = (
    arm("baseline"),
    arm("onnx", step("export")),
    explained_arm("int8", "onnx", step("export"), step("quantize", notice="for convolutions, no")),
    arm("pruned", step("prune")),
)


@pytest.mark.parametrize(
    ("call", "withheld", "needed"),
    [
        ("slower", False, True),
        ("equivalent", False, True),
        ("inconclusive", False, True),
        ("inconclusive", True, False),
        ("faster", False, False),
    ],
)
def test_who_is_explained(call: str, withheld: bool, needed: bool) -> None:
    assert needs_explaining(verdict(call, withheld=withheld)) is needed


def test_it_takes_the_arm_its_parent_and_the_baseline() -> None:
    assert to_profile(ARMS) == ("baseline", "onnx", "int8")
    assert to_profile(ARMS[:2]) == ()


def test_reasons_profiles_and_what_was_not_seen() -> None:
    taken = {"baseline": (profile(("aten::mm", 2.0)),), "int8": (profile(("MatMulInteger", 1.0)),)}
    found = {item.name: item for item in explained(ARMS, taken, {"onnx": "it died"})}
    why = found["int8"].why
    assert why is not None
    assert why.reasons == ("quantize: for convolutions, no",)
    assert why.unseen == ("no profile of onnx: it died",)
    assert found["int8"].profiles == taken["int8"]
    assert found["onnx"].profiles == found["pruned"].profiles == ()
    assert found["pruned"].why is None


def test_where_nothing_is_found_nothing_is_said() -> None:
    (_, found) = explained((arm("baseline"), explained_arm("twin", "baseline", runtime="torch")), {}, {})
    assert found.why is not None
    assert found.why.reasons == ()
