"""How numbers and names are written, the same in the terminal, on the page and in Markdown.

Everything here is plain ASCII. A missing number is :data:`DASH`; the reason stands elsewhere, in words.
"""

from __future__ import annotations

import math
import re

from mlbench.masking import redact
from mlbench.records import Call, Estimate, Verdict

DASH = "-"

_TIMES = ("latency/", "by_batch/p", "by_length/p", "by_threads/p")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")

_UNIT = re.compile(r"_(ms|mib|pct|w)$")
_METRIC_NAMES = {
    "latency/p50_ms": "p50 latency",
    "latency/p90_ms": "p90 latency",
    "latency/p95_ms": "p95 latency",
    "latency/p99_ms": "p99 latency",
    "latency/p999_ms": "p99.9 latency",
    "latency/mean_ms": "mean latency",
    "latency/load_ms": "load time",
    "latency/compile_ms": "compile time",
    "latency/first_call_ms": "first call",
    "throughput/samples_per_s": "throughput",
    "memory/peak_rss_mib": "peak memory",
    "memory/gpu_peak_mib": "peak GPU memory",
    "memory/load_peak_mib": "peak memory after loading",
    "memory/load_rss_mib": "memory after loading",
    "memory/load_uss_mib": "unshared memory after loading",
    "model/parameters": "weights",
    "model/nonzero_pct": "weights that are not zero",
    "memory/rss_mib": "memory while it answers",
    "memory/import_rss_mib": "memory of the runtime alone",
    "memory/disk_mib": "size on disk",
    "cpu/utilization_pct": "CPU use",
    "cpu/time_per_call_ms": "CPU time per call",
    "vs_baseline/cpu_ratio_p50": "CPU time over the baseline's",
    "cpu/frequency_mhz": "CPU clock",
    "cpu/voluntary_switches_per_s": "waits",
    "cpu/involuntary_switches_per_s": "preemptions",
    "cpu/throttled_pct": "stopped by CPU limit",
    "cpu/thermal_throttles": "slow-downs by heat",
    "gpu/utilization_pct": "GPU use",
    "gpu/power_w": "GPU power",
    "gpu/temperature_c": "GPU temperature",
    "gpu/sm_clock_mhz": "GPU clock",
    "gpu/memory_clock_mhz": "GPU memory clock",
    "gpu/throttled_pct": "GPU slowed down",
    "gpu/call_ms": "call on the GPU's clock",
    "memory/gpu_allocated_peak_mib": "peak of torch's GPU memory",
    "energy/joules_per_sample": "energy per sample",
    "agreement/flip_rate": "flip rate",
}


def plain(text: object) -> str:
    """Text from users or tools as one printable line: control and direction characters become spaces."""
    return _CONTROL.sub(" ", str(text)).strip()


def number(value: float | None, digits: int = 3) -> str:
    """A number with that many significant digits and thousands separators; integers are never cut.

    >>> number(14.8123), number(0.0876), number(18432.4), number(None)
    ('14.8', '0.0876', '18,432', '-')
    """
    if value is None or not math.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])  # after rounding: 9.996 reads 10.0, not 10.00
    decimals = max(0, digits - 1 - exponent)
    return f"{value:,.{decimals}f}"


def ms(value: Estimate | float | None) -> str:
    """Milliseconds, 3 significant digits, without the unit.

    >>> ms(0.2637)
    '0.264'
    """
    return number(value.value if isinstance(value, Estimate) else value)


def mib(value: Estimate | float | None) -> str:
    """Mebibytes, 3 significant digits, without the unit."""
    return number(value.value if isinstance(value, Estimate) else value)


def interval(estimate: Estimate | None, digits: int = 3) -> str:
    """A value with its interval, with that many significant digits.

    >>> interval(Estimate(0.2637, 0.2611, 0.2664))
    '0.264 (0.261 to 0.266)'
    """
    if estimate is None:
        return DASH
    if estimate.low is None or estimate.high is None:
        return number(estimate.value, digits)
    low, high = number(estimate.low, digits), number(estimate.high, digits)
    return f"{number(estimate.value, digits)} ({low} to {high})"


def p_value(p: float | None) -> str:
    """A p value with two digits, and nothing below 0.0001.

    >>> p_value(0.03456), p_value(2e-9), p_value(None)
    ('0.035', '< 0.0001', '-')
    """
    if p is None:
        return DASH
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def times(estimate: Estimate | None) -> str:
    """A ratio with its interval, at the resolution of the interval.

    >>> times(Estimate(4.1199, 4.0512, 4.1893)), times(Estimate(1.0012, 0.9951, 1.0071))
    ('x4.12 (4.05 to 4.19)', 'x1.001 (0.995 to 1.007)')
    """
    if estimate is None or not math.isfinite(estimate.value):
        return DASH
    decimals = 2 if estimate.value < 10 else 1 if estimate.value < 100 else 0
    if estimate.low is None or estimate.high is None:
        return f"x{estimate.value:,.{decimals}f}"
    if estimate.value < 10 and estimate.high - estimate.low < 0.015:
        decimals = 3
    bounds = (f"{bound:,.{decimals}f}" for bound in (estimate.low, estimate.high))
    return f"x{estimate.value:,.{decimals}f} ({' to '.join(bounds)})"


