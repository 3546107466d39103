from pathlib import Path

import pytest

from mlbench.tracking.uris import Location, absolute

HERE = Path("/home/me")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("sqlite:///../x.db", "sqlite:////home/me/../x.db"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("sqlite:///x.db?timeout=5", "sqlite:////home/me/x.db?timeout=5"),
        ("sqlite:////data/a%20b/mlflow.db", "sqlite:////data/a b/mlflow.db"),
        ("sqlite:////data/100%25/mlflow.db", "sqlite:////data/100%25/mlflow.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("mlruns", "file:///home/me/mlruns"),
        ("/data/mlruns", "file:///data/mlruns"),
        ("file:mlruns", "file:///home/me/mlruns"),
        ("file:///data/mlruns", "file:///data/mlruns"),
        ("http://host:5000", "http://host:5000"),
        ("databricks://profile", "databricks://profile"),
        ("postgresql://u:p@h/db", "postgresql://u:p@h/db"),
    ],
)
def test_absolute(uri, expected):
    assert absolute(uri, HERE) == expected


@pytest.mark.parametrize("uri", ["databricks", "databricks-uc", "uc"])
def test_databricks_is_a_place_of_its_own(uri):
    assert absolute(uri, HERE) == uri


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////data/mlflow.db", Path("/data/mlflow.db")),
        ("sqlite:////data/x.db?timeout=5", Path("/data/x.db")),
        ("sqlite:////data/100%25.db", Path("/data/100%.db")),
        ("sqlite:///:memory:", None),
        ("http://host", None),
    ],
)
def test_the_file_of_a_store(uri, path):
    assert Location(uri, "tracking.uri").sqlite_path == path


def test_what_is_shown_has_no_credentials():
    assert Location("http://me:secret@host", "tracking.uri").shown() == "'http://***@host' (tracking.uri)"


@pytest.mark.parametrize(("uri", "expected"), [("http://h", True), ("HTTPS://h", True), ("sqlite:////x", False)])
def test_is_http(uri, expected):
    assert Location(uri, "").is_http is expected
