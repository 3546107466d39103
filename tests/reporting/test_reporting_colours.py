"""One colour per arm."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations

from mlbench.reporting.colours import BASELINE_COLOUR, arm_colours


def test_as_many_different_colours_as_arms() -> None:
    colours = arm_colours(f"arm{number}" for number in range(40))
    assert len(set(colours.values())) == 40
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours.values())


def test_a_colour_depends_on_the_name_alone() -> None:
    """In any study, whatever else is measured in it and in which order."""
    names = ["onnx_fp32", "torch_int8", "pruned", "torch_bf16"]
    together = arm_colours(["baseline", *names])
    assert together["baseline"] == BASELINE_COLOUR
    assert arm_colours(["baseline", *reversed(names)]) == together
    alone = {name: arm_colours(["other baseline", name])[name] for name in names}
    assert BASELINE_COLOUR not in alone.values()
    assert alone["onnx_fp32"] == together["onnx_fp32"]
    assert arm_colours(["baseline", "a", "a"]) == arm_colours(["baseline", "a"])


def test_two_names_of_one_colour_give_way_by_name() -> None:
    by_colour: dict[str, list[str]] = {}
    for number in range(14):  # one more than there are colours
        name = f"arm{number:02}"
        by_colour.setdefault(arm_colours(["baseline", name])[name], []).append(name)
    first, second, *_ = next(names for names in by_colour.values() if len(names) > 1)
    both = arm_colours(["baseline", second, first])
    assert both[first] == arm_colours(["baseline", first])[first]
    assert both[second] != both[first]


def test_baselines_of_several_studies_are_grey() -> None:
    found = arm_colours(["a", "b", "c"], baselines=["c", "a"])
    assert [name for name, colour in found.items() if colour == BASELINE_COLOUR] == ["a", "c"]
    assert found["b"] == arm_colours(["a", "b"])["b"]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_every_colour_is_seen_on_white_and_on_near_black() -> None:
    for colour in arm_colours(f"arm{number}" for number in range(14)).values():
        assert contrast(colour, "#ffffff") >= 2.1, colour
        assert contrast(colour, "#14171c") >= 3.0, colour


def dichromat(colour: str) -> tuple[float, float, float]:
    """How a deuteranope sees a colour (Vienot, Brettel and Mollon 1999), linear RGB."""
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = red**2.2, green**2.2, blue**2.2
    return 0.29275 * red + 0.70725 * green, 0.29275 * red + 0.70725 * green, -0.02234 * red + 0.02234 * green + blue


def test_all_of_them_stay_apart_without_red_and_green() -> None:
    seen = [dichromat(colour) for colour in arm_colours(f"arm{number}" for number in range(14)).values()]
    apart = [max(abs(a - b) for a, b in zip(one, other, strict=True)) for one, other in combinations(seen, 2)]
    assert min(apart) > 0.07


def test_tracking_can_use_the_colours_without_a_plotting_library() -> None:
    heavy = {"plotly", "jinja2", "pandas", "torch", "mlflow"}
    code = f"import sys, mlbench.reporting.colours; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
