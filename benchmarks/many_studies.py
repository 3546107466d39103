"""How long pages and ``mlbench show`` take when thousands of studies are stored.

Makes an SQLite store with that many studies (each with its arms as runs, their metrics, and ``study.json``), promotes
the winners of some of them one after the other, starts
``mlflow server --app-name mlbench`` on it, and opens the pages in Chromium: the time from asking for a page until the
browser has painted its content for the first time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunStatus
from shared import finish, machine, machine_alone, table
from sqlalchemy import event
from sqlalchemy.engine import Engine

from mlbench.config import RegistryConfig, TrackingConfig
from mlbench.records import Study, to_json
from mlbench.reporting.colours import arm_colours
from mlbench.tracking import Tracker, connect, content, load_study, names, promote, server

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "reporting"))

from reporting_studies import make_study

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--no-proxy-server"]
PORT = 5907
MODEL, CHAMPIONS = "mlbench-digits", 20
_PAINT = """new Promise(done => new PerformanceObserver(found => {
  for (const entry of found.getEntriesByName("first-contentful-paint")) done(entry.startTime);
}).observe({type: "paint", buffered: true}))"""
_DAY_MS = 86_400_000


def fill(tracker: Tracker, study: Study, number: int, say: Callable[[str], None]) -> list[str]:
    """Store that many copies of a study under names of their own, a day apart, and give their run ids."""
    run_ids = []
    for place in range(number):
        one = replace(study, name=f"{study.workload.name}-{place:05}")
        when = 1_700_000_000_000 + place * _DAY_MS
        tags = {**content.study_tags(one), "mlflow.note.content": study.decision.sentence}
        run_id = _run(tracker, one.name, tags, content.study_params(one), when)
        tracker.client.log_text(run_id, to_json(one, indent=None), names.STUDY_JSON)
        tracker.client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED), when + 1)
        colours = arm_colours(arm.name for arm in one.arms)
        for arm in one.arms:
            above = {**content.arm_tags(one, arm, colours[arm.name]), "mlflow.parentRunId": run_id}
            metrics = [Metric(point.key, point.value, when, point.step) for point in content.metrics(arm)]
            _run(tracker, arm.name, above, content.arm_params(one, arm), when, metrics)
        run_ids.append(run_id)
        if (place + 1) % 100 == 0:
            say(f"{place + 1} of {number} studies")
    return run_ids


def promote_some(tracker: Tracker, run_ids: Sequence[str]) -> None:
    """Make the winners of these studies champions, one after the other; the last one is left to be promoted.

    Their models have no files.
    """
    for run_id in run_ids:
        loaded = load_study(tracker, run_id)
        winner = loaded.arms[str(loaded.study.decision.winner)]
        model = tracker.client.create_logged_model(tracker.experiment_id, "winner", source_run_id=winner)
        tracker.client.finalize_logged_model(model.model_id, "READY")
        tracker.client.set_tag(winner, names.MODEL, model.model_id)
        if run_id != run_ids[-1]:
            promote(tracker, run_id, RegistryConfig(model_name=MODEL))


def _run(
    tracker: Tracker, name: str, tags: dict[str, str], params: dict[str, str], when: int, metrics: Sequence[Metric] = ()
) -> str:
    client = tracker.client
    run_id = str(client.create_run(tracker.experiment_id, when, tags=tags, run_name=name).info.run_id)
    client.log_batch(run_id, metrics=metrics, params=[Param(key, value[:6000]) for key, value in params.items()])
    return run_id


def _unsafe() -> None:
    """Do not wait for the disk while the store is filled, which is thrown away anyway."""

    @event.listens_for(Engine, "connect")
    def _(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")


@contextmanager
def browser() -> Iterator[Any]:
    """A page in Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium.new_page()
        chromium.close()


def first_paint(page: Any, address: str, repeats: int) -> list[float]:
    """Seconds until something of the page was painted, each time from nowhere."""
    found = []
    for _ in range(repeats):
        page.goto("about:blank")
        page.goto(address)
        found.append(page.evaluate(_PAINT) / 1000)
    return found


def shown(store: str, reference: str, repeats: int) -> list[float]:
    """Seconds that ``mlbench show`` takes, from the start of its process to its end."""
    command = [sys.executable, "-m", "mlbench", "show", reference, "--json", "--tracking-uri", store]
    found = []
    for _ in range(repeats):
        begin = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found.append(time.monotonic() - begin)
    return found


def measure(store: str, run_ids: Sequence[str], repeats: int) -> list[list[str]]:
    """One row per page or command: what, the first time after the server's start, the median, and the worst."""
    newest, root = run_ids[-1], f"http://127.0.0.1:{PORT}/mlbench"
    name = f"-{len(run_ids) // 2:05}"
    pages = {
        "list of studies": f"{root}/",
        "list, a search that finds one": f"{root}/?q={name}",
        "list, a search that finds most": f"{root}/?q=0",
        "a study": f"{root}/studies/{newest}",
        "two studies compared": f"{root}/compare?study={newest}&study={run_ids[0]}",
        "models": f"{root}/models",
        "history of a model": f"{root}/models/{MODEL}",
        "a promotion": f"{root}/studies/{newest}/promote",
    }
    rows = []
    with server.serving(store, PORT), browser() as page:
        for what, address in pages.items():
            rows.append(row(f"first paint, {what}", first_paint(page, address, repeats)))
    rows.append(row("`mlbench show`, by run id", shown(store, newest, repeats)))
    rows.append(row("`mlbench show latest`", shown(store, "latest", repeats)))
    return rows


def row(what: str, seconds: Sequence[float]) -> list[str]:
    """The first, the median and the worst of several times."""
    later = list(seconds[1:]) or list(seconds)
    return [what, f"{seconds[0]:.2f} s", f"{statistics.median(later):.2f} s", f"{max(later):.2f} s"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill a store, open the pages, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, help="how many are stored (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="how often each page is opened (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="keep the report in README.md")
    chosen = parser.parse_args(arguments)
    study = make_study()
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="mlbench-many-") as name, machine_alone():
        os.chdir(name)
        try:
            _unsafe()
            tracker = connect(TrackingConfig(uri=f"sqlite:///{name}/mlflow.db"))
            run_ids = fill(tracker, study, chosen.studies, lambda text: print(text, file=sys.stderr))
            promote_some(tracker, run_ids[-CHAMPIONS - 1 :])
            rows = measure(tracker.location.uri, run_ids, chosen.repeats)
        finally:
            os.chdir(before)
    report = machine() + f"{chosen.studies:,} studies of {len(study.arms)} arms each in an SQLite store.\n\n"
    report += table(["what", "first time", f"median of {chosen.repeats - 1} more", "worst of those"], rows)
    finish("many_studies", report, write=chosen.write)


if __name__ == "__main__":
    main()
