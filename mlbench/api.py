"""The Python API for notebooks and scripts: run a study, read one back."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from mlbench.config import TrackingConfig
from mlbench.records import Study


def run_study(*overrides: str, config_dirs: Sequence[str | PathLike[str]] = ()) -> Study:
    """Run one study and return its record; the evidence is in MLflow, as after ``mlbench run``.

    Where MLflow does not take it in the end, a note on standard error says so; ``mlbench sync`` delivers it later.

    Args:
        overrides: In Hydra's syntax, such as ``"protocol=quick"`` or ``"variants=[onnx_fp32]"``.
        config_dirs: Your own configuration directories; a file there wins over the packaged one of the same name.

    Raises:
        InputError: The configuration is wrong or MLflow cannot be reached; every problem in one sentence each.
        MlbenchError: The study failed.
    """
    from mlbench.compose import compose
    from mlbench.progress import Progress
    from mlbench.study import run_study as run

    with Progress() as progress:
        return run(compose(overrides, config_dirs), progress).study


def load_study(reference: str = "latest", *, tracking_uri: str | None = None, experiment: str = "mlbench") -> Study:
    """Read a finished study back from MLflow.

    Args:
        reference: Run id (or the beginning of one), name of the study, or ``latest``.
        tracking_uri: The store; None is ``MLFLOW_TRACKING_URI``, or MLflow's own default.
        experiment: The experiment that names and ``latest`` are looked up in.

    Raises:
        InputError: There is no such study, or several; the message names them.
    """
    from mlbench.tracking import connect
    from mlbench.tracking import load_study as load

    return load(connect(TrackingConfig(uri=tracking_uri, experiment=experiment), create=False), reference).study
