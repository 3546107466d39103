"""Whole studies that end with another code than 0, or with no verdict at all."""

import json
from pathlib import Path

import pytest
from desk import SHORT, Desk

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


def test_few_trials_are_allowed_and_said_to_give_no_verdict(desk: Desk) -> None:
    ran = desk.run("run", "--json", "name=few", *SHORT, "protocol.trials=1")
    assert ran.returncode == 0, ran.stderr
    assert "fewer than 6 trials" in ran.stderr
    decision = json.loads(ran.stdout)
    assert decision["outcome"] == "inconclusive"
    enforced = desk.run("run", "name=few2", *SHORT, "protocol.trials=1", "policy.enforce=true")
    assert enforced.returncode == 4


def test_wrong_data_is_told_before_anything_is_left_behind(tmp_path: Path) -> None:
    ran = Desk(tmp_path).run("run", *SHORT, "workload.data.rows=5000")
    assert ran.returncode == 2
    assert "1797" in ran.stderr.replace(",", "")
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_is_not_met_is_exit_code_3_when_enforced(desk: Desk) -> None:
    impossible = "policy.constraints=[{metric: quality/accuracy, against: absolute, min: 1.01}]"
    ran = desk.run("run", "name=no", *SHORT, "protocol.trials=1", impossible, "policy.enforce=true")
    assert ran.returncode == 3, ran.stdout + ran.stderr
