"""The Python API, on a store with a published study."""

import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from tiny_study import make_study

import mlbench
from mlbench.errors import ExitCode, InputError


@pytest.fixture
def result(published):
    tracker, run_id = published
    return mlbench.load_study(run_id[:8], tracking_uri=tracker.location.uri)


def test_a_loaded_study_has_its_record(result, published, artifacts):
    assert result.run_id == published[1]
    assert result.record.decision == make_study(artifacts).decision
    assert result.name == result.record.name
    assert result.arms is result.record.arms
    assert result.warnings is result.record.warnings
    assert result.baseline is result.arms[0]
    assert result.arm("fast") is result.record.arm("fast")
    with pytest.raises(KeyError):
        result.arm("nobody")


def test_it_says_what_it_is_in_one_line_without_the_store(result):
    assert repr(result) == f"<study 'tiny-20260101-000000': promote, 5 arms, run {result.run_id}>"


def test_two_of_the_same_study_are_equal(result, published):
    assert mlbench.load_study(tracking_uri=published[0].location.uri) == result


def test_a_study_that_was_run_can_be_read_on(published, artifacts, monkeypatch):
    """Also after the process has moved to another directory: a relative store means the one where it was run."""
    tracker, run_id = published
    seen = []

    def run(composition, progress):
        seen.append(composition)
        return SimpleNamespace(run_id=run_id, study=make_study(artifacts), exit_code=ExitCode.DONE, links=())

    monkeypatch.setattr("mlbench.study.run_study", run)
    done = mlbench.run_study("variants=[onnx_fp32]", "tracking.uri=sqlite:///copy.db", "tracking.experiment=other")
    assert seen[0].overrides == ("variants=[onnx_fp32]", "tracking.uri=sqlite:///copy.db", "tracking.experiment=other")
    assert done.store == tracker.location.uri
    monkeypatch.chdir("/")
    assert len(done.measurement().turns) == len(make_study(artifacts).plan.schedule) * 4


class TestPandas:
    def test_headline_metrics_have_their_intervals(self, result):
        frame = result.to_pandas()
        rows = frame[frame["step"].isna() & frame["absent"].isna()]
        p50 = rows.set_index(["metric", "arm"]).loc[("latency/p50_ms", "fast")]
        assert p50[["value", "low", "high", "level", "n", "unit"]].tolist() == [1.0, 0.98, 1.02, 0.95, 10, "ms"]
        assert p50["verdict"] == "faster"
        assert p50["role"] == "variant"

    def test_types_hold_without_a_number(self, result):
        types = result.to_pandas().dtypes
        assert [str(types[name]) for name in ("step", "n", "value", "low", "level")] == [
            "Int64", "Int64", "float64", "float64", "float64",
        ]  # fmt: skip

    def test_it_pivots(self, result):
        frame = result.to_pandas()
        by_batch = frame[frame["metric"] == "by_batch/p50_ms"].pivot_table("value", "step", "arm")
        assert by_batch.loc[8, "baseline"] == 10.0


class TestReport:
    def test_pages_by_their_ending(self, result, tmp_path):
        page = result.report(tmp_path / "page.html")
        assert page == tmp_path / "page.html"
        text = page.read_text(encoding="utf-8")
        assert text.startswith("<!doctype html>")
        assert "timeline" in text  # so it was drawn from the calls
        assert result.report(str(tmp_path / "page.MD")).read_text(encoding="utf-8") == result.markdown()

    def test_by_default_in_the_working_directory(self, result, tmp_path, monkeypatch):
        monkeypatch.setattr(mlbench.StudyResult, "html", lambda self: "the page")
        assert (tmp_path / result.report()).read_text() == "the page"

    @pytest.mark.parametrize("path", ["report", "report.pdf"])
    def test_another_ending_is_refused(self, result, path):
        with pytest.raises(InputError, match=r"must end in one of \.html, \.htm, \.md"):
            result.report(path)

    def test_a_folder_that_is_not_there(self, result):
        with pytest.raises(InputError, match=r"nowhere/report\.md' cannot be written: No such file"):
            result.report("nowhere/report.md")

    def test_a_run_that_is_gone(self, result):
        gone = mlbench.StudyResult(result.record, "0" * 32, result.store)
        with pytest.raises(InputError, match=r"cannot be used: .*not found"):
            gone.measurement()


def test_notebooks_show_the_decision_and_the_table(result):
    assert "Ship fast" in result._repr_html_()
    assert "<table>" in result._repr_html_()
    assert "**Ship fast" in result._repr_markdown_()


def test_importing_it_costs_nothing():
    code = (
        "import sys, mlbench, mlbench.api; mlbench.StudyResult; "
        "print({'mlflow', 'torch', 'pandas', 'hydra', 'plotly'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_table_is_a_plain_frame(result):
    assert type(result.to_pandas()) is pd.DataFrame
