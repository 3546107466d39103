"""From predictions to quality: the probe is fitted on the baseline once, decisions are kept, arms are paired."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlbench.quality import judging
from mlbench.quality.classification import Classification
from mlbench.quality.embedding import Embedding
from mlbench.records import Arm, Artifact, Measurement, Plan, Predictions, Recipe, RuntimeSettings

LABELS = np.array([0, 1, 0, 1])
PLAN = Plan(0, ("base", "arm"), "base", (), 1, 1, 0.0, 0, ())


def arm() -> Arm:
    return Arm("base", "baseline", Recipe("base"), Artifact("", "f", "", "", (), (), 0), RuntimeSettings())


def measured(**outputs: Any) -> Measurement:
    predictions = tuple(Predictions(name, np.array(values, float), LABELS) for name, values in outputs.items())
    return Measurement(PLAN, (), (), predictions)


def test_a_probe_is_fitted_on_the_baselines_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(artifact: Artifact, settings: RuntimeSettings, inputs: dict[str, Any]) -> np.ndarray:
        asked.append((artifact, settings, inputs))
        return np.array([[1.0, 0.0], [0.0, 1.0]] * 2)

    monkeypatch.setattr(judging, "answers", answer)
    task = judging.ready_task("embedding", arm(), {"x": LABELS}, LABELS)
    assert isinstance(task, Embedding)
    assert task.decide(np.array([[0.1, 3.0], [2.0, 0.0]])).tolist() == [1, 0]
    assert len(asked) == 1


def test_other_tasks_ask_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "answers", None)
    assert isinstance(judging.ready_task("classification", arm(), {}, LABELS), Classification)


def test_decisions_are_kept_where_outputs_are_finite() -> None:
    found = judging.decided(measured(base=np.eye(2)[LABELS], arm=[[np.nan, 1]] * 4), Classification()).predictions
    assert found[0].decided is not None
    assert found[0].decided.tolist() == LABELS.tolist()
    assert found[1].decided is None


def test_arms_are_paired_with_the_baseline_and_losses_told() -> None:
    right = np.eye(2)[LABELS]
    found = judging.qualities(measured(base=right, arm=1 - right), Classification(), ("no", "yes"), 0)
    assert found["base"].deltas == {}
    assert found["arm"].deltas["accuracy"].value == -1
    (notice,) = judging.loss_notices(found)
    assert notice.message.startswith("arm loses 100.0 points of accuracy, most in 'no'")
    alone = judging.qualities(replace(measured(arm=right)), Classification(), ("no", "yes"), 0)
    assert alone["arm"].deltas == {}
