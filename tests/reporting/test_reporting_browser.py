"""The report page in a real browser, cut off from the network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import browsers
import numpy as np
import pytest

from mlbench.records import NoiseMoment, Study, Turn
from mlbench.reporting import render_html

CHARTS = {"pareto", "speedups", "ecdf", "violins", "throughput-by_batch", "latency-by_batch", "memory", "timeline"}

pytestmark = [pytest.mark.e2e, browsers.needed]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsers.launched() as chromium:
        yield chromium


class Visit:
    """One page, opened without a network, and everything it complained about or asked for."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.dialogs: list[str] = []
        self.context = browser.new_context(offline=True, **context)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("dialog", self._dialog)
        self.page.goto(path.as_uri())
        for chart in self.page.locator(".chart").all():
            self.page.wait_for_selector(f"#{chart.get_attribute('id')}[data-drawn=yes]")

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def check(self, path: Path) -> None:
        assert self.complaints == []
        assert self.dialogs == []
        assert {url for url in self.asked if not url.startswith(("data:", "blob:"))} == {path.as_uri()}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, study: Study, samples: Mapping[str, np.ndarray],
         turns: Sequence[Turn]) -> Path:  # fmt: skip
    path = tmp_path_factory.mktemp("page") / "report.html"
    noise = {2: NoiseMoment("during", "noisy", ("steal 4 %",)), 7: NoiseMoment("during", "unusable", ("busy",))}
    path.write_text(render_html(study, samples, turns, noise), encoding="utf-8")
    return path


def luminance(css: str) -> float:
    channels = [int(value) / 255 for value in re.findall(r"\d+", css)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_are_drawn_and_readable(browser: Any, good: Path, scheme: str) -> None:
    visit = Visit(browser, good, color_scheme=scheme)
    page = visit.page
    drawn = {chart.get_attribute("id").removeprefix("chart-") for chart in page.query_selector_all(".chart")}
    assert drawn == CHARTS
    for key in CHARTS:
        assert page.locator(f"#chart-{key} svg.main-svg").count() >= 2
        box = page.locator(f"#chart-{key}").bounding_box()
        assert box["width"] > 600
        assert box["height"] > 150
    assert page.locator("#chart-pareto .scatterlayer .trace").count() == 8  # seven arms and the front
    assert page.locator("#chart-speedups .barlayer .point").count() == 6
    assert page.locator("#chart-ecdf .scatterlayer .trace").count() == 7
    assert page.locator("#chart-violins .violinlayer .trace.violins .violin").count() == 7
    assert page.locator("#chart-violins .boxlayer .trace.boxes .box").count() == 7
    assert page.locator("#chart-memory .barlayer .point").count() == 14
    bands = page.locator("#chart-timeline .annotation-text").all_text_contents()
    assert bands == ["noisy", "unusable"]
    paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    for text in ("h1", "td", "#chart-pareto .xtitle", "#chart-pareto .annotation-text"):
        part = page.locator(text).first
        ink = luminance(part.evaluate("node => { const s = getComputedStyle(node); "
                                      "return node.closest('svg') ? s.fill : s.color; }"))  # fmt: skip
        lighter, darker = max(ink, paper), min(ink, paper)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, text
    visit.check(good)
    visit.context.close()


def test_labels_of_the_plane_do_not_cover_each_other(browser: Any, good: Path) -> None:
    visit = Visit(browser, good, viewport={"width": 1200, "height": 900})
    boxes = [label.bounding_box() for label in visit.page.locator("#chart-pareto .annotation-text").all()]
    assert len(boxes) == 7
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            apart = (
                one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
                or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"]
            )  # fmt: skip
            assert apart
    visit.context.close()


def test_a_narrow_screen_scrolls_tables_and_not_the_page(browser: Any, good: Path) -> None:
    visit = Visit(browser, good, viewport={"width": 390, "height": 844})
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
    visit.check(good)
    visit.context.close()


def test_printing_unfolds_and_is_white(browser: Any, good: Path) -> None:
    visit = Visit(browser, good, color_scheme="dark")
    page = visit.page
    assert page.locator("details[data-print]:not([open])").count() > 0
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details[data-print]:not([open])").count() == 0
    title = page.locator("#chart-pareto .xtitle").first
    assert luminance(title.evaluate("node => getComputedStyle(node).fill")) < 0.1
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[data-print]:not([open])").count() > 0
    assert luminance(title.evaluate("node => getComputedStyle(node).fill")) > 0.5
    assert page.pdf()[:4] == b"%PDF"
    visit.check(good)
    visit.context.close()


def test_the_scheme_may_change_while_the_page_is_open(browser: Any, good: Path) -> None:
    from playwright import sync_api as browser_api

    visit = Visit(browser, good, color_scheme="light")
    visit.page.emulate_media(color_scheme="dark")
    title = visit.page.locator("#chart-pareto .xtitle").first
    browser_api.expect(title).to_have_css("fill", "rgb(230, 233, 239)")
    visit.check(good)
    visit.context.close()


def test_hostile_names_do_nothing(browser: Any, tmp_path: Path, hostile: Study, turns: Sequence[Turn]) -> None:
    samples = {arm.name: np.array([1_000_000, 1_100_000, 2_000_000]) for arm in hostile.arms}
    path = tmp_path / "hostile.html"
    path.write_text(render_html(hostile, samples, turns), encoding="utf-8")
    visit = Visit(browser, path)
    page = visit.page
    for chart in ("pareto", "violins", "timeline"):
        for point in page.locator(f"#chart-{chart} .scatterlayer .points path").all()[:12]:
            point.hover(force=True)
    assert page.locator("#chart-timeline .hoverlayer").count() == 1
    labels = page.locator("#chart-pareto .annotation-text").all_text_contents()
    assert any("<script>alert(1)</script>" in label for label in labels)  # shown as it is
    assert page.locator("script").count() == 3
    assert page.locator("img").count() == 0
    visit.check(path)
    visit.context.close()
