"""The report page as text."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser

import numpy as np
import pytest
from plotly.offline import get_plotlyjs
from reporting_studies import EVIL, make_large

from mlbench.records import NoiseMoment, Study, Turn
from mlbench.reporting import render_html
from mlbench.reporting.html import script_json

Samples = Mapping[str, np.ndarray]
VOID = {"meta", "br", "img", "link", "input", "hr"}
LOUD = NoiseMoment("during", "noisy", ("other processes used 0.41 CPUs",))


class Page(HTMLParser):
    """Reads a page as a browser would split it: tags, attributes and text, and whether every tag is closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def source(study: Study, samples: Samples, turns: Sequence[Turn]) -> str:
    return render_html(study, samples, turns, {2: LOUD})


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source.replace(get_plotlyjs(), ""))


def test_the_page_is_whole_and_small_enough(source: str, page: Page) -> None:
    assert page.open == []
    assert len(source.encode()) < 6_000_000
    assert source.count(get_plotlyjs()) == 1


@pytest.mark.repeats
def test_the_largest_study_still_makes_a_small_page() -> None:
    study, samples, turns = make_large()
    page = render_html(study, samples, turns, dict.fromkeys(range(30), LOUD))
    assert len(page.encode()) < 6_000_000


def test_the_decision_comes_first(page: Page) -> None:
    words = page.words
    places = [
        words.index(part)
        for part in (
            "Ship pruned_onnx_int8: x5.87 faster",
            "openvino_int8 failed:",
            "Next: stop other work",
            "All arms",
            "What the policy made of each arm",
            "On the front, fastest first",
            "Where every arm stands",
            "Speed-up against baseline",
            "How long calls take: cumulative",
            "How long calls take: shape",
            "Throughput by batch size",
            "Agreement with the baseline",
            "Per class: pruned_onnx_int8",
            "Memory, size and loading",
            "Peak memory and size on disk",
            "Recipes, and what each step changed",
            "Method and measurement",
            "The measurement as it went",
            "Trials in which the machine was not quiet",
            "trial 3: noisy, other processes used 0.41 CPUs",
            "400 values cannot support it",
            "What was not the same for all arms",
            "The same for all arms: version 1.32.0",
            "AMD EPYC 7B13",
            "mlbench run protocol.trials=10",
        )
    ]
    assert places == sorted(places)


def test_the_page_asks_nobody(source: str, page: Page) -> None:
    own = source.replace(get_plotlyjs(), "")
    assert not re.findall(r"(?:src|href|action)\s*=\s*[\"'](?!#)", own)
    assert "url(" not in own
    assert "@import" not in own
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy


def test_tables_and_charts_can_be_reached_without_seeing(page: Page) -> None:
    tags = page.tags
    assert ("html", {"lang": "en"}) in tags
    assert sum(tag == "h1" for tag, _ in tags) == 1
    assert all("scope" in attrs for tag, attrs in tags if tag == "th")
    assert all(attrs.get("aria-label") for _, attrs in tags if attrs.get("role") in {"img", "region"})
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = {str(attrs["href"])[1:] for tag, attrs in tags if tag == "a"}
    assert targets <= set(ids)


def test_every_figure_has_its_place(page: Page, source: str) -> None:
    charts = {str(attrs["id"]) for _, attrs in page.tags if attrs.get("class") == "chart"}
    figures = json.loads(next(script for script in page.scripts if script.startswith("{")))
    assert charts == {f"chart-{key}" for key in figures}
    assert set(figures) == {
        "pareto",
        "speedups",
        "ecdf",
        "violins",
        "throughput-by_batch",
        "latency-by_batch",
        "memory",
        "timeline",
    }
    assert not any(figure["layout"].get("title") for figure in figures.values())


def test_no_name_becomes_markup(hostile: Study, turns: Sequence[Turn]) -> None:
    samples = {arm.name: np.array([1_000_000, 2_000_000]) for arm in hostile.arms}
    noise = {1: dataclasses.replace(LOUD, evidence=(EVIL,))}
    page = Page(render_html(hostile, samples, turns, noise).replace(get_plotlyjs(), ""))
    assert page.open == []
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert not any(tag == "img" for tag, _ in page.tags)
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "<script>alert(1)</script>" in page.words  # it is shown
    assert "secret" not in page.words
    assert "\x1b" not in page.words


def test_json_cannot_end_its_element() -> None:
    value = {"</script><!--": "\u2028&<>"}
    text = str(script_json(value))
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))


def test_awkward_studies_have_a_page(few_trials: Study, single: Study, interrupted: Study) -> None:
    pages = {name: Page(render_html(s, {})) for name, s in
             {"few": few_trials, "single": single, "interrupted": interrupted}.items()}  # fmt: skip
    assert all(page.open == [] for page in pages.values())
    assert "about 6 trials would settle it" in pages["few"].words
    assert "There is no verdict: no variant could be compared" in pages["single"].words
    assert "Interrupted." in pages["interrupted"].words


def test_nothing_was_measured(study: Study) -> None:
    bare = dataclasses.replace(
        study, arms=(dataclasses.replace(study.arms[-1], role="baseline"),), decision=dataclasses.replace(
            study.decision, outcome="inconclusive", winner=None, judgements=()
        )
    )  # fmt: skip
    words = Page(render_html(bare, {}).replace(get_plotlyjs(), "")).words
    assert "No arm has both a latency and a quality figure." in words
    assert "Nothing was measured." in words


def test_one_batch_size_has_no_chart_over_batch_sizes(study: Study, samples: Samples) -> None:
    plan = dataclasses.replace(study.plan, conditions=study.plan.conditions[:1])
    page = Page(render_html(dataclasses.replace(study, plan=plan), samples).replace(get_plotlyjs(), ""))
    charts = {str(attrs["id"]) for _, attrs in page.tags if attrs.get("class") == "chart"}
    assert charts == {"chart-pareto", "chart-speedups", "chart-ecdf", "chart-violins", "chart-memory"}


def test_many_classes(study: Study, samples: Samples) -> None:
    quality = study.arms[0].quality
    assert quality is not None
    confusion = [[0] * 25 for _ in range(25)]
    confusion[1][2] = 7
    many = dataclasses.replace(
        quality, labels=tuple(f"c{n}" for n in range(25)), confusion=tuple(map(tuple, confusion))
    )
    arms = (dataclasses.replace(study.arms[0], quality=many), *study.arms[1:])
    words = Page(render_html(dataclasses.replace(study, arms=arms), samples).replace(get_plotlyjs(), "")).words
    assert "Most frequent confusions true predicted items c1 c2 7" in words
