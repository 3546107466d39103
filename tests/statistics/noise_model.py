"""A model of an ordinary machine, to see how often the rule errs.

All disturbances act on the logarithm of a call's time:

- white noise of 2 % per call; correlated noise of 3 % with a memory of 100 calls;
- linear drift with a slope of N(0, 10 %) over the study;
- three throttling episodes of 2 to 15 % over 2 to 25 % of the study;
- bursts (0.2 % of calls start one, 8 calls on average, times 1 + Exp(1/2)) and isolated spikes (1 % of calls, times
  1 + Exp(1));
- an effect of the position in the round; and the luck of each process, 1 %.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import signal

FloatArray = npt.NDArray[np.float64]
Order = Literal["balanced", "fixed"]


def simulate(
    studies: int,
    seed: int,
    *,
    effects: tuple[float, ...] = (0.0, 0.0),
    trials: int = 10,
    rounds: int = 10,
    calls: int = 10,
    discard: int = 2,
    order: Order = "balanced",
    order_effect: float = 0.005,
    process_effect: float = 0.01,
) -> FloatArray:
    """Turn medians of whole studies, shape (studies, arms, trials, rounds), in arbitrary time units.

    ``effects`` holds the true log effect of every arm; ``order`` is the plan's (pairs of a permutation and its reverse)
    or the same one in every round.
    """
    random = np.random.default_rng(seed)
    arms = len(effects)
    steps = trials * rounds * arms * (calls + discard)
    series = _machine(random, studies, steps).reshape(studies, trials, rounds, arms, calls + discard)
    by_position = np.median(series[..., discard:], axis=-1) + np.log1p(order_effect) * np.arange(arms)
    arm_at = _orders(random, studies, trials, rounds, arms, order)
    turns = np.empty_like(by_position)
    np.put_along_axis(turns, arm_at, by_position, axis=-1)
    turns = np.moveaxis(turns, -1, 1)
    luck = random.normal(0, process_effect, (studies, arms, trials, 1))
    return np.exp(turns + luck + np.reshape(effects, (1, arms, 1, 1)))


def simulate_tails(
    studies: int, seed: int, q: float, *, effects: tuple[float, float] = (0.0, 0.0), trials: int = 10, rounds: int = 20
) -> FloatArray:
    """The ``q`` quantile of every trial's calls, shape (studies, 2, trials): 10 calls a turn in balanced order."""
    random = np.random.default_rng(seed)
    shape = (studies, trials, rounds, 2, 12)
    series = _machine(random, studies, int(np.prod(shape[1:]))).reshape(shape)[..., 2:]
    calls = series + (np.log1p(0.005) * np.arange(2))[:, np.newaxis]
    first = _orders(random, studies, trials, rounds, 2, "balanced")[..., 0] == 0  # the baseline's turn came first
    swapped = np.where(first[..., np.newaxis, np.newaxis], calls, calls[..., ::-1, :])
    tails = np.quantile(np.moveaxis(swapped, 3, 1).reshape(studies, 2, trials, -1), q, axis=-1)
    luck = random.normal(0, 0.01, tails.shape)
    return np.exp(tails + luck + np.reshape(effects, (1, 2, 1)))


def _machine(random: np.random.Generator, studies: int, steps: int) -> FloatArray:
    """The disturbances that come with time, shape (studies, steps)."""
    shape = (studies, steps)
    memory = np.exp(-1 / 100)
    start = random.normal(0, 0.03, (studies, 1)) * memory
    series, _ = signal.lfilter(
        [1.0], [1.0, -memory], random.normal(0, 0.03 * np.sqrt(1 - memory**2), shape), axis=1, zi=start
    )
    series += random.normal(0, 0.02, shape)
    series += random.normal(0, 0.10, (studies, 1)) * np.linspace(-0.5, 0.5, steps)
    edges = np.zeros((studies, steps + 1))
    for _ in range(3):
        begin = random.integers(0, steps, studies)
        length = (random.uniform(0.02, 0.25, studies) * steps).astype(int)
        _raise(edges, np.arange(studies), begin, length, np.log1p(random.uniform(0.02, 0.15, studies)))
    where, begin = np.nonzero(random.random(shape) < 0.002)
    length = random.geometric(1 / 8, len(where))
    _raise(edges, where, begin, length, np.log1p(random.exponential(0.5, len(where))))
    series += np.cumsum(edges, axis=1)[:, :-1]
    spikes = random.random(shape) < 0.01
    series[spikes] += np.log1p(random.exponential(1.0, int(spikes.sum())))
    return series


def _raise(
    edges: FloatArray,
    where: npt.NDArray[np.int64],
    begin: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    height: FloatArray,
) -> None:
    np.add.at(edges, (where, begin), height)
    np.add.at(edges, (where, np.minimum(begin + length, edges.shape[1] - 1)), -height)


def _orders(
    random: np.random.Generator, studies: int, trials: int, rounds: int, arms: int, order: Order
) -> npt.NDArray[np.int64]:
    """Which arm has which position, shape (studies, trials, rounds, arms)."""
    shape = (studies, trials, rounds, arms)
    if order == "fixed":
        return np.broadcast_to(np.arange(arms), shape)
    first = np.argsort(random.random((studies, trials, (rounds + 1) // 2, arms)), axis=-1)
    return np.stack([first, first[..., ::-1]], axis=3).reshape(studies, trials, -1, arms)[:, :, :rounds]
