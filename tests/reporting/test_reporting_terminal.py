"""The result on the terminal."""

from __future__ import annotations

import dataclasses
import io

import pytest
from reporting_studies import make_study, rename
from rich.console import Console

from mlbench.records import Plan, Study
from mlbench.reporting import terminal
from mlbench.reporting.terminal import StudyTable, print_plan, print_study, result_console


def printed(study: Study, width: int, *next_lines: str) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False)
    print_study(study, console, next_lines)
    return console.file.getvalue()  # type: ignore[attr-defined]


def table(study: Study, width: int) -> list[str]:
    text = printed(study, width)
    return text.partition("Decision:")[0].splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_every_number_is_whole_at_every_width(study: Study, width: int) -> None:
    text = printed(study, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert text.isascii()
    for row in terminal.view.rows(study):
        for cell in (row.name, row.p50, row.p95, row.throughput, row.quality, row.size, row.memory, row.speedup):
            assert cell in text, (row.name, cell)
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_one_table_where_there_is_room_two_where_there_is_not(study: Study) -> None:
    layouts = {width: StudyTable(study).layout(width) for width in (60, 80, 100, 140)}
    assert [len(layouts[width]) for width in (80, 100, 140)] == [2, 1, 1]
    assert len(layouts[60]) > 2
    assert layouts[80][0] == ("arm", "p50", "p95", "verdict", "speedup")
    assert "delta" in layouts[140][0]
    assert "delta" not in layouts[100][0]
    for tables in layouts.values():
        assert all(keys[0] == "arm" for keys in tables)
        assert {"p50", "p95", "throughput", "quality", "size", "memory", "verdict", "speedup"} <= {
            key for keys in tables for key in keys
        }


def test_numbers_stand_under_each_other(study: Study) -> None:
    lines = [line for line in table(study, 140) if "0.880" in line or "1.33" in line]
    first, second = lines[0], lines[1]
    assert first.index("0.880") + len("0.880") == second.index("1.33") + len("1.33")


def test_the_order_is_decision_reasons_warnings_next(study: Study) -> None:
    text = printed(study, 100, "mlbench ui")
    places = [
        text.index(part)
        for part in (
            "arm ",
            "Decision: Ship pruned_onnx_int8",
            "openvino_int8 failed: step 'export_onnx'",
            "p99 latency of torch_int8",
            "Warnings",
            "next: stop other work",
            "Where to look next",
            "mlbench ui",
        )
    ]
    assert places == sorted(places)


def test_lines_to_copy_are_never_broken(study: Study) -> None:
    address = "http://127.0.0.1:5000/#/experiments/1/runs/" + "a" * 120
    assert f"\n  {address}\n" in printed(study, 80, address)


def test_the_winner_is_marked_by_a_sign(study: Study) -> None:
    text = printed(study, 140)
    assert "\n> pruned_onnx_int8" in text
    assert "> the arm to ship" in text


def test_a_champion_that_takes_part_is_marked(study: Study) -> None:
    arms = tuple(dataclasses.replace(arm, role="incumbent") if arm.name == "pruned" else arm for arm in study.arms)
    text = printed(dataclasses.replace(study, arms=arms), 140)
    assert "\n+ pruned " in text
    assert "+ the current champion" in text


def test_few_trials_say_why_there_is_no_verdict(few_trials: Study) -> None:
    text = printed(few_trials, 100)
    assert "inconclusive, 3 trials: no verdict with fewer than 6; about 6 trials would settle it" in text
    assert "next: run with protocol.trials=6 or more" in text


def test_a_single_arm(single: Study) -> None:
    text = printed(single, 100)
    assert "Keep baseline: there is no variant to compare." in text
    assert "speed-up: times faster" not in text
    assert "Warnings" not in text


def test_an_interrupted_study_says_so_first(interrupted: Study) -> None:
    text = printed(interrupted, 100)
    assert text.index("This study was interrupted") < text.index("arm ")
    assert "pruned_onnx_int8 incomplete: the study was interrupted before its first complete trial" in text


def test_hostile_names_are_printed_and_do_nothing(hostile: Study) -> None:
    text = printed(hostile, 140)
    assert "\x1b" not in text
    assert "<script>alert(1)</script>" in text
    assert "[bold]*x*`" in text.replace("..", "")  # not read as the console's markup


def test_a_long_name_keeps_both_ends() -> None:
    name = "a_very_long_variant_name_" + "x" * 40 + "_per_channel"
    text = printed(rename(make_study(), "pruned", name), 140)
    line = next(line for line in text.splitlines() if "a_very_long" in line)
    assert "a_very_long_variant..per_channel" in line


def test_nothing_breaks_on_a_terminal_of_thirty_columns(study: Study) -> None:
    lines = table(study, 30)
    assert max(map(len, lines)) <= 30


def test_colour_only_repeats_a_word(study: Study) -> None:
    def printed_with(color_system: str | None) -> str:
        console = Console(
            file=io.StringIO(), width=120, color_system=color_system, force_terminal=True, markup=False, highlight=False
        )
        print_study(study, console)
        return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]

    from rich.text import Text

    coloured, plain = printed_with("standard"), printed_with(None)
    assert "\x1b[32m" in coloured
    assert Text.from_ansi(coloured).plain.rstrip() == Text.from_ansi(plain).plain.rstrip()


def test_a_name_that_the_stream_cannot_write_is_escaped() -> None:
    study = rename(make_study(), "pruned", "prun\u00e9_\u96ea")
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_study(study, result_console(stream))
    stream.flush()
    assert b"prun\\xe9_\\u96ea" in raw.getvalue()
    utf8 = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    print_study(study, result_console(utf8))
    utf8.seek(0)
    assert "prun\u00e9_\u96ea" in utf8.read()


def test_output_to_a_file_has_room(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert result_console(io.StringIO()).width == 120
    print_study(make_study(), result_console())
    assert "Decision:" in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "90")
    assert result_console(io.StringIO()).width == 90


def planned(plan: Plan, **more: object) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None, markup=False, highlight=False)
    print_plan(plan, console, **more)  # type: ignore[arg-type]
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_plan_says_what_is_about_to_happen(study: Study) -> None:
    text = planned(study.plan, workload="digits", seconds=83, notes=["energy is absent"])
    assert text.startswith("Plan: workload digits, 7 arms: torch_int8, pruned, ")
    assert "pruned_onnx_int8 against baseline" in text
    assert "10 trials, batch sizes 1, 8 and 32, 1,260 turns, about 1 min 23 s" in text
    assert text.endswith("note: energy is absent\n")


def test_the_plan_says_beforehand_that_few_trials_give_no_verdict(few_trials: Study, single: Study) -> None:
    assert "note: 3 trials can give no verdict: it takes 6 or more (protocol.trials=6)" in planned(few_trials.plan)
    one = dataclasses.replace(single.plan, conditions=single.plan.conditions[:1])
    assert planned(one).startswith("Plan: 1 arm\n      10 trials, batch size 1, ")
