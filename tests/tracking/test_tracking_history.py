"""The history of a registered model, from a real registry."""

import pytest

from mlbench.config import RegistryConfig
from mlbench.errors import InputError
from mlbench.tracking import model_history, promote, registered_models, rollback

CONFIG = RegistryConfig()


def test_versions_and_moves_of_the_champion(three):
    tracker, (first, second, _) = three
    promote(tracker, first, CONFIG)
    promote(tracker, second, CONFIG)
    rollback(tracker, "mlbench-tiny")
    history = model_history(tracker, "mlbench-tiny")
    assert history.aliases == {"champion": 1}
    newest, oldest = history.versions
    assert (newest.number, newest.replaced, newest.study, newest.run_id, newest.arm) == (2, 1, "twice", second, "fast")
    assert newest.rolled_back
    assert newest.aliases == ()
    assert oldest.aliases == ("champion",)
    assert oldest.evidence["p50_ms"] == "1 (0.98 to 1.02) ms"
    moves = [(move.what, move.version, move.before) for move in history.moves]
    assert moves == [("rolled back", 1, 2), ("promoted", 2, 1), ("promoted", 1, None)]  # all within a second
    assert [version.number for version in history.champions] == [1, 2]
    (model,), following = registered_models(tracker)
    assert (model.name, model.aliases, following) == ("mlbench-tiny", {"champion": 1}, "")


def test_a_version_by_hand_is_no_champion_of_ours(published, tmp_path):
    tracker, _ = published
    tracker.client.create_registered_model("it's mine")
    tracker.client.create_model_version("it's mine", str(tmp_path))
    history = model_history(tracker, "it's mine")
    assert [version.number for version in history.versions] == [1]
    assert history.champions == ()
    assert history.moves == ()


def test_a_model_that_is_not_there(published):
    with pytest.raises(InputError, match="no registered model 'none'"):
        model_history(published[0], "none")
