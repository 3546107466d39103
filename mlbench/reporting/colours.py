"""One colour per arm, the same in every figure, table and MLflow chart. Pure: no plotting library is imported.

The palette is that of Okabe and Ito ("Color Universal Design", 2008), told apart with every common kind of colour
vision, with black replaced by grey and yellow darkened so that all are visible on white and on near-black. It is
extended by Paul Tol's "muted" scheme (SRON technical note, 2021) and then by evenly spread hues.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

BASELINE_COLOUR = "#6e6e6e"

_PALETTE = (
    BASELINE_COLOUR,
    "#0072b2",  # blue
    "#e69f00",  # orange
    "#009e73",  # bluish green
    "#d55e00",  # vermillion
    "#56b4e9",  # sky blue
    "#cc79a7",  # reddish purple
    "#b5a500",  # yellow, darkened
    "#6f5fd3",  # indigo, lightened
    "#44aa99",  # teal
    "#999933",  # olive
    "#cc6677",  # rose
    "#aa4499",  # purple
    "#8b5a2b",  # brown
)
_GOLDEN_ANGLE = 0.61803398875


def arm_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour (``#rrggbb``) for every arm, by its place in the study; the first, the baseline, is grey.

    >>> arm_colours(["baseline", "onnx_fp32"])
    {'baseline': '#6e6e6e', 'onnx_fp32': '#0072b2'}
    """
    return {name: _colour(place) for place, name in enumerate(dict.fromkeys(names))}


def _colour(place: int) -> str:
    if place < len(_PALETTE):
        return _PALETTE[place]
    extra = place - len(_PALETTE)
    lightness = (0.42, 0.58)[extra % 2]
    red, green, blue = colorsys.hls_to_rgb((extra * _GOLDEN_ANGLE) % 1.0, lightness, 0.65)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


__all__ = ["BASELINE_COLOUR", "arm_colours"]
