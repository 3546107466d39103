"""The command line: what it takes, what it prints, and with which exit code it ends."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench import cli, listing
from mlbench.cli import arguments, commands
from mlbench.cli.arguments import arrange, duration, parse, size, split
from mlbench.errors import BuildError, ExitCode, InputError
from mlbench.tracking import PromotionRefusedError
from mlbench.variants.store import Store

COMMANDS = (
    "run",
    "gate",
    "selfcheck",
    "list",
    "show",
    "compare",
    "promote",
    "rollback",
    "report",
    "sync",
    "cache",
    "ui",
)


def mlbench(*given: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlbench", *given],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=120,
    )


# ---------------------------------------------------------------------------------------------------------------------
# several overrides in one text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  \t ", []),
        ("a=b c='d e'", ["a=b", "c=d e"]),
        ("""'note="hello, w = x"' tags=[a,b]""", ['note="hello, w = x"', "tags=[a,b]"]),
        ("+v.twin={steps: [{name: delay, percent: 10}]} p=q", ["+v.twin={steps: [{name: delay, percent: 10}]}", "p=q"]),
        ("""x={d: 'a, b'} y="q\\"r" z=a\\ b""", ["x={d: 'a, b'}", 'y=q"r', "z=a b"]),
        ("""'+v={d: "a }"}' b""", ['+v={d: "a }"}', "b"]),
        ("name='' x", ["name=", "x"]),
        ("''", [""]),
        ("a='{' b", ["a={", "b"]),
        ("a=] b", ["a=]", "b"]),
        ("name='$(touch X)'", ["name=$(touch X)"]),
        ("~variants.pruned  +x=1\n y=2", ["~variants.pruned", "+x=1", "y=2"]),
        (r"""a="\\" b='\'""", ["a=\\", "b=\\"]),
    ],
)
def test_split(line: str, words: list[str]) -> None:
    assert split(line) == words


@given(st.lists(st.text(alphabet="ab=+~.,'\"\\ ${}()[]", min_size=1), max_size=4))
def test_whatever_is_quoted_as_in_a_shell_arrives_intact(words: list[str]) -> None:
    import shlex

    assert split(shlex.join(words)) == words


@pytest.mark.parametrize(
    ("line", "why"), [("a='b", "the quotation ' is never closed"), ("a\\", "a backslash stands at")]
)
def test_an_open_quotation_is_refused(line: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        split(line)


# ---------------------------------------------------------------------------------------------------------------------
# what mlflow run makes of parameters


@pytest.mark.parametrize(
    ("given_", "arranged"),
    [
        (["run", "a=b", "--json", "c=d"], ["run", "--json", "--", "a=b", "c=d"]),
        (["run", "--overrides", "-x", "--protocol.trials", "6"], ["run", "--overrides=-x", "--", "protocol.trials=6"]),
        (["run", "--seed", "-3", "--name=a b"], ["run", "--", "seed=-3", "name=a b"]),
        (["run", "--variants", "[a, b]", "--dry-run", "true"], ["run", "--dry-run", "--", "variants=[a, b]"]),
        (["run", "--dry-run", "False", "--json", "protocol=quick"], ["run", "--json", "--", "protocol=quick"]),
        (["run", "--experiment", "x", "--tracking-uri=y"], ["run", "--experiment=x", "--tracking-uri=y"]),
        (["run", "--jsn", "x"], ["run", "--jsn", "--", "x"]),
        (["run", "--protocol.trials"], ["run", "--protocol.trials"]),
        (["run", "--", "--seed", "3"], ["run", "--", "--seed", "3"]),
        (["show", "--name", "x"], ["show", "--name", "--", "x"]),
        (["promote", "s", "--dry-run", "yes", "--alias", "-x"], ["promote", "--dry-run", "--alias=-x", "--", "s"]),
        (["compare", "a", "--json", "b"], ["compare", "--json", "--", "a", "b"]),
        (["cache", "list", "--json"], ["cache", "list", "--json"]),
        ([], []),
    ],
)
def test_arrange(given_: list[str], arranged: list[str]) -> None:
    assert arrange(given_) == arranged


def test_overrides_from_everywhere_come_together() -> None:
    chosen = parse(["run", "a=1", "--overrides", "b=2 c='d e'", "--protocol.trials", "6", "--overrides", "", "+f=1"])
    assert chosen.overrides == ["a=1", "protocol.trials=6", "+f=1", "b=2", "c=d e"]
    assert chosen.config_dir == []
    assert parse(["run", "a=1", "--json", "b=2", "--", "-c"]).overrides == ["a=1", "b=2", "-c"]
    assert parse(["compare", "a", "--json", "b"]).study == ["a", "b"]


def test_overrides_do_not_leak_into_the_next_call() -> None:
    parse(["run", "--overrides", "a=1", "--config-dir", "x"])
    assert parse(["run"]).overrides == []
    assert parse(["run"]).config_dir == []


@pytest.mark.parametrize(
    "given_",
    [["run", "--jsn"], ["run", "--protocol.trials"], ["nope"], [], ["list", "nope"], ["cache"], ["ui", "--port", "x"]],
)
def test_what_cannot_be_read_ends_with_2(given_: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(given_)
    assert caught.value.code == 2
    assert "usage: mlbench" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "seconds"), [("90s", 90), ("1.5h", 5400), ("30 d", 2592000), ("2M", 120)])
