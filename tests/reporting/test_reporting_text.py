"""Numbers and names as text."""

from __future__ import annotations

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.records import Estimate, Verdict
from mlbench.reporting import colours, text


@pytest.mark.parametrize("module", [text, colours])
def test_docstring_examples(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert (result.attempted > 0, result.failed) == (True, 0)


@given(st.floats(1e-4, 1e9))
def test_number_is_right_to_three_digits(value: float) -> None:
    shown = text.number(value)
    assert float(shown.replace(",", "")) == pytest.approx(value, rel=5.1e-3)
    assert "e" not in shown


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_number_never_fails_and_is_plain_ascii(value: float) -> None:
    shown = text.number(value)
    assert shown.isascii()
    assert (shown == text.DASH) == (not math.isfinite(value))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (9.996, "10.0"), (0.99996, "1.00"), (999.6, "1,000"), (3.2e-7, "3.20e-07"), (-4.125, "-4.12")],
)
def test_number_at_the_edges(value: float, shown: str) -> None:
    assert text.number(value) == shown


def test_missing_is_a_dash_everywhere() -> None:
    nothing = Estimate(math.nan)
    shown = [
        text.number(None), text.ms(None), text.mib(None), text.interval(None), text.times(None), text.times(nothing),
        text.percent(None), text.percent(nothing), text.points(None), text.points(nothing), text.duration(None),
    ]  # fmt: skip
    assert set(shown) == {text.DASH}


def test_interval_is_left_out_where_there_is_none() -> None:
    bare = Estimate(1.2345)
    assert text.interval(bare) == "1.23"
    assert text.times(bare) == "x1.23"
    assert text.percent(Estimate(0.5), with_interval=True) == "50.0 %"
    assert text.points(Estimate(0.01)) == "+1.0"


@pytest.mark.parametrize(
    ("estimate", "shown"),
    [
        (Estimate(12.34, 11.9, 12.8), "x12.3 (11.9 to 12.8)"),
        (Estimate(1234.5, 1200.0, 1300.0), "x1,234 (1,200 to 1,300)"),
        (Estimate(0.6621, 0.655, 0.671), "x0.66 (0.66 to 0.67)"),
    ],
)
def test_times_shows_what_the_interval_resolves(estimate: Estimate, shown: str) -> None:
    assert text.times(estimate) == shown


def test_more_items_give_more_decimals() -> None:
    assert text.percent(Estimate(0.76543, n=50_000)) == "76.54 %"
    assert text.points(Estimate(0.00123, -0.001, 0.0034, n=50_000)) == "+0.12 (-0.10 to +0.34)"


def test_points_are_not_scaled_twice() -> None:
    assert text.points(Estimate(0.3, unit="points")) == "+0.3"
    assert text.points(Estimate(0.003, unit="fraction")) == "+0.3"


def test_no_signed_zero() -> None:
    assert text.points(Estimate(-0.0001, -0.004, 0.0002)) == "0.0 (-0.4 to 0.0)"


def test_plain_removes_what_could_steer_a_terminal() -> None:
    assert text.plain("a\x1b[31mb\nc\u202ed ") == "a [31mb c d"


def test_redact_keeps_the_host() -> None:
    assert text.redact("uri=http://user:secret@host:5000/x") == "uri=http://***@host:5000/x"
    assert text.redact("sqlite:////tmp/mlflow.db") == "sqlite:////tmp/mlflow.db"


def test_listing() -> None:
    assert [text.listing(names) for names in ([], ["a"], ["a", "b"])] == ["none", "a", "a and b"]


@pytest.mark.parametrize(
    ("call", "metric", "word"),
    [
        ("faster", "latency/p95_ms", "faster"),
        ("slower", "memory/peak_rss_mib", "worse"),
        ("faster", "throughput/samples_per_s", "better"),
        ("equivalent", "memory/peak_rss_mib", "equivalent"),
    ],
)
def test_calls_have_plain_names(call: str, metric: str, word: str) -> None:
    assert text.call_name(call, metric) == word  # type: ignore[arg-type]


def test_improvement_turns_a_time_over_and_its_bounds_with_it() -> None:
    gain = text.improvement(Verdict("latency/p50_ms", "faster", Estimate(0.25, 0.2, 0.5, n=10)))
    assert gain is not None
    assert (gain.value, gain.low, gain.high, gain.n) == (4.0, 2.0, 5.0, 10)


def test_improvement_keeps_what_is_better_when_higher() -> None:
    ratio = Estimate(2.0, 1.9, 2.1)
    assert text.improvement(Verdict("throughput/samples_per_s", "faster", ratio, lower_is_better=False)) is ratio


def test_improvement_without_numbers() -> None:
    assert text.improvement(Verdict("latency/p50_ms", "inconclusive", None)) is None
    assert text.improvement(Verdict("latency/p50_ms", "inconclusive", Estimate(0.0))) is None
    bare = text.improvement(Verdict("latency/p50_ms", "inconclusive", Estimate(0.5)))
    assert bare is not None
    assert (bare.value, bare.low, bare.high) == (2.0, None, None)


@pytest.mark.parametrize(
    ("seconds", "shown"), [(59.6, "1 min 0 s"), (9.96, "10 s"), (-0.1, "0.0 s"), (3599.6, "1 h 0 min")]
)
def test_durations_carry(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown
