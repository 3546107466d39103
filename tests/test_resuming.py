"""A study goes on as it was begun, and its journal gets nothing run that the user did not choose."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import make_arm

from mlbench.compose import compose
from mlbench.config import ProtocolConfig
from mlbench.errors import InputError, MlbenchError
from mlbench.journal import Begun, Journal, JournalBusyError, Planned
from mlbench.measurement.gathered import Gathered
from mlbench.records import Condition, LostTrial, Measurement, Plan, Recipe, StepSpec, Turn
from mlbench.resuming import check_same_arms, journaled_arm, measured_before, notices, open_runs, resume

RUN = "0123456789abcdef0123456789abcdef"
URI = "sqlite:////somewhere/mlflow.db"
PLAN = Plan(1, ("baseline", "a"), "baseline", (Condition(1, 1, 0, 1),), 2, 1, 0.0, 0, ())


def begin(root: Path, *overrides: str, config_dirs: Any = (), **changes: Any) -> Path:
    composition = compose(overrides, config_dirs)
    values = {"tracking_uri": URI, "experiment": "mine", "config": composition.record, **changes}
    begun = Begun(RUN, "my study", "2026-01-01T00:00:00+00:00", "0.1", overrides=composition.overrides, **values)
    with Journal.begin(root, begun) as journal:
        return journal.path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLBENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.mark.parametrize("reference", [RUN, RUN[:4], "my study"])
def test_it_is_found_and_composed_as_it_was(root: Path, reference: str) -> None:
    path = begin(root, "protocol=quick", "variants=[onnx_fp32]", "tracking.uri=sqlite:///gone.db")
    journal, composition = resume(reference, (), ())
    with journal:
        assert journal.path == path
    config = composition.config
    assert (config.name, config.protocol.name, list(config.variants)) == ("my study", "quick", ["onnx_fp32"])
    assert (config.tracking.uri, config.tracking.experiment) == (URI, "mine")
    assert composition.overrides == ("protocol=quick", "variants=[onnx_fp32]", "tracking.uri=sqlite:///gone.db")


@pytest.mark.parametrize("reference", ["another", "0", "ffff"])
def test_what_is_not_there_is_said_with_what_is(root: Path, reference: str) -> None:
    begin(root)
    with pytest.raises(InputError, match=rf"--resume {reference}: is no study to resume in .*: {RUN} \(my study\)"):
        resume(reference, (), ())


def test_a_study_under_way_is_left_alone(root: Path) -> None:
    with Journal.open(begin(root)), pytest.raises(JournalBusyError, match="under way"):
        resume(RUN, (), ())


def test_other_overrides_are_refused(root: Path) -> None:
    begin(root, "protocol=quick")
    with pytest.raises(InputError, match=r"'protocol\.trials=9' is none of the study's overrides"):
        resume(RUN, ("protocol.trials=9",), ())
    journal, _ = resume(RUN, ("protocol=quick",), ())  # and the lock was given back
    journal.close()


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("workload.model.factory=mlbench.workloads.nets:digits_cnn", "it may not name code to run"),
        ("workload.model.trust=true", "it may not name code to run"),
        ("registry={trust: true}", "it may not name code to run"),
        (f"baseline.runtime.python={sys.executable}", "it may not name code to run"),
        (f"+variants.old={{steps: [], runtime: {{python: {sys.executable}}}}}", "it may not name code to run"),
        ("name=${oc.env:HOME}", "it may not read this machine's environment"),
    ],
)
def test_the_journal_alone_runs_no_code_and_reads_no_environment(root: Path, override: str, why: str) -> None:
    begin(root, override)
    with pytest.raises(InputError, match=f"{why}; to resume the study, give it again"):
        resume(RUN, (), ())
    journal, composition = resume(RUN, (override,), ())
    journal.close()
    assert composition.overrides == (override,)


def test_a_hand_made_override_is_refused_like_anybody_elses(root: Path) -> None:
    begin(root)
    begun = Begun(
        RUN, "x", "2026-01-01T00:00:00+00:00", "0", URI, "mine", {}, ("hydra.run.dir=/", "+a._target_=os.system")
    )
    with Journal.begin(root, begun), pytest.raises(JournalBusyError):
        resume(RUN, (), ())
    with pytest.raises(InputError) as caught:
        resume(RUN, (), ())
    assert "runs no Hydra job" in caught.value.problems[0]
    assert "_target_" in caught.value.problems[1]


def test_credentials_are_given_again(root: Path) -> None:
    secret = "baseline.description='see http://me:secret@host/x'"
    begin(root, secret)
    assert "secret" not in "".join(path.read_text() for path in root.rglob("*.json"))
    with pytest.raises(InputError, match="holds credentials, which are not kept"):
        resume(RUN, (), ())
    journal, composition = resume(RUN, (secret,), ())
    journal.close()
    assert composition.config.baseline.description == "see http://me:secret@host/x"


def test_a_configuration_that_has_changed_is_no_study_to_go_on_with(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "conf" / "protocol"
    folder.mkdir(parents=True)
    (folder / "nightly.yaml").write_text("defaults: [default]\nname: nightly\ntrials: 14\n")
    begin(root, "protocol=nightly", config_dirs=[tmp_path / "conf"])
    journal, _ = resume(RUN, (), [tmp_path / "conf"])
    journal.close()
    with pytest.raises(InputError, match="unknown protocol 'nightly'"):
        resume(RUN, (), ())
    (folder / "nightly.yaml").write_text("defaults: [default]\nname: nightly\ntrials: 15\n")
    with pytest.raises(InputError, match=r"not what it was when the study was begun \(protocol\.trials\)"):
        resume(RUN, (), [tmp_path / "conf"])


# ---------------------------------------------------------------------------------------------------------------------
# going on


def make_planned() -> Planned:
    arms = [make_arm("baseline", "baseline"), make_arm("a")]
    return Planned(PLAN, ProtocolConfig(trials=2), tuple(journaled_arm(arm) for arm in arms))


def test_an_arm_is_kept_without_credentials() -> None:
    arm = make_arm("a")
    recipe = Recipe("a", (StepSpec("fetch", {"url": "http://me:secret@host/x"}),), description="as it is")
    settings = replace(arm.settings, options={"license": "http://host?token=secret"})
    kept = journaled_arm(replace(arm, recipe=recipe, settings=settings))
    assert "secret" not in str(kept)
    assert kept.recipe.steps[0].params == {"url": "http://***@host/x"}
    assert (kept.recipe.description, kept.settings.threads, kept.digest) == ("as it is", 1, "a")


def test_arms_must_be_what_was_measured() -> None:
    arms = [make_arm("baseline", "baseline"), make_arm("a")]
    check_same_arms(make_planned(), arms)
    other = replace(arms[1], artifact=replace(arms[1].artifact, digest="another"))
    with pytest.raises(MlbenchError, match="a is built differently now"):
        check_same_arms(make_planned(), [arms[0], other])
    with pytest.raises(MlbenchError, match="a cannot be built any more"):
        check_same_arms(make_planned(), arms[:1])


def test_damaged_trials_are_measured_again_and_it_is_said(root: Path) -> None:
    none = np.zeros(0, np.int64)
    with Journal.open(begin(root)) as journal:
        for trial in (0, 1):
            turn = Turn(trial, 0, 0, "a", 1, 1, 2, 1, 1, none, np.ones(1, np.int64))
            journal.trial(trial, Measurement(PLAN, (turn,), (), ()))
        spoiled = journal.path / "trial-0000" / "a" / "samples.parquet"
        spoiled.write_bytes(spoiled.read_bytes()[:-1])
        said: list[str] = []
        parts = measured_before(journal, make_planned(), said.append)
    assert [turn.trial for part in parts for turn in part.turns] == [1]
    assert "trial-0000/a/samples.parquet has changed; that trial is measured again" in said[0]
    assert said[1] == "1 of 2 trials were measured before, and are not measured again"
    assert [notice.code for notice in notices(PLAN, parts)] == ["resumed"]
    assert notices(PLAN, []) == []


@pytest.mark.parametrize(("kept", "counted"), [((0,), 0), ((0, 2), 1), ((0, 2, 1), 2)])
def test_a_trial_that_does_not_count_is_not_counted_as_measured(
    root: Path, kept: tuple[int, ...], counted: int
) -> None:
    """Trial 1 (number 0) was lost, and number 2 took its place, if that was measured already."""
    ns = np.ones(1, np.int64)
    with Journal.open(begin(root)) as journal:
        for trial in kept:
            turn = (Turn(trial, 0, 0, "a", 1, 1, 2, 1, 1, ns[:0], ns),)
            part = Measurement(PLAN, turn, (), ())
            if trial == 0:
                part = Measurement(PLAN, (), (), (), (LostTrial("a", 0, "it hung", repeated_as=2),), void=turn)
            journal.trial(trial, part)
        said: list[str] = []
        parts = measured_before(journal, make_planned(), said.append)
    assert len(parts) == len(kept)
    expected = [f"{counted} of 2 trials were measured before, and are not measured again"] if counted else []
    assert said == expected
    (notice,) = notices(PLAN, parts)
    trials = f": {counted} of its trials are of an earlier sitting, whose time is not counted" if counted else ""
    assert notice.message == f"the study was resumed{trials}"
    assert [Gathered(parts).is_done(place) for place in range(2)] == [counted > 0, counted > 1]


class Runs:
    run_id = RUN

    def __init__(self) -> None:
        self.anew: list[bool] = []

    def reopen(self, *, anew: bool) -> None:
        self.anew.append(anew)


def test_the_runs_are_opened_again_and_the_earlier_conclusion_is_forgotten(root: Path) -> None:
    runs: Any = Runs()
    tracker: Any = type("Tracker", (), {"resume_study": lambda _self, _run_id: runs})()
    composition = compose()
    with Journal.open(begin(root)) as journal:
        assert open_runs(composition, tracker, journal) == (runs, journal.begun())
        journal._write("concluded", lambda _folder: None)
        journal.mark_delivered()
        open_runs(composition, tracker, journal)
        assert (journal.is_concluded, journal.is_delivered) == (False, False)
    assert runs.anew == [False, True]
