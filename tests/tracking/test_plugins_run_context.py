"""Hardware and software as tags of every run."""

import subprocess
import sys

import mlflow
import pytest
from mlflow.tracking.context import registry

from mlbench.environment import environment
from mlbench.tracking.plugins import run_context
from mlbench.tracking.plugins.run_context import PREFIX, SWITCH, EnvironmentContext


@pytest.fixture(autouse=True)
def _own_facts(monkeypatch):
    run_context._facts.cache_clear()
    yield
    run_context._facts.cache_clear()


@pytest.fixture
def started(store, monkeypatch):
    """Tags of ours on a run that is started as users do, with the provider as MLflow has it."""
    others = [item for item in registry._run_context_provider_registry if not isinstance(item, EnvironmentContext)]
    monkeypatch.setattr(registry._run_context_provider_registry, "_registry", [*others, EnvironmentContext()])
    monkeypatch.delenv(SWITCH, raising=False)
    mlflow.set_tracking_uri(store)

    def start():
        with mlflow.start_run() as run:
            pass
        return {
            key: value for key, value in mlflow.get_run(run.info.run_id).data.tags.items() if key.startswith(PREFIX)
        }

    return start


def test_a_run_says_what_it_ran_on(started):
    facts = {name: value for name, value in environment().items() if value}
    assert started() == {PREFIX + name: value for name, value in facts.items()}
    assert started()[PREFIX + "cpu.usable"] == facts["cpu.usable"]


@pytest.mark.parametrize("value", ["off", "OFF", "0", "false", " no "])
def test_one_variable_switches_it_off(started, monkeypatch, value):
    monkeypatch.setenv(SWITCH, value)
    assert started() == {}


def test_it_never_fails_a_run_and_says_so_once(started, monkeypatch, caplog):
    def broken():
        raise OSError("/proc is gone")

    monkeypatch.setattr("mlbench.environment.environment", broken)
    assert started() == started() == {}
    assert [record.message for record in caplog.records if "mlbench" in record.message] == [
        "mlbench could not describe this machine, so the run has no tags that do: /proc is gone"
    ]


def test_facts_are_gathered_once(started, monkeypatch):
    asked = []
    monkeypatch.setattr("mlbench.environment.environment", lambda: asked.append(1) or {"cpu.model": "Test CPU"})
    assert started() == started() == {PREFIX + "cpu.model": "Test CPU"}
    assert asked == [1]


def test_whoever_changes_the_tags_changes_their_own():
    context = EnvironmentContext()
    context.tags().clear()
    assert context.tags()


def test_plugins_are_light_to_import():
    """MLflow imports this one with every program that tracks anything, the evaluator with every evaluation."""
    code = """
import sys
def imported(module):
    before = set(sys.modules)
    __import__(module)
    new = {name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
    return sorted(new - {'mlbench'})
import mlflow.tracking
print(imported('mlbench.tracking.plugins.run_context'), 'mlbench.environment' in sys.modules)
import mlflow.models.evaluation.evaluator_registry
print(imported('mlbench.tracking.plugins.evaluator'), 'mlbench.tracking.plugins.in_process' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[] False", "[] False"]
