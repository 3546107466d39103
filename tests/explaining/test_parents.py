"""Whose recipe an arm extends."""

from __future__ import annotations

from dataclasses import replace

from explained_arms import arm, step

from mlbench.explaining import parents
from mlbench.records import StepSpec

EXPORT, PRUNE, TUNE, STATIC = step("export"), step("prune"), step("tune"), step("static")


def test_the_longest_beginning_wins_and_the_baseline_is_what_is_left() -> None:
    arms = [
        arm("baseline"),
        arm("onnx", EXPORT),
        arm("int8", EXPORT, STATIC),
        arm("pruned", PRUNE, TUNE),
        arm("barely", PRUNE),
        arm("all", PRUNE, TUNE, EXPORT, STATIC),
        arm("twin"),
    ]
    assert parents(arms) == {
        "onnx": "baseline",
        "int8": "onnx",
        "pruned": "barely",
        "barely": "baseline",
        "all": "pruned",
        "twin": "baseline",
    }


def test_other_parameters_are_another_beginning() -> None:
    other = arm("onnx", EXPORT)
    other = replace(other, recipe=replace(other.recipe, steps=(StepSpec("export", {"opset": 17}),)))
    assert parents([arm("baseline"), other, arm("int8", EXPORT, STATIC)])["int8"] == "baseline"


def test_the_champion_is_nobodys_parent_and_has_none() -> None:
    champion = replace(arm("incumbent", EXPORT), role="incumbent")
    assert parents([arm("baseline"), champion, arm("int8", EXPORT, STATIC)]) == {"int8": "baseline"}


def test_equal_recipes_are_no_parents_of_each_other() -> None:
    assert set(parents([arm("baseline"), arm("a", EXPORT), arm("b", EXPORT)]).values()) == {"baseline"}
