"""Estimates, intervals and verdicts: pure numpy and scipy. The method in prose is docs/method.md."""

from __future__ import annotations

from mlbench.statistics._between import MIN_HALVES, BetweenProcesses, between_processes, clopper_pearson, most_expected
from mlbench.statistics._bootstrap import Statistic, bootstrap_interval
from mlbench.statistics._estimates import at_level, trial_estimate
from mlbench.statistics._holm import adjusted, holm
from mlbench.statistics._modes import TwoSpeeds, two_speeds
from mlbench.statistics._percentiles import min_samples, percentile, supported
from mlbench.statistics._proportions import mcnemar_exact, tango, wilson
from mlbench.statistics._student import t_quantile
from mlbench.statistics._verdict import MIN_TRIALS, compare, mark, paired_log_ratios, withhold

__all__ = [
    "MIN_HALVES",
    "MIN_TRIALS",
    "BetweenProcesses",
    "Statistic",
    "TwoSpeeds",
    "adjusted",
    "at_level",
    "between_processes",
    "bootstrap_interval",
    "clopper_pearson",
    "compare",
    "holm",
    "mark",
    "mcnemar_exact",
    "min_samples",
    "most_expected",
    "paired_log_ratios",
    "percentile",
    "supported",
    "t_quantile",
    "tango",
    "trial_estimate",
    "two_speeds",
    "wilson",
    "withhold",
]
