"""The whole way on PostgreSQL, behind a real MLflow server."""

import postgres
import pytest
from promoting import aliases, promote_at_once, record
from tiny_study import EXAMPLE, REPORTS, arms_of, make_measurement, make_study

from mlbench.config import RegistryConfig, TrackingConfig
from mlbench.tracking import connect, content, load_measurement, load_study, promote, publish, rollback

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(bool(postgres.absent()), reason=postgres.absent() or "it is there")]


@pytest.fixture(scope="module")
def tracker(tmp_path_factory, served):
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    with postgres.cluster() as store, served(tmp_path_factory.mktemp("server"), store) as address:
        yield connect(TrackingConfig(uri=address))


def test_studies_are_published_read_back_and_promoted_at_once(tracker, artifacts):
    study, measured = make_study(artifacts), make_measurement()
    winner, run_ids = {"fast": arms_of(artifacts)["fast"]}, []
    for _ in range(2):
        runs = tracker.open_study(study.name, study.config, study.overrides)
        publish(study, measured, runs, arms=winner, example=EXAMPLE, **REPORTS)
        run_ids.append(runs.run_id)
    loaded = load_study(tracker, run_ids[0])
    assert loaded.study == content.public(study)
    assert len(load_measurement(tracker, loaded).turns) == len(measured.turns)
    assert load_study(tracker, "latest").run_id == run_ids[1]

    promote_at_once(tracker, *run_ids)

    loser = next(run_id for run_id in run_ids if not _promoted(tracker, run_id))
    record(tracker, loser, 1)  # measured again, it would have begun with the champion that there is now
    assert promote(tracker, loser, RegistryConfig()).version == 2
    assert aliases(tracker) == {"champion": 2, "previous": 1}
    rollback(tracker, "mlbench-tiny")
    assert aliases(tracker)["champion"] == 1


def _promoted(tracker, run_id):
    return tracker.client.get_model_version("mlbench-tiny", "1").tags["mlbench.run"] == run_id
