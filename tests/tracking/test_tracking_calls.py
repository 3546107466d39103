import logging
import os
import warnings

import pytest
import requests
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from mlbench.errors import InputError, TrackingError
from mlbench.tracking.calls import doing, first_line, impatient, quiet


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("no such thing\nsecond line"),
        requests.ConnectionError("no such thing"),
        OperationalError("SELECT 1", None, Exception("no such thing")),
        OSError("no such thing"),
    ],
)
def test_whatever_mlflow_raises_is_one_sentence(error):
    pattern = r"^MLflow: could not read the run: .*no such thing"
    with pytest.raises(TrackingError, match=pattern) as caught, doing("read the run"):
        raise error
    assert "\n" not in str(caught.value)


def test_our_own_errors_pass():
    with pytest.raises(InputError, match="yours"), doing("read"):
        raise InputError("yours")


def test_other_errors_are_bugs_and_pass():
    with pytest.raises(ZeroDivisionError), doing("read"):
        raise ZeroDivisionError


def test_first_line_has_no_credentials_and_is_never_empty():
    assert first_line(OSError("http://me:secret@h failed\nmore")) == "http://***@h failed"
    assert first_line(ValueError()) == "ValueError"


def test_quiet_gives_everything_back(caplog):
    logger = logging.getLogger("alembic")
    before = logger.level
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with quiet():
            logger.warning("chatter")
            warnings.warn("chatter", stacklevel=1)
            assert os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] == "false"
        warnings.warn("wanted", stacklevel=1)
    assert [str(item.message) for item in seen] == ["wanted"]
    assert caplog.text == ""
    assert logger.level == before
    assert "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR" not in os.environ


def test_impatience_leaves_the_users_own_settings(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with impatient():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_a_setting_that_was_there_comes_back(monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "true")
    with quiet():
        assert os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] == "false"
    assert os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] == "true"
