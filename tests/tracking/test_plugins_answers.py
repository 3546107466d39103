"""Answers of pyfunc models, in their many forms, scored against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, r2_score

from mlbench.errors import InputError, MlbenchError
from mlbench.tracking.plugins.answers import plain, quality
from mlbench.tracking.plugins.settings import EvaluatorSettings

RANDOM = np.random.default_rng(4)
TRUTH = RANDOM.integers(0, 3, 60)
GUESS = np.where(RANDOM.random(60) < 0.8, TRUTH, (TRUTH + 1) % 3)
WORDS = np.array(["cat", "dog", "emu"])


def scored(answer, labels, task="classification", column=None, **settings):
    return quality(lambda _: answer, np.zeros(len(labels)), labels, EvaluatorSettings(task=task, **settings), column)


@pytest.mark.parametrize(
    ("answer", "labels", "settings"),
    [
        (GUESS, TRUTH, {}),
        (GUESS.astype(float), TRUTH, {}),
        (GUESS[:, None], TRUTH, {}),
        (WORDS[GUESS], WORDS[TRUTH], {}),
        (list(WORDS[GUESS]), pd.Series(WORDS[TRUTH]), {}),
        (pd.DataFrame({"prediction": WORDS[GUESS]}), WORDS[TRUTH], {}),
        (np.eye(3)[GUESS], TRUTH, {}),
        ({"scores": np.eye(3)[GUESS]}, TRUTH, {}),
        (np.eye(3)[GUESS], WORDS[TRUTH], {"classes": ("cat", "dog", "emu")}),
    ],
)
def test_classes_and_scores_in_every_form(answer, labels, settings):
    metrics, _ = scored(answer, labels, **settings)
    assert metrics["accuracy"].value == pytest.approx(accuracy_score(TRUTH, GUESS))
    assert metrics["f1_macro"].value == pytest.approx(f1_score(TRUTH, GUESS, average="macro"))
    assert metrics["accuracy"].low < metrics["accuracy"].value < metrics["accuracy"].high
    assert metrics["accuracy"].n == 60


def test_calibration_needs_scores():
    metrics, absent = scored(GUESS, TRUTH)
    assert "ece" not in metrics
    assert absent["ece"].startswith("the model answers with classes")
    metrics, absent = scored(np.eye(3)[GUESS] * 0.7 + 0.1, TRUTH)
    assert metrics["ece"].value == pytest.approx(abs(accuracy_score(TRUTH, GUESS) - 0.8))
    assert absent == {}


def test_numbers():
    truth = TRUTH + 0.25
    metrics, absent = scored(pd.DataFrame({"y": GUESS}), truth, "regression")
    assert metrics["r2"].value == pytest.approx(r2_score(truth, GUESS))
    assert metrics["mae"].value == pytest.approx(mean_absolute_error(truth, GUESS))
    assert absent == {}


def test_one_part_of_several_is_chosen_by_name():
    several = pd.DataFrame({"label": GUESS, "extra": 1})
    assert scored(several, TRUTH, column="label")[0]["accuracy"].value == accuracy_score(TRUTH, GUESS)
    assert plain({"label": GUESS, "extra": TRUTH}, "label").tolist() == GUESS.tolist()
    with pytest.raises(MlbenchError, match=r"several parts \(label, extra\): choose one with `predictions`"):
        plain({"label": GUESS, "extra": TRUTH}, None)


@pytest.mark.parametrize(
    ("answer", "labels", "task", "reason"),
    [
        (GUESS, None, "classification", "the dataset has no targets"),
        (GUESS[:10], TRUTH, "classification", "10 answers for 60 items"),
        (np.eye(3)[GUESS], WORDS[TRUTH], "classification", "which is none of the classes 0, 1, 2"),
        (np.zeros(60), np.zeros(60), "classification", "at least two classes"),
        (np.eye(3)[GUESS] * np.nan, TRUTH, "classification", "finite"),
        (WORDS[GUESS], TRUTH, "regression", "the answers are not numbers"),
        (GUESS, WORDS[TRUTH], "regression", "the targets are not numbers"),
        (np.eye(3)[GUESS], TRUTH, "regression", "not (60, 3)"),
    ],
)
def test_what_cannot_be_scored_has_a_reason(answer, labels, task, reason):
    metrics, absent = quality(lambda _: answer, np.zeros(60), labels, EvaluatorSettings(task=task), None)
    assert metrics == {}
    assert reason in absent["quality"]


def test_classes_that_do_not_fit_are_the_users_mistake():
    with pytest.raises(InputError, match="gives 3 scores for 2 classes"):
        scored(np.eye(3)[GUESS], TRUTH, classes=("a", "b"))
