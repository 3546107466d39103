"""One colour per arm, the same in every figure, table and MLflow chart. Pure: no plotting library is imported.

The palette is that of Okabe and Ito ("Color Universal Design", 2008), told apart with every common kind of colour
vision, with black replaced by grey and yellow darkened so that all are visible on white and on near-black. It goes on
with colours that were searched for under the same conditions (tests/reporting/test_reporting_colours.py states them),
and then with evenly spread hues.
"""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Iterable

BASELINE_COLOUR = "#6e6e6e"

_PALETTE = (
    "#0072b2",  # blue
    "#e69f00",  # orange
    "#009e73",  # bluish green
    "#d55e00",  # vermillion
    "#56b4e9",  # sky blue
    "#cc79a7",  # reddish purple
    "#b5a500",  # yellow, darkened
    "#6f5fd3",  # indigo, lightened
    "#03bfd3",  # turquoise
    "#aeb063",  # olive
    "#fc2cc2",  # pink
    "#aa4499",  # purple
    "#8b5a2b",  # brown
)
_GOLDEN_ANGLE = 0.61803398875


def arm_colours(names: Iterable[str], baselines: Iterable[str] | None = None) -> dict[str, str]:
    """A colour (``#rrggbb``) for every arm, by its name: the same in every study, figure and chart.

    Only where two names of a study have the same colour does one of them, whichever comes later by name, take the next
    that is free.

    Args:
        names: Names of the arms, in any order besides the first.
        baselines: Those that are grey; by default the first name.

    >>> arm_colours(["baseline", "onnx_fp32"]) == arm_colours(["onnx_fp32", "baseline"], ["baseline"])
    True
    """
    known = list(dict.fromkeys(names))
    grey = set(known[:1] if baselines is None else baselines)
    taken: dict[int, str] = {}
    for name in sorted(set(known) - grey):
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()) % len(_PALETTE)
        if len(taken) < len(_PALETTE):
            while place in taken:
                place = (place + 1) % len(_PALETTE)
        else:
            place = len(taken)
        taken[place] = name
    own = {name: _colour(place) for place, name in taken.items()}
    return {name: BASELINE_COLOUR if name in grey else own[name] for name in known}


def _colour(place: int) -> str:
    if place < len(_PALETTE):
        return _PALETTE[place]
    extra = place - len(_PALETTE)
    lightness = (0.42, 0.58)[extra % 2]
    red, green, blue = colorsys.hls_to_rgb((extra * _GOLDEN_ANGLE) % 1.0, lightness, 0.65)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


__all__ = ["BASELINE_COLOUR", "arm_colours"]
