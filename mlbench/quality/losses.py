"""Where a variant that got worse lost it: its worst classes, by name."""

from __future__ import annotations

from mlbench.records import Estimate, Notice, Quality

_WORST = 3
_WORTH_TELLING = -0.01
_HEADLINES = ("accuracy", "probe_accuracy", "f1_macro")


def loss_notice(arm: str, quality: Quality) -> Notice | None:
    """A sentence on the classes that an arm loses most in, where it is shown to be worse, or loses a point or more.

    Args:
        arm: Name of the arm.
        quality: Its quality; without differences to the baseline there is nothing to say.
    """
    headline = next((name for name in _HEADLINES if name in quality.deltas), None)
    if headline is None:
        return None
    delta = quality.deltas[headline]
    shown = delta.value < 0 and delta.high is not None and delta.high < 0
    worst = worst_classes(quality)
    if not worst or not (shown or delta.value <= _WORTH_TELLING):
        return None
    return Notice(
        "classes",
        f"{arm} loses {-100 * delta.value:.1f} points of {headline.replace('_', ' ')}, most in {_listed(worst)}",
        "the report shows every class",
    )


def lost_in(quality: Quality) -> str:
    """The classes that an arm loses most in, in words; empty where it loses in none."""
    return _listed(worst_classes(quality))


def worst_classes(quality: Quality, most: int = _WORST) -> tuple[tuple[str, Estimate], ...]:
    """The classes with the largest loss of recall against the baseline, the largest first; none that lost nothing."""
    lost = [(name, delta) for name, delta in quality.class_deltas.items() if delta.value < 0]
    return tuple(sorted(lost, key=lambda item: item[1].value)[:most])


def _listed(worst: tuple[tuple[str, Estimate], ...]) -> str:
    return ", ".join(f"'{name}' ({100 * lost.value:+.1f} points of recall, {lost.n} items)" for name, lost in worst)
