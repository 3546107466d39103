"""Estimators as users write them: right, and wrong in the ways that happen."""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def scaled() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))


def forest() -> Any:
    return RandomForestClassifier(10, random_state=0)


def histogram() -> Any:
    return HistGradientBoostingClassifier(max_iter=3, random_state=0)


def line() -> Any:
    return LinearRegression()


def scores_only() -> Any:
    return Perceptron()


def labels_only() -> Any:
    return KNeighborsRegressor()


def broken() -> Any:
    raise RuntimeError("no luck")


def nothing() -> Any:
    return "an estimator"
