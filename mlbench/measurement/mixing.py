"""In which order test items are put into the batches that are timed or profiled: sets are often grouped by class."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt

_SEED = 0


def mixed(rows: int) -> npt.NDArray[np.int64]:
    """The numbers from 0 to ``rows`` - 1 in one random order: the same for every arm, in every trial and every study.

    Drawn by Python's own generator, whose numbers are promised to stay: workers may have other versions of numpy.
    """
    draw = random.Random(_SEED).random  # noqa: S311 - nothing secret
    drawn = np.fromiter((draw() for _ in range(rows)), np.float64, rows)
    return np.argsort(drawn, kind="stable").astype(np.int64)
