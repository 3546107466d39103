"""The pages in a real browser, from a real ``mlflow server --app-name mlbench`` on this machine."""

from __future__ import annotations

import dataclasses
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reporting_studies import EVIL
from tiny_study import REPORTS

from mlbench.config import RegistryConfig, TrackingConfig
from mlbench.records import Measurement, Study
from mlbench.tracking import Tracker, connect, names, promote, publish, server

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-proxy-server",
]  # fmt: skip
WINNER = "pruned_onnx_int8"

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]


@dataclasses.dataclass(frozen=True)
class Place:
    """A server with recorded studies: the first, the same later and slower, and one with hostile names."""

    address: str
    tracker: Tracker
    first: str
    later: str
    hostile: str


def deliver(tracker: Tracker, study: Study, measurement: Measurement) -> str:
    """Publish a study, and give its winner a logged model without files: what is registered here is never loaded."""
    runs = tracker.open_study(study.name, study.config, study.overrides)
    publish(study, measurement, runs, arms={}, log_models=False, **REPORTS)
    winner = runs.arms[study.decision.winner].run_id
    model = tracker.client.create_logged_model(tracker.experiment_id, "winner", source_run_id=winner)
    tracker.client.finalize_logged_model(model.model_id, "READY")
    tracker.client.set_tag(winner, names.MODEL, model.model_id)
    return runs.run_id


