"""Recorded studies, in a store that answers like MLflow's client."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

for _folder in ("reporting", "tracking"):  # whose recorded studies and artifacts are used here, too
    sys.path.append(str(Path(__file__).parents[1] / _folder))

from dashboard_parts import slower  # noqa: E402
from dashboard_store import Store  # noqa: E402
from reporting_studies import EVIL, make_study, make_turns, rename  # noqa: E402

from mlbench.dashboard.site import Site  # noqa: E402
from mlbench.dashboard.web import Answer, Request, values  # noqa: E402
from mlbench.records import Measurement, Study  # noqa: E402


@pytest.fixture(scope="session")
def study() -> Study:
    return make_study()


@pytest.fixture(scope="session")
def measurement(study: Study) -> Measurement:
    return Measurement(study.plan, make_turns(study), (), ())


@pytest.fixture(scope="session")
def later(study: Study) -> Study:
    """The same another time: the winner is slower than it was, and the machine is another one."""
    arms = tuple(slower(arm) if arm.name == study.decision.winner else arm for arm in study.arms)
    environment = {**study.environment, "cpu.model": "Another CPU"}
    return dataclasses.replace(study, name="digits-2026-02-01-0900", arms=arms, environment=environment)


@pytest.fixture(scope="session")
def hostile(study: Study) -> Study:
    """Names that would do harm if any page let them through."""
    renamed = rename(rename(study, "onnx_fp32", EVIL), "pruned", '"><img src=x onerror=alert(1)>')
    winner = rename(renamed, "pruned_onnx_int8", "</script><script>alert(1)</script>")
    return dataclasses.replace(
        winner,
        name=EVIL,
        workload=dataclasses.replace(winner.workload, name=EVIL),
        environment={**winner.environment, EVIL: EVIL},
        decision=dataclasses.replace(winner.decision, sentence=f"Ship it, {EVIL} & 'more'."),
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def ask(store: Store) -> Callable[..., Answer]:
    """Asks the pages for an address."""
    site = Site(lambda: store.tracker)

    def asked(address: str, **changes) -> Answer:
        path, _, query = address.partition("?")
        return site.answer(Request(**{"method": "GET", "path": path, "query": values(query), **changes}))

    return asked
