import subprocess
import sys

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlbench.tracking import names

GOOD_MODELS = ["mlbench-digits", ".x", "a b", "catalog.schema.model", "größe", "x" * 256, "it's", "100%"]
BAD_MODELS = ["", "   ", "a/b", "a:b", "models:/x", ".", "..", "..x"]
GOOD_ALIASES = ["champion", "edge", "prod-cpu", "A_1", "version1"]
BAD_ALIASES = ["", "latest", "LATEST", "v1", "V23", "a b", "a.b", "a/b"]


class TestAgainstMlflow:
    """MLflow itself is the oracle: what is let through it accepts, what is refused it refuses."""

    @pytest.mark.parametrize("name", GOOD_MODELS)
    def test_a_good_model_name_is_accepted(self, store, name):
        assert names.check_model_name(name) is None
        assert MlflowClient(store).create_registered_model(name).name == name

    @pytest.mark.parametrize("name", BAD_MODELS)
    def test_a_bad_model_name_is_refused(self, store, name):
        assert "registry.model_name" in names.check_model_name(name)
        with pytest.raises(MlflowException):
            MlflowClient(store).create_registered_model(name)

    @pytest.mark.parametrize("alias", GOOD_ALIASES)
    def test_a_good_alias_is_accepted(self, tracker, alias):
        assert names.check_alias(alias) is None
        tracker.client.create_registered_model("m")
        tracker.client.create_model_version("m", "file:///nowhere")
        tracker.client.set_registered_model_alias("m", alias, "1")
        assert tracker.client.get_model_version_by_alias("m", alias).version == 1

    @pytest.mark.parametrize("alias", BAD_ALIASES)
    def test_a_bad_alias_is_refused(self, store, alias):
        assert "registry.alias" in names.check_alias(alias)
        client = MlflowClient(store)
        client.create_registered_model("m")
        client.create_model_version("m", "file:///nowhere")
        with pytest.raises(MlflowException):
            client.set_registered_model_alias("m", alias, "1")

    @pytest.mark.parametrize(("workload", "arm"), [("digits", "pruned.v2"), ("a/b", 'c:"d%'), ("my data", "it's")])
    def test_a_logged_model_name_is_accepted(self, tracker, workload, arm):
        name = names.logged_model_name(workload, arm)
        assert tracker.client.create_logged_model(tracker.experiment_id, name=name).name == name

    @pytest.mark.parametrize("metric", ["quality/recall@5", "latency/p99,9 (ms)", "a%b"])
    def test_a_metric_key_is_accepted(self, tracker, metric):
        run_id = tracker.client.create_run(tracker.experiment_id).info.run_id
        tracker.client.log_metric(run_id, names.metric_key(metric), 1.0)
        assert list(tracker.client.get_run(run_id).data.metrics) == [names.metric_key(metric)]


@pytest.mark.parametrize("name", ["x" * 257, "a\nb"])
def test_other_model_names_that_lead_nowhere(name):
    assert names.check_model_name(name) is not None


@pytest.mark.parametrize("alias", ["previous", "edge-previous", "x" * 250])
def test_aliases_that_mlbench_needs_itself(alias):
    assert names.check_alias(alias) is not None


@pytest.mark.parametrize(("name", "word"), [("", "empty"), (" ", "empty"), ("x" * 501, "501")])
def test_bad_experiment_names(name, word):
    assert word in names.check_experiment_name(name)


def test_good_experiment_names():
    assert names.check_experiment_name("mlbench") is None
    assert names.check_experiment_name("team/mlbench: cpu") is None


def test_the_default_model_name_is_a_good_one():
    assert names.check_model_name(names.default_model_name("digits")) is None


def test_the_checks_need_no_mlflow():
    code = "import sys; import mlbench.tracking.names; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_itself_needs_no_mlflow():
    code = "import sys; import mlbench.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there():
    import mlbench.tracking

    for name in mlbench.tracking.__all__:
        assert getattr(mlbench.tracking, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        mlbench.tracking.nothing  # noqa: B018 - the access is the test