def test_durations(words: str, seconds: float) -> None:
    assert duration(words) == seconds


@pytest.mark.parametrize(("words", "number"), [("10b", 10), ("2GB", 2 * 10**9), ("1.5 MiB", 1572864), ("1tb", 10**12)])
def test_sizes(words: str, number: int) -> None:
    assert size(words) == number


@pytest.mark.parametrize("words", ["", "12", "3x", "-3d", "h"])
@pytest.mark.parametrize("read", [duration, size])
def test_amounts_that_are_none(words: str, read: object) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a"):
        read(words)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("option", "words", "value"),
    [("--studies", "3", 3), ("--studies", "0", None), ("--percent", "0.5", 0.5), ("--percent", "-1", None)],
)
def test_numbers_of_a_selfcheck(option: str, words: str, value: float | None) -> None:
    if value is None:
        with pytest.raises(SystemExit):
            parse(["selfcheck", option, words])
    else:
        assert getattr(parse(["selfcheck", option, words]), option.strip("-")) == value


@pytest.mark.parametrize("command", ["", *COMMANDS, "cache list", "cache prune"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse([*command.split(), "--help"])
    assert caught.value.code == 0
    assert f"usage: mlbench {command}".strip() in capsys.readouterr().out


def test_help_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert [command for command in COMMANDS if f" {command} " not in said] == []
    assert [code for code in ExitCode if f" {int(code)} " not in said] == []


def test_every_command_prints_json_where_it_prints_a_result() -> None:
    words = {"compare": "compare a b", "promote": "promote a", "rollback": "rollback a"}
    commands_ = [*(words.get(command, command) for command in COMMANDS), "cache list", "cache prune"]
    for command in commands_:
        if command not in ("cache", "ui"):  # which serves pages, and has no result
            assert parse([*command.split(), "--json"]).json is True


# ---------------------------------------------------------------------------------------------------------------------
# endings


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError(["a: wrong", "b: wrong"]), 2, "mlbench: a: wrong\nmlbench: b: wrong\n"),
        (BuildError("export_onnx", "no"), 1, "mlbench: step 'export_onnx': no\n"),
        (PromotionRefusedError("nothing to promote", ExitCode.INCONCLUSIVE), 4, "mlbench: nothing to promote\n"),
        (
            ZeroDivisionError("over\n zero"),
            1,
            "mlbench: unexpected error: ZeroDivisionError: over zero (set MLBENCH_DEBUG=1 for the traceback)\n",
        ),
        (KeyError(), 1, "mlbench: unexpected error: KeyError: no message (set MLBENCH_DEBUG=1 for the traceback)\n"),
        (KeyboardInterrupt(), 130, "mlbench: interrupted\n"),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.delenv(cli.DEBUG_VARIABLE, raising=False)
    monkeypatch.setattr(commands, "do_list", fail)
    assert cli.main(["list"]) == code
    assert capsys.readouterr() == ("", said)


def test_tracebacks_on_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: object) -> int:
        raise InputError("wrong")

    monkeypatch.setenv(cli.DEBUG_VARIABLE, "1")
    monkeypatch.setattr(commands, "do_list", fail)
    assert cli.main(["list"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):")
    assert said.endswith("mlbench: wrong\n")


def test_the_commands_own_exit_code_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "do_list", lambda _: ExitCode.POLICY_NOT_MET)
    assert cli.main(["list"]) == 3


