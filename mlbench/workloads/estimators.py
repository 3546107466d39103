"""Estimators for the shipped workload `tabular`: scikit-learn's own, with a fixed seed."""

from __future__ import annotations

from typing import Any


def random_forest(trees: int = 100, depth: int | None = None, seed: int = 0) -> Any:
    """A random forest for classes.

    Args:
        trees: How many.
        depth: Of each; None grows them out.
        seed: Of bootstrap samples and features.
    """
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=trees, max_depth=depth, random_state=seed)


def gradient_boosting(trees: int = 60, depth: int = 3, rate: float = 0.2, seed: int = 0) -> Any:
    """Gradient boosting for classes.

    Args:
        trees: Rounds; each round has one tree for every class.
        depth: Of each tree.
        rate: Learning rate.
        seed: Of ties and subsamples.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(n_estimators=trees, max_depth=depth, learning_rate=rate, random_state=seed)
