import json

import numpy as np
import pytest
import yaml
from tiny_study import EXAMPLE, REPORTS, arms_of, make_measurement, make_study

from mlbench.records import Study, from_json
from mlbench.tracking import keep_measurement, load_measurement, load_study, publish
from mlbench.tracking.load import _text


def test_smoke(published, artifacts):
    tracker, run_id = published
    run = tracker.client.get_run(run_id)
    print(run.data.tags)
    loaded = load_study(tracker, run_id)
    print(loaded.arms)
    for name, child in loaded.arms.items():
        r = tracker.client.get_run(child)
        print(name, r.info.status, r.data.tags, r.data.params, r.data.metrics, r.outputs)
    assert loaded.study == make_study(artifacts)
