"""The tables of the report page."""

from __future__ import annotations

import dataclasses
import json

from mlbench.records import Estimate, SeriesPoint, Study
from mlbench.reporting import page


def test_tiles_show_the_winner_against_the_baseline(study: Study, single: Study) -> None:
    tiles = {label: (value, detail) for label, value, detail in page.tiles(study)}
    assert tiles["speed-up at p50"] == ("x5.87", "5.80 to 5.94")
    assert tiles["accuracy"] == ("99.2 %", "99.0 % before")
    assert tiles["p50 latency"] == ("0.150 ms", "0.880 before")
    assert page.tiles(single) == ()


def test_tiles_leave_out_what_is_not_there(study: Study) -> None:
    bare = dataclasses.replace(study.arm("pruned_onnx_int8"), metrics={}, verdicts={}, quality=None)
    arms = (*study.arms[:6], bare)
    assert page.tiles(dataclasses.replace(study, arms=arms)) == ()


def test_the_arm_table_has_every_interval(study: Study) -> None:
    table = page.arms(study)
    rows = dict(table.rows)
    assert len(table.heads) == len(rows["baseline"])
    p50 = rows["torch_int8"][table.heads.index("p50 ms")]
    assert p50 == page.Cell("0.260", "0.257 to 0.263")
    assert rows["torch_int8"][table.heads.index("p99 ms")] == page.Cell("-")
    assert rows["onnx_int8_dynamic"][0] == page.Chip("slower", "slower", "-", "x0.66 (0.65 to 0.67)")
    assert rows["openvino_int8"][0] == page.Chip("failed", "failed", "x")
    assert rows["baseline"][0] == page.Chip("baseline", "baseline", "")


def test_what_is_behind_the_verdicts(study: Study, single: Study) -> None:
    arm = study.arm("pruned")
    verdict = dataclasses.replace(
        arm.verdicts["latency/p50_ms"],
        p_value=0.0123,
        p_adjusted=0.0246,
        equivalence_p=0.9,
        rank_p=0.002,
        cpu_ratio=Estimate(0.5, 0.4, 0.6),
        process_share=0.251,
    )
    changed = dataclasses.replace(arm, verdicts={"latency/p50_ms": verdict})
    table = page.evidence(dataclasses.replace(study, arms=(study.baseline, changed)))
    assert table is not None
    ((name, cells),) = table.rows
    assert name == "pruned"
    assert [cell.value for cell in cells] == ["0.012", "0.025", "0.9", "0.002", "x0.50", "25 %"]
    assert page.evidence(single) is None


def test_all_verdicts(study: Study, single: Study) -> None:
    table = page.verdicts(study)
    assert table is not None
    assert table.heads == ("p50 latency", "p95 latency", "throughput", "peak memory")
    memory = dict(table.rows)["torch_int8"][3]
    assert isinstance(memory, page.Chip)
    assert (memory.kind, memory.word) == ("slower", "worse")
    assert page.verdicts(single) is None


def test_a_missing_verdict_is_a_dash(study: Study) -> None:
    arm = study.arms[1]
    fewer = dataclasses.replace(arm, verdicts={"latency/p50_ms": arm.verdicts["latency/p50_ms"]})
    table = page.verdicts(dataclasses.replace(study, arms=(study.arms[0], fewer, study.arms[2])))
    assert table is not None
    assert dict(table.rows)["torch_int8"][1] == page.Cell("-")


def test_judgements(study: Study) -> None:
    found = {arm: (reason, constraints) for arm, reason, constraints in page.judgements(study)}
    assert found["pruned_onnx_int8"][0] == "fastest of the arms that meet every goal"
    assert found["pruned"][1][0][1] == "met"
    assert found["openvino_int8"][1][0][1] == "cannot tell"


def swept(study: Study) -> page.Table:
    ((sweep, table),) = page.sweeps(study)
    assert sweep.axis == "batch_size"
    return table


def test_batch_sizes(study: Study, interrupted: Study) -> None:
    table = swept(study)
    assert table.heads[:2] == ("batch 1: ms", "batch 1: samples/s")
    assert dict(table.rows)["baseline"][-1] == page.Cell("2,162", "2,134 to 2,190")
    assert "pruned_onnx_int8" not in dict(swept(interrupted).rows)
    assert page.sweeps(dataclasses.replace(study, arms=study.arms[-1:])) == ()


