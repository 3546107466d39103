"""Datasets that runs have logged: found by name and digest, read from their source, or refused."""

from dataclasses import replace

import mlflow
import mlflow.data
import numpy as np
import pandas as pd
import pytest

from mlbench.config import DataConfig
from mlbench.errors import InputError
from mlbench.workloads.splits import check_data, make_data


@pytest.fixture
def table(tmp_path):
    frame = pd.DataFrame({"a": np.arange(60.0), "b": np.arange(60.0) % 7, "label": np.arange(60) % 2})
    frame.to_csv(tmp_path / "table.csv", index=False)
    return frame


def logged(*datasets):
    with mlflow.start_run() as run:
        for dataset in datasets:
            mlflow.log_input(dataset)
    return run.info.run_id


def refusal(**options):
    with pytest.raises(InputError) as caught:
        make_data(DataConfig("mlflow", options))
    (sentence,) = caught.value.problems
    return sentence


def test_the_file_behind_a_dataset_by_name_and_digest(tracker, table, tmp_path):
    source = str(tmp_path / "table.csv")
    whole = mlflow.data.from_pandas(table, source=source, name="whole")
    half = mlflow.data.from_pandas(table[:30], source=source, name="half")
    run = logged(whole, half, mlflow.data.from_pandas(table, name="nowhere"))
    found = make_data(DataConfig("mlflow", {"run": f"runs:/{run}", "name": "whole"}))
    assert sum(found.info.rows.values()) == 60
    assert found.info.source == f"table.csv (dataset 'whole', {whole.digest}, in MLflow)"
    assert not [note for note in found.info.notes if "digest" in note]
    assert list(found.info.columns) == ["a", "b", "label"]
    again = make_data(DataConfig("mlflow", {"run": run, "digest": half.digest}))
    assert any(f"not {half.digest}, which was logged" in note for note in again.info.notes)
    assert "has several datasets, 'whole'" in refusal(run=run)
    assert "options.name: the run" in refusal(run=run, name="other")
    assert "options.digest: the run" in refusal(run=run, name="whole", digest="other")
    assert "which names no file to load; log it with source=" in refusal(run=run, name="nowhere")


def test_what_cannot_be_read(tracker, table, tmp_path):
    assert "the run 'absent' cannot be read" in refusal(run="absent")
    (tmp_path / "table.txt").write_text("a")
    gone = mlflow.data.from_pandas(table, source=str(tmp_path / "gone.csv"), name="gone")
    text = mlflow.data.from_pandas(table, source=str(tmp_path / "table.txt"), name="text")
    run = logged(gone, text)
    assert "cannot be loaded from its source" in refusal(run=run, name="gone")
    assert "is the file table.txt; what is read are .csv, .parquet, .jsonl" in refusal(run=run, name="text")
    assert "options.run: the run" in refusal(run=logged())


def test_options_are_checked_before_anything_is_asked():
    (sentence,) = check_data(replace(DataConfig("mlflow"), options={"name": "x"}))
    assert "'run' is missing" in sentence