def percent(estimate: Estimate | None, *, with_interval: bool = False) -> str:
    """A share (0 to 1) in percent: one decimal, two where 2,000 items or more support them.

    >>> percent(Estimate(0.9903, 0.982, 0.995, n=719), with_interval=True)
    '99.0 % (98.2 to 99.5)'
    """
    if estimate is None or not math.isfinite(estimate.value):
        return DASH
    decimals = 2 if estimate.n >= 2000 else 1
    text = f"{100 * estimate.value:.{decimals}f} %"
    if not with_interval or estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({100 * estimate.low:.{decimals}f} to {100 * estimate.high:.{decimals}f})"


def points(estimate: Estimate | None) -> str:
    """A difference of two shares in percent points (of other figures in their own unit), signed, with its interval.

    >>> points(Estimate(0.0028, -0.0042, 0.0097, n=719)), points(Estimate(1.25, -0.5, 3, unit="units"))
    ('+0.3 (-0.4 to +1.0)', '+1.25 (-0.5 to +3) units')
    """
    if estimate is None or not math.isfinite(estimate.value):
        return DASH
    if estimate.unit not in ("", "fraction", "points"):
        return _plain_difference(estimate)
    scale = 1.0 if estimate.unit == "points" else 100.0
    decimals = 2 if estimate.n >= 2000 else 1
    parts = [
        _signed(scale * bound, decimals) for bound in (estimate.value, estimate.low, estimate.high) if bound is not None
    ]
    return f"{parts[0]} ({parts[1]} to {parts[2]})" if len(parts) == 3 else parts[0]


def _plain_difference(estimate: Estimate) -> str:
    """A signed difference with its interval, to three digits, and the unit, since the column's heading says points."""
    parts = [f"{bound:+.3g}" for bound in (estimate.value, estimate.low, estimate.high) if bound is not None]
    return (
        f"{parts[0]} ({parts[1]} to {parts[2]}) {estimate.unit}" if len(parts) == 3 else f"{parts[0]} {estimate.unit}"
    )


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text


def duration(seconds: float | None) -> str:
    """A duration for people.

    >>> duration(3.24), duration(83), duration(7300), duration(None)
    ('3.2 s', '1 min 23 s', '2 h 2 min', '-')
    """
    if seconds is None or not math.isfinite(seconds):
        return DASH
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def count(amount: int, noun: str, plural: str | None = None) -> str:
    """An amount with its noun.

    >>> count(1, "trial"), count(10, "trial")
    ('1 trial', '10 trials')
    """
    return f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"


def listing(names: list[str] | tuple[str, ...]) -> str:
    """Names in a sentence.

    >>> listing(["a", "b", "c"])
    'a, b and c'
    """
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1] if names else "none"


def metric_name(metric: str) -> str:
    """The plain name of a metric, without its unit.

    >>> metric_name("latency/p50_ms"), metric_name("quality/f1_macro"), metric_name("gpu/power_w")
    ('p50 latency', 'f1 macro', 'GPU power')
    """
    return _METRIC_NAMES.get(metric) or _UNIT.sub("", plain(metric.rpartition("/")[2])).replace("_", " ")


def call_name(call: Call, metric: str = "latency/p50_ms") -> str:
    """The plain name of a verdict's call: faster and slower are for times, better and worse for anything else."""
    if metric.startswith(_TIMES) or call in {"equivalent", "inconclusive"}:
        return call
    return "better" if call == "faster" else "worse"


def improvement(verdict: Verdict) -> Estimate | None:
    """How many times better than the baseline, above 1 is better: the speed-up, for times.

    The verdict's ratio is variant over baseline; where less is better it is turned over, and its bounds with it.
    """
    ratio = verdict.ratio
    if ratio is None or not verdict.lower_is_better:
        return ratio
    if ratio.value <= 0:
        return None
    low = 1 / ratio.high if ratio.high is not None and ratio.high > 0 else None
    high = 1 / ratio.low if ratio.low is not None and ratio.low > 0 else None
    return Estimate(1 / ratio.value, low, high, ratio.level, ratio.n, "ratio", ratio.method)


__all__ = [
    "DASH",
    "call_name",
    "count",
    "duration",
    "improvement",
    "interval",
    "listing",
    "metric_name",
    "mib",
    "ms",
    "number",
    "p_value",
    "percent",
    "plain",
    "points",
    "redact",
    "times",
]