def test_a_table_for_each_swept_property(study: Study) -> None:
    first = study.plan.conditions[0]
    conditions = (first, *(dataclasses.replace(first, threads=count) for count in (2, 4)))
    conditions = (dataclasses.replace(first, threads=1), *conditions[1:])
    plan = dataclasses.replace(study.plan, conditions=conditions)
    points = tuple(SeriesPoint(count, Estimate(8.0 / count, unit="ms")) for count in (1, 2, 4))
    arms = tuple(dataclasses.replace(arm, series={"by_threads/p50_ms": points}) for arm in study.arms[:2])
    (found,) = page.sweeps(dataclasses.replace(study, plan=plan, arms=arms))
    sweep, table = found
    assert sweep.label == "number of threads"
    assert table.heads == ("threads 1: ms", "threads 2: ms", "threads 4: ms")
    assert [cell.value for cell in dict(table.rows)["torch_int8"]] == ["8.00", "4.00", "2.00"]


def test_speedup_by_batch_where_it_is_known(study: Study) -> None:
    arm = study.arms[1]
    ratio = tuple(dataclasses.replace(p, estimate=dataclasses.replace(p.estimate, value=2.0, low=1.9, high=2.1))
                  for p in arm.series["by_batch/p50_ms"])  # fmt: skip
    arm = dataclasses.replace(arm, series={**arm.series, "by_batch/speedup_p50": ratio})
    table = swept(dataclasses.replace(study, arms=(study.arms[0], arm)))
    place = table.heads.index("batch 8: speed-up")
    rows = dict(table.rows)
    assert rows["torch_int8"][place] == page.Cell("x2.00", "1.90 to 2.10")
    assert rows["baseline"][place] == page.Cell("-")


def test_quality_with_differences_and_agreement(study: Study) -> None:
    table, agreement = page.quality(study), page.agreement(study)
    assert table is not None
    assert agreement is not None
    assert dict(table.rows)["pruned"][0] == page.Cell("99.3 %", "+0.3 (-0.2 to +0.9)")
    assert dict(table.rows)["baseline"][0] == page.Cell("99.0 %", "98.2 to 99.6")
    assert agreement.heads == ("flip rate", "became wrong", "max abs diff", "cosine", "McNemar p")
    assert dict(agreement.rows)["pruned"][0] == page.Cell("0.4 %", "0.1 to 1.2")
    assert dict(agreement.rows)["pruned"][3] == page.Cell("0.99982")
    assert dict(agreement.rows)["pruned"][-1] == page.Cell("0.625")
    assert "baseline" not in dict(agreement.rows)


def test_without_quality_there_is_no_quality_table(study: Study) -> None:
    bare = dataclasses.replace(study, arms=study.arms[-1:])
    assert page.quality(bare) is None
    assert page.agreement(bare) is None
    assert page.resources(bare) is None


def test_the_plane_as_a_table(study: Study) -> None:
    table = page.plane_table(study)
    assert table is not None
    assert table.heads == ("p50 ms", "accuracy", "stands")
    assert [name for name, _ in table.rows][:2] == ["pruned_onnx_int8", "onnx_int8_static"]  # fastest first
    rows = dict(table.rows)
    assert rows["pruned_onnx_int8"][0] == page.Cell("0.150", "0.148 to 0.152")
    assert rows["pruned_onnx_int8"][2] == page.Cell("on the front", wraps=True)
    assert rows["onnx_fp32"][2] == page.Cell("dominated by pruned_onnx_int8", wraps=True)
    assert rows["pruned"][2] == page.Cell("on the front, though not clearly beside pruned_onnx_int8", wraps=True)
    assert page.plane_table(dataclasses.replace(study, arms=study.arms[-1:])) is None


def test_other_figures_have_their_units(study: Study) -> None:
    table = page.resources(study)
    assert table is not None
    assert "load time ms" in table.heads
    assert "size on disk MiB" in table.heads
    assert "CPU use %" in table.heads
    assert not any(head.startswith(("p50", "p90", "mean")) for head in table.heads)
    further = page.latencies(study)
    assert further is not None
    assert further.heads == ("p90 latency ms", "mean latency ms", "first call ms")


def test_configuration_tells_no_password(hostile: Study) -> None:
    text = page.configuration(hostile)
    assert json.loads(text)["tracking"] == {"uri": "http://***@host:5000"}
    assert "secret" not in text
