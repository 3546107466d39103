"""Errors carry the exit codes that scripts rely on."""

import pytest

from mlbench.errors import BuildError, ExitCode, InputError, MlbenchError, TrackingError, WorkerError


def test_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "FAILURE": 1,
        "WRONG_INPUT": 2,
        "POLICY_NOT_MET": 3,
        "INCONCLUSIVE": 4,
        "INTERRUPTED": 130,
    }


def test_input_errors_keep_every_problem() -> None:
    assert InputError("one").problems == ("one",)
    both = InputError(["one", "two"])
    assert both.problems == ("one", "two")
    assert str(both) == "one\ntwo"
    assert both.exit_code is ExitCode.WRONG_INPUT


def test_build_errors_name_the_step() -> None:
    error = BuildError("export_onnx", "no such operator")
    assert error.step == "export_onnx"
    assert str(error) == "step 'export_onnx': no such operator"


@pytest.mark.parametrize("kind", [MlbenchError, WorkerError, TrackingError])
def test_everything_else_is_a_failure(kind: type[MlbenchError]) -> None:
    assert isinstance(kind("x"), MlbenchError)
    assert kind("x").exit_code is ExitCode.FAILURE
