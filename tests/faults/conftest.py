"""Fault tests set MLflow's address for this process, as the program does; the next test finds it unset."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _no_address_left() -> Iterator[None]:
    yield
    import mlflow

    mlflow.set_tracking_uri(None)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