@pytest.fixture(scope="module")
def place(study: Study, later: Study, hostile: Study, measurement: Measurement) -> Iterator[Place]:
    shm = Path("/dev/shm")  # a fresh database waits for the disk hundreds of times
    kept = tempfile.TemporaryDirectory(prefix="mlbench-test-", dir=shm if shm.is_dir() else None)
    folder = Path(kept.name)
    before = Path.cwd()
    os.chdir(folder)
    with pytest.MonkeyPatch.context() as patch, socket.socket() as probe:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        try:
            tracker = connect(TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db"))
            first = deliver(tracker, study, measurement)
            second = deliver(tracker, later, measurement)
            third = deliver(tracker, hostile, Measurement(hostile.plan, (), (), ()))
            with server.serving(tracker.location.uri, port):
                yield Place(f"http://127.0.0.1:{port}", tracker, first, second, third)
        finally:
            os.chdir(before)
            import mlflow

            mlflow.set_tracking_uri(None)
            kept.cleanup()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


class Visit:
    """A reader; afterwards nothing may have been complained about, and nobody else asked."""

    def __init__(self, browser: Any, place: Place, **context: Any) -> None:
        self.place, self.complaints, self.asked, self.dialogs = place, [], [], []
        self.context = browser.new_context(base_url=place.address, **context)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", self._dialog)

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def drawn(self, name: str) -> Any:
        """The figure of that name, once it is drawn."""
        self.page.wait_for_selector(f"#chart-{name}[data-drawn=yes]")
        return self.page.locator(f"figure:has(#chart-{name})")

    def leave(self) -> None:
        self.context.close()
        assert self.complaints == []
        assert self.dialogs == []
        assert all(url.startswith((self.place.address, "data:", "blob:")) for url in self.asked), self.asked


@pytest.fixture
def visit(browser: Any, place: Place) -> Iterator[Visit]:
    made = Visit(browser, place)
    yield made
    made.leave()


def test_a_study_is_searched_opened_and_drilled_into(visit: Visit, study: Study) -> None:
    page = visit.page
    page.goto("/mlbench/")
    assert page.locator("tbody tr").count() == 3
    page.get_by_role("searchbox").fill("2026-01-05")
    page.keyboard.press("Enter")
    page.get_by_role("link", name=study.name).click()
    assert page.locator("h1").inner_text() == f"Ship {WINNER}"

    figure = visit.drawn("plane")
    assert figure.locator(".scatterlayer .trace").count() == 8  # seven arms and the front
    page.get_by_label("Across").select_option("memory/disk_mib")
    expect(figure.locator(".figure-title")).to_contain_text("against size on disk")
    visit.drawn("plane")
    page.get_by_role("group", name="Arms").get_by_label("baseline").uncheck()
    expect(page.locator("#chart-plane .scatterlayer .trace")).to_have_count(7)
    assert page.locator("tbody tr[data-arm]:visible").count() == 7
    assert "x=memory%2Fdisk_mib" in page.url
    page.reload()  # the address says what is shown
    visit.drawn("plane")
    assert not page.get_by_role("group", name="Arms").get_by_label("baseline").is_checked()

    page.get_by_role("link", name=f"Samples of {WINNER}").click()
    figure = visit.drawn("samples")
    expect(page.locator(".figure-table tbody tr")).to_have_count(1)
    assert "batch size 1" in figure.locator(".figure-caption").inner_text()
    page.get_by_label("Condition").select_option("32")
    page.get_by_label("Shown as").select_option("spread")
    expect(figure.locator(".figure-caption")).to_contain_text("batch size 32")
    assert visit.drawn("samples").locator(".figure-table tbody th").all_inner_texts() == [WINNER]


def test_studies_are_compared_and_said_not_to_be_side_by_side(visit: Visit, study: Study, later: Study) -> None:
    page = visit.page
    page.goto("/mlbench/")
    for name in (study.name, later.name):
        page.get_by_label(f"Compare {name}").check()
    page.get_by_role("button", name="Compare the chosen studies").click()
    assert page.locator("#statement").inner_text().startswith("Not measured side by side. Arms of different studies")
    assert "Another CPU" in page.content()
    figure = visit.drawn("across")
    assert figure.locator(".scatterlayer .trace").count() == 14
    for box in page.get_by_role("group").nth(0).get_by_role("checkbox").all():
        box.uncheck()
    page.get_by_role("button", name="Show these").click()
    assert page.locator("#statement").inner_text().startswith("Side by side.")
    assert visit.drawn("across").locator(".scatterlayer .trace").count() == 7
    page.locator("select[name=metric]").select_option("throughput/samples_per_s")
    expect(figure.locator(".figure-title")).to_have_text("throughput")


def test_a_promotion_is_confirmed_here_and_nowhere_else(visit: Visit, place: Place) -> None:
    page, client = visit.page, place.tracker.client
    address = f"/mlbench/studies/{place.first}/promote"
    page.goto(address)
    assert "set the alias 'champion' to the new version (now: unset)" in page.locator(".writes").inner_text()
    fields = {name: page.locator(f"input[name={name}]").get_attribute("value") for name in ("token", "stamp")}

    elsewhere = visit.context.new_page()
    form = "".join(f"<input name='{name}' value='{value}'>" for name, value in {**fields, "confirm": "yes"}.items())
    elsewhere.set_content(f"<form method='post' action='{place.address}{address}'>{form}<button>Go</button></form>")
    with elsewhere.expect_navigation() as navigation:
        elsewhere.get_by_role("button").click()
    assert navigation.value.status == 403
    assert "comes from another" in elsewhere.locator("main").inner_text()
    assert client.search_registered_models() == []

    page.get_by_role("button", name="Promote").click()  # without the confirmation the browser does not even send it
    assert page.url.endswith(address)
    page.locator("input[name=confirm]").check()
    page.get_by_role("button", name="Promote").click()
    page.wait_for_selector("#done")
    assert page.locator("#done").inner_text().startswith("Promoted. 'mlbench-digits' version 1")
    assert client.get_registered_model("mlbench-digits").aliases == {"champion": 1}
    assert page.locator(".confirm").count() == 0


def test_the_history_of_a_model_marks_the_regression(visit: Visit, place: Place, later: Study) -> None:
    for run_id in (place.first, place.later):
        promote(place.tracker, run_id, RegistryConfig())  # the first is there already where the test above has run
    page = visit.page
    page.goto("/mlbench/models")
    page.get_by_role("link", name="mlbench-digits").click()
    figure = visit.drawn("trend")
    assert figure.locator(".annotation-text").all_text_contents() == ["regression"]
    assert "worse: regression" in figure.locator(".figure-table tbody tr").first.inner_text()
    page.locator("select[name=metric]").select_option("memory/disk_mib")
    expect(figure.locator(".annotation-text")).to_have_count(0)
    changes = page.get_by_role("region", name="Changes of the champion").locator("tbody tr")
    assert "version 2" in changes.first.inner_text()
    page.get_by_role("link", name=later.name).click()
    assert "promotes nothing" not in page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_narrow_screen_in_both_schemes(browser: Any, place: Place, scheme: str) -> None:
    visit = Visit(browser, place, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = visit.page
    for address in ("", f"studies/{place.first}", f"compare?study={place.first}&study={place.later}", "models",
                    f"studies/{place.first}/promote"):  # fmt: skip
        page.goto(f"/mlbench/{address}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
    visit.leave()


def test_the_keyboard_alone_is_enough(visit: Visit) -> None:
    page = visit.page
    page.goto("/mlbench/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "q"


def test_a_study_is_filtered_drilled_into_and_promoted_by_the_keyboard_alone(visit: Visit, place: Place) -> None:
    page, client = visit.page, place.tracker.client
    promote(place.tracker, place.later, RegistryConfig())  # so that there is something to change

    def tab_to(what: str) -> None:
        """Press Tab until that element has the focus, as somebody would who has no mouse."""
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate("what => document.activeElement.matches(what)", what):
                return
        raise AssertionError(f"Tab never comes to {what}")

    page.goto(f"/mlbench/studies/{place.first}")
    visit.drawn("plane")
    tab_to("#axes input[name=arm][value='1']")
    page.keyboard.press("Space")
    expect(page.locator("tr[data-arm='1']")).to_be_hidden()
    page.keyboard.press("Space")
    expect(page.locator("tr[data-arm='1']")).to_be_visible()
    tab_to("a[data-drill]")
    chosen = page.evaluate("document.activeElement.dataset.drill")
    page.keyboard.press("Enter")
    visit.drawn("samples")
    expect(page.locator(".figure-table tbody tr")).to_have_count(1)
    assert page.locator(f"#axes input[name=arm][value='{chosen}']").is_checked()

    page.goto(f"/mlbench/studies/{place.first}/promote")
    tab_to("input[name=confirm]")
    page.keyboard.press("Space")
    tab_to(".confirm button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#done")
    champion = client.get_model_version_by_alias("mlbench-digits", "champion")
    assert champion.tags["mlbench.run"] == place.first


def test_hostile_names_do_nothing(visit: Visit, place: Place) -> None:
    page = visit.page
    page.goto("/mlbench/?q=script")
    page.get_by_role("link", name=EVIL).click()
    visit.drawn("plane")
    for point in page.locator("#chart-plane .scatterlayer .points path").all():
        point.hover(force=True)
    labels = page.locator("#chart-plane .annotation-text").all_text_contents()
    assert any(EVIL in label for label in labels)  # shown as it is
    assert page.locator("img").count() == 0
    page.goto(f"/mlbench/studies/{place.hostile}/promote")
    assert "which MLflow refuses" in page.locator("[role=alert]").inner_text()
