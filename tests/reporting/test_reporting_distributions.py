"""Figures of how long calls take."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import pytest

from mlbench.records import Study
from mlbench.reporting import distributions

Samples = Mapping[str, np.ndarray]


def traces(figure: go.Figure, kind: type) -> dict[str, object]:
    return {trace.name: trace for trace in figure.data if isinstance(trace, kind)}


def test_the_cumulative_curve_is_that_of_the_samples(study: Study, samples: Samples) -> None:
    trace = traces(distributions.latency_ecdf(study, samples), go.Scatter)["baseline"]
    values = np.sort(samples["baseline"]) / 1e6
    for x, y in list(zip(trace.x, trace.y, strict=True))[1:]:  # type: ignore[attr-defined]
        share = 100 * np.searchsorted(values, x * (1 + 5e-6), side="right") / len(values)
        assert y - 1e-3 <= share <= y + 0.3, (x, y)  # 1,000 samples: one is 0.1 %
    assert len(trace.x) < 400  # type: ignore[attr-defined]


def test_every_arm_has_a_shape_with_the_observed_quantiles_in_it(study: Study, samples: Samples) -> None:
    figure = distributions.latency_violins(study, samples)
    shapes, boxes = traces(figure, go.Violin), traces(figure, go.Box)
    assert list(shapes) == list(boxes) == list(samples)
    values, box = np.sort(samples["pruned"]) / 1e6, boxes["pruned"]
    assert 10 ** box.median[0] == pytest.approx(values[499])  # type: ignore[attr-defined]
    assert 10 ** box.upperfence[0] == pytest.approx(values[949])  # type: ignore[attr-defined]
    shape = 10 ** np.array(shapes["pruned"].x)  # type: ignore[attr-defined]
    assert len(shape) < 250
    inside = np.searchsorted(values, shape * (1 + 1e-5), side="right") / len(values)
    assert inside == pytest.approx(np.linspace(0.005, 0.995, len(shape)), abs=0.002)  # as many calls between any two


def test_the_axis_of_the_shapes_reads_in_milliseconds(study: Study, samples: Samples) -> None:
    axis = distributions.latency_violins(study, samples).layout.xaxis
    assert axis.type == "linear"
    assert [10**tick for tick in axis.tickvals] == pytest.approx([float(label) for label in axis.ticktext])
    medians = [trace for trace in distributions.latency_violins(study, samples).data if isinstance(trace, go.Scatter)]
    middle = np.quantile(samples["pruned"], 0.5, method="inverted_cdf") / 1e6
    (said,) = [trace.hovertext for trace in medians if trace.name == "pruned"]
    assert f"median {middle:.3f} ms" in said


def test_without_samples_that_is_said(study: Study) -> None:
    for draw in (distributions.latency_ecdf, distributions.latency_violins):
        figure = draw(study, {"baseline": np.array([], dtype=np.int64)})
        assert not figure.data
        assert figure.layout.annotations[0].text == "No samples are stored with this study."