def test_a_closed_pipe_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "mlbench", "list"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_wrong_input_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlbench", "run", "protocol.trials=abc", "workload=digit", "--config-dir", "nowhere"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    missing, *others = done.stderr.splitlines()
    assert missing == "mlbench: configuration directory 'nowhere' (--config-dir) does not exist"
    assert [sum(word in line for line in others) for word in ("protocol.trials", "'digit'")] == [1, 1]
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------------------
# start-up


@pytest.mark.parametrize("given_", [["--help"], ["run", "--help"], ["list"], ["list", "variants", "--json"]])
def test_start_up_is_light(given_: list[str]) -> None:
    code = (
        "import sys\nfrom mlbench.cli import main\n"
        f"try: main({given_!r})\nexcept SystemExit: pass\n"
        "heavy = ('torch', 'mlflow', 'hydra', 'pandas', 'scipy', 'sklearn', 'plotly', 'onnxruntime', 'pydantic')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_version() -> None:
    import mlbench as package

    assert mlbench("--version").stdout == f"mlbench {package.__version__}\n"


# ---------------------------------------------------------------------------------------------------------------------
# run --dry-run


def test_dry_run_prints_the_plan_and_the_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--dry-run", "protocol.trials=3", "variants=[]"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("Plan: workload digits, 1 arm 3 trials, batch sizes 1 and 32, 72 turns")
    assert said.count("no verdict") == 1
    assert "variants: none is selected" in said


def test_dry_run_says_how_far_looks_and_a_budget_may_go(capsys: pytest.CaptureFixture[str]) -> None:
    given_ = ["run", "--dry-run", "variants=[]", "protocol=quick", "protocol.extend=2", "protocol.budget_minutes=5"]
    assert cli.main(given_) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "at most 18 trials (looked at after 6, 12 and 18)" in out
    assert "this is the most: a pilot sizes it to protocol.budget_minutes=5" in out


def test_dry_run_counts_the_champion_as_an_arm(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--dry-run", "--json", "incumbent=true", "variants=[onnx_fp32]"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"]["arms"] == ["baseline", "onnx_fp32", "incumbent"]
    assert cli.main(["run", "--dry-run", "incumbent=true", "variants=[onnx_fp32]"]) == 0
    assert "'incumbent' is the current champion, where there is one" in " ".join(capsys.readouterr().out.split())


def test_dry_run_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    uri = r"http://it's\${me}:5000"
    given_ = ["run", "--dry-run", "--json", "variants=[pruned]", "--tracking-uri", uri, "--experiment", "a, b"]
    assert cli.main(given_) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["plan"]["arms"] == ["baseline", "pruned"]
    assert said["config"]["tracking"]["experiment"] == "a, b"
    assert said["config"]["protocol"]["trials"] == 10
    assert said["warnings"] == []


@pytest.mark.parametrize(
    "text", ["plain", "it's", "a, b", "$(touch X)", "${oc.env:HOME}", "back\\slash", "end\\", "\\'", "é", "a\\${b}\\"]
)
def test_options_reach_the_configuration_literally(text: str) -> None:
    from mlbench.compose import compose

    chosen = parse(["run", "--experiment", text])
    assert compose(commands._tracking_overrides(chosen)).config.tracking.experiment == text


# ---------------------------------------------------------------------------------------------------------------------
# list


def test_list_prints_names_and_availability(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "variants"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = dict(line.split()[:2] for line in lines if not line.startswith("      "))  # the others are reasons
    assert shown == {item.name: "yes" if item.available else "no" for item in listing.items("variants")}
    assert shown["onnx_fp32"] == "yes"


def test_list_says_why_not(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    items = (listing.Item("a", "one"), listing.Item("bb", "two", available=False, reason="needs x", provider="theirs"))
    monkeypatch.setattr(listing, "items", lambda *_: items)
    assert cli.main(["list", "steps"]) == 0
    assert capsys.readouterr().out == "  a   yes  one\n  bb  no   two [theirs]\n           needs x\n"


def test_list_of_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line and not line.startswith(" ")] == list(listing.KINDS)
    assert cli.main(["list", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(listing.KINDS)


def test_list_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "protocol").mkdir()
    (tmp_path / "protocol" / "mine.yaml").write_text("# My own.\ntrials: 7\n")
    assert cli.main(["list", "protocols", "--json", "--config-dir", str(tmp_path)]) == 0
    (mine,) = (item for item in json.loads(capsys.readouterr().out)["protocols"] if item["name"] == "mine")
    assert mine == {"name": "mine", "summary": "My own", "available": True, "reason": "", "provider": str(tmp_path)}


# ---------------------------------------------------------------------------------------------------------------------
# cache


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    """A store with two artifacts, one of them damaged."""
    from mlbench.records import Artifact

    def make(out: Path) -> Artifact:
        (out / "model.bin").write_bytes(b"x" * 2**20)
        return Artifact("", "onnx", "", "model.bin", (), (), 0)

    store = Store(tmp_path / "cache", clock=lambda: 86400.0)
    store.build({"number": 1}, make)
    damaged = store.build({"number": 2}, make)
    (Path(damaged.path) / "artifact.json").write_text("{")
    return store


def test_cache_list(kept: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "list", "--cache-dir", str(kept.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert sum("MiB" in line and "onnx: model" in line for line in lines) == 1
    assert sum("damaged: " in line for line in lines) == 1
    assert lines[-1].startswith(f"{kept.root}: 2 artifacts kept, ")
    assert cli.main(["cache", "list", "--json", "--cache-dir", str(kept.root)]) == 0
    assert {entry["digest"] for entry in json.loads(capsys.readouterr().out)} == {e.digest for e in kept.entries()}


def test_cache_prune(kept: Store, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--cache-dir", str(kept.root)]
    assert cli.main(["cache", "prune", *where]) == 2
    assert "removes nothing unless told what" in capsys.readouterr().err
    assert len(kept.entries()) == 2
    assert cli.main(["cache", "prune", "--max-size", "1.5MiB", *where]) == 0
    assert capsys.readouterr().out.startswith(f"{kept.root}: 1 artifact removed, ")
    assert cli.main(["cache", "prune", "--older-than", "9999d", *where]) == 0
    assert capsys.readouterr().out == f"{kept.root}: 0 artifacts removed, 0.00 MiB\n"
    (left,) = kept.entries()
    capsys.readouterr()
    assert cli.main(["cache", "prune", "--all", "--json", *where]) == 0
    assert [entry["digest"] for entry in json.loads(capsys.readouterr().out)] == [left.digest]
    assert kept.entries() == []


def test_valued_options_are_all_known() -> None:
    """``arrange`` keeps a list of its own of the options that take a value."""
    source = Path(arguments.__file__).read_text(encoding="utf-8")
    import re

    declared = re.findall(r'add_argument\(\s*"(--[a-z-]+)",?(.*?)\)\n', source, re.DOTALL)
    flags = {name for name, more in declared if 'action="store_true"' in more or 'action="version"' in more}
    assert {name for name, _ in declared} - flags == arguments._VALUED
    assert flags - {"--version"} == {name for name in arguments._FLAGS if name not in ("-h", "--help")}
