"""The Python API for notebooks and scripts: run a study, read one back, and look at it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlbench.config import TrackingConfig
from mlbench.errors import InputError
from mlbench.records import ArmResult, Decision, Measurement, Notice, Study

if TYPE_CHECKING:
    import pandas as pd

    from mlbench.compose import Composition

_PAGES = {".html": "html", ".htm": "html", ".md": "markdown"}


@dataclass(frozen=True, slots=True, repr=False)
class StudyResult:
    """A study that is in MLflow, as a notebook wants it: the record, tables, pages.

    Attributes:
        record: The study's record, plain and frozen: everything that was concluded.
        run_id: The study's run in MLflow.
        store: Absolute tracking URI of the store that has the run; may hold credentials, so it is shown nowhere.
    """

    record: Study
    run_id: str
    store: str

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.record.name

    @property
    def decision(self) -> Decision:
        """What the policy made of the verdicts."""
        return self.record.decision

    @property
    def arms(self) -> tuple[ArmResult, ...]:
        """Everything that was concluded about each arm, the baseline first."""
        return self.record.arms

    @property
    def baseline(self) -> ArmResult:
        """The arm that everything is compared against."""
        return self.record.baseline

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """What the reader must know."""
        return self.record.warnings

    def arm(self, name: str) -> ArmResult:
        """The arm of that name.

        Raises:
            KeyError: No arm has that name.
        """
        return self.record.arm(name)

    def to_pandas(self) -> pd.DataFrame:
        """One tidy table: a row per arm and metric, and per swept value where a metric is a series.

        Columns: ``study``, ``arm``, ``role``, ``metric``, ``step`` (the swept value; missing in headline metrics),
        ``value``, ``low``, ``high``, ``level``, ``n``, ``unit``, ``verdict`` (against the baseline, where this metric
        has one) and ``absent`` (why there is no value). An arm that failed has no rows; ``arms`` says why it failed.
        """
        import pandas as pd

        from mlbench.reporting.tidy import COLUMNS, tidy

        frame = pd.DataFrame(tidy(self.record), columns=list(COLUMNS))
        return frame.astype({"step": "Int64", "n": "Int64", **dict.fromkeys(("value", "low", "high", "level"), float)})

    def measurement(self) -> Measurement:
        """Everything that was measured, call by call, read from MLflow; what does not count is in ``void``.

        Raises:
            InputError: The store cannot be reached, or the run is gone.
            RecordError: Written by a newer mlbench, or damaged.
        """
        from mlbench.tracking import connect_to_run, load_measurement, load_study

        tracker = connect_to_run(self.store, self.run_id)
        return load_measurement(tracker, load_study(tracker, self.run_id))

    def html(self) -> str:
        """The report as one HTML page that needs no other file and no network.

        Raises:
            InputError, RecordError: As :meth:`measurement`, whose calls the page draws.
        """
        from mlbench.delivery import report_page

        return report_page(self.record, self.measurement())

    def markdown(self) -> str:
        """The report as Markdown."""
        from mlbench.reporting import render_markdown

        return render_markdown(self.record)

    def report(self, path: str | os.PathLike[str] = "report.html") -> Path:
        """Write the report to a file, whose name ends in ``.html`` or ``.md``, and return its path.

        Raises:
            InputError: Another ending, or the file cannot be written; or as :meth:`measurement`.
            RecordError: As :meth:`measurement`.
        """
        file = Path(path).expanduser()
        pages: dict[str, Callable[[], str]] = {"html": self.html, "markdown": self.markdown}
        if file.suffix.lower() not in _PAGES:
            raise InputError(f"report: '{path}' must end in one of {', '.join(_PAGES)}, which say what is written")
        page = pages[_PAGES[file.suffix.lower()]]()
        try:
            file.write_text(page, encoding="utf-8")
        except OSError as error:
            raise InputError(f"report: '{path}' cannot be written: {error.strerror}") from error
        return file

    def __repr__(self) -> str:
        return f"<study {self.name!r}: {self.decision.outcome}, {len(self.arms)} arms, run {self.run_id}>"

    def _repr_html_(self) -> str:
        from mlbench.reporting import render_summary

        return render_summary(self.record)

    def _repr_markdown_(self) -> str:
        from mlbench.reporting import render_note

        return render_note(self.record)


def run_study(*overrides: str, config_dirs: Sequence[str | os.PathLike[str]] = ()) -> StudyResult:
    """Run one study and return its result; the evidence is in MLflow, as after ``mlbench run``.

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

    composition = compose(overrides, config_dirs)
    store = _store(composition)  # before the study: a relative one means this directory
    with Progress() as progress:
        outcome = run(composition, progress)
    return StudyResult(outcome.study, outcome.run_id, store)


def _store(composition: Composition) -> str:
    from mlbench.tracking import locate

    return locate(composition.config.tracking).uri


def load_study(
    reference: str = "latest", *, tracking_uri: str | None = None, experiment: str = "mlbench"
) -> StudyResult:
    """Read a finished study back from MLflow.

    Args:
        reference: Run id (or the beginning of one), name of the study, or ``latest``.
        tracking_uri: The store; None is ``MLFLOW_TRACKING_URI``, or MLflow's own default.
        experiment: The experiment that names and ``latest`` are looked up in.

    Raises:
        InputError: There is no such study, or several; the message names them.
        RecordError: The study was written by a newer mlbench, or is damaged.
    """
    from mlbench.tracking import connect
    from mlbench.tracking import load_study as load

    tracker = connect(TrackingConfig(uri=tracking_uri, experiment=experiment), create=False)
    loaded = load(tracker, reference)
    return StudyResult(loaded.study, loaded.run_id, tracker.location.uri)


__all__ = ["StudyResult", "load_study", "run_study"]
