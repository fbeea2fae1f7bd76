"""The benchmark's command line: what it takes, prints and writes, and its exit status."""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import planted_lookups as planted
import pytest

from tembed import kernels
from tembed.bench import call_time, cli
from tembed.bench.providers import PROVIDERS, stock
from tembed.bench.workloads import SUITES, select

timed = pytest.mark.skipif(kernels.interpreted(), reason="the interpreter tells nothing of time: the other lane does")
SMALL = ("run", "--device", "cpu", "--suite", "quick", "--scale", "4096", "--rounds", "2")
GPT2 = (*SMALL, "--workload", "*gpt2*")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, no_warm_up: None) -> None:
    if "whole" not in request.node.name:
        monkeypatch.setattr(cli, "timer_on", lambda device: planted.quick_timer())


@timed
def test_run_times_the_whole_quick_suite(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "found.json"
    chosen = [word for name in ("stock", "tembed", "liger") for word in ("--provider", name)]
    assert cli.main([*SMALL, *chosen, "--json", str(path)]) == 0
    out = capfd.readouterr().out
    document = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert [row["workload"] for row in document["workloads"]] == [w.name for w in SUITES["quick"]]
    assert "on CPU (" in out.splitlines()[0]
    assert out.splitlines()[0].endswith("sizes divided by 4096")
    for row in document["workloads"]:
        assert row["workload"] in out
        for name in ("stock", "tembed"):
            its = row["providers"][name]
            assert (its["gate"], len(its["samples_s"])) == ("passed", 2)
        assert row["providers"]["liger"]["unsupported"]
    assert {"commit", "torch", "command"} <= set(document["environment"])
    assert document["scale"] == 4096
    assert document["interrupted"] is False
    for suite in ("tritonbench", "llm", "bert", "recsys", "kg"):
        assert f"\n| {suite} " in out
    assert "| all         | " in out
    assert "(12) |" in out


@timed
def test_provider_that_fails_is_status_1_and_shown_without_numbers(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PROVIDERS, "shifted", planted.planted("shifted", planted.shifted_row))
    assert cli.main([*GPT2, "--provider", "stock", "--provider", "shifted"]) == 1
    out = capfd.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("|") and " shifted " in line]
    assert [cell.strip() for cell in line.split("|")][1:-1] == ["", "shifted", "", "FAILED", "", "", "", ""]
    assert "failed, so there are no numbers:\n  llm/gpt2/N=64/fp32/text: shifted: Wrong: the output is not" in out


@timed
def test_interrupt_writes_and_prints_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(weight: Any, indices: Any, max_norm: Any) -> Any:
        if weight.shape[1] == 64:
            raise KeyboardInterrupt
        return stock(weight, indices, max_norm)

    path = tmp_path / "found.json"
    monkeypatch.setitem(PROVIDERS, "mine", planted.planted("mine", interrupted))
    assert cli.main([*SMALL, "--workload", "recsys*", "--provider", "mine", "--json", str(path)]) == cli.INTERRUPTED
    document = json.loads(path.read_text())
    assert document["interrupted"] is True
    assert [row["workload"] for row in document["workloads"]] == ["recsys/10M x 16/N=1048576/fp32/zipf"]
    out = capfd.readouterr().out
    assert "interrupted: this is what there was by then" in out
    assert "recsys/10M x 16" in out


@timed
def test_spent_budget_skips_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*GPT2, "--budget", "0"]) == 0
    assert "skipped:\n  llm/gpt2/N=64/fp32/text: the budget of 0 s was spent" in capfd.readouterr().out


@timed
def test_call_writes_every_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(call_time, "measure", partial(call_time.measure, calls=2, blocks=3))
    assert cli.main(["call", "--device", "cpu", "--json", str(tmp_path / "call.json")]) == 0
    out, found = capfd.readouterr().out, json.loads((tmp_path / "call.json").read_text())
    assert out.startswith("8 indices, 100 x 64, cpu: ")
    assert set(found["results"]) == {f"{what}, {dtype}" for what in ("function", "module") for dtype in DTYPES}
    assert all(len(result["samples_s"]) == 3 for result in found["results"].values())


DTYPES = ("float32", "float64")


@pytest.mark.skipif(not kernels.interpreted(), reason="this lane does not interpret")
@pytest.mark.parametrize("words", [GPT2, ("call", "--device", "cpu")], ids=["run", "call"])
def test_interpreter_is_not_timed(words: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert capfd.readouterr().err == "error: Triton's interpreter tells nothing of time: unset TRITON_INTERPRET\n"


def test_list_names_what_was_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    out = capfd.readouterr().out
    assert all(f"| {w.name} " in out for w in select([], []))
    assert "156 workloads, 12 of them in the suite quick" in out
    assert cli.main(["list", "--suite", "kg", "--workload", "*bf16*", "--workload", "*none over", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)
    assert [row["workload"] for row in rows] == [
        w.name for w in SUITES["kg"] if w.dtype == "bf16" or w.over == "none"
    ]  # fmt: skip
    assert rows[0]["bytes"] == next(w for w in SUITES["kg"] if w.name == rows[0]["workload"]).bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("list", "--suite", "nope"), "no suite is called nope; there are tritonbench, llm, bert, recsys, kg, quick"),
        (("run", "--suite", "nope"), "no suite is called nope; there are"),
        (("run", "--workload", "nope*"), "no workload is called that: nope*"),
        (("list", "--workload", "kg*", "--workload", "nope"), "no workload is called that: nope"),
        (("list", "--suite", "kg", "--workload", "llm*"), "no workload is called that in kg: llm*"),
        (("run", "--provider", "nope"), f"no provider is called nope; there are {', '.join(PROVIDERS)}"),
        (("run", "--device", "cuda:99"), "--device cuda:99: torch sees"),
        (("run", "--device", "nowhere"), "--device nowhere: RuntimeError"),
        (("run", "--device", "meta"), "--device meta: times are taken on cuda and cpu"),
        (("call", "--device", "cuda:99"), "--device cuda:99: torch sees"),
        (("compare", "none.json", "none.json"), "none.json: No such file"),
        (("plot", "a/x.json", "b/x.json", "--out", "."), "a/x.json: No such file"),
    ],
)
def test_wrong_usage_is_status_2_and_one_line(
    words: tuple[str, ...], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {says}")


def test_files_that_cannot_be_used_are_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "check_timeable", lambda device: None)
    (tmp_path / "file").write_text("{}")
    assert cli.main([*GPT2, "--json", str(tmp_path / "file" / "x")]) == 2
    assert f"error: --json {tmp_path}" in capfd.readouterr().err
    bad = tmp_path / "bad.json"
    row = '{"workload": "x", "suite": "y", "operation": "forward", "providers": {"stock": {"samples_s": [1]}}}'
    about = '"title": "", "device": "", "scale": 1, "providers": {}, "copy": null, "floor": null, '
    about += '"environment": {"device": "", "commit": "", "torch": "", "kernels": ""}'
    for text, says in (
        ("{", "not JSON"),
        ("[]", "no document of a run"),
        ('{"title": 1}', "'device'"),
        ("{" + about + ', "workloads": 3}', "TypeError"),
        ("{" + about + ', "workloads": [' + row + "]}", "'median_s'"),
    ):
        bad.write_text(text)
        for words in (["compare", str(bad), str(bad)], ["plot", str(bad), "--out", str(tmp_path)]):
            assert cli.main(words) == 2
            err = capfd.readouterr().err
            assert err.startswith(f"error: {bad}: ")
            assert says in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "--rounds", "0"), "argument --rounds: '0' is not a number of at least 1"),
        (("run", "--rounds", "2.5"), "argument --rounds"),
        (("run", "--budget", "-1"), "argument --budget"),
        (("run", "--budget", "nan"), "argument --budget"),
        (("run", "--scale", "0.5"), "argument --scale"),
        (("run", "--scale", "inf"), "argument --scale"),
        (("plot", "a.json"), "--out"),
        (("time",), "invalid choice"),
    ],
)
def test_arguments_out_of_range_are_named(words: tuple[str, ...], says: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert stopped.value.code == 2
    assert says in capfd.readouterr().err


@pytest.mark.parametrize("name", ["traffic", "static"])
def test_commands_of_other_modules_are_imported_when_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType(f"tembed.bench.{name}")
    module.add_arguments = lambda parser: parser.add_argument("--number", type=int)
    module.command = lambda args: args.number
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert cli.main([name, "--number", "7"]) == 7
    monkeypatch.setitem(sys.modules, module.__name__, None)
    assert cli.main(["list", "--suite", "bert"]) == 0
    with pytest.raises(ModuleNotFoundError):
        cli.main([name])


def test_call_is_imported_with_its_options() -> None:
    from tembed.bench.arguments import parser

    args: argparse.Namespace = parser(["call"]).parse_args(["call", "--device", "cpu"])
    assert (args.device, args.json, args.run) == ("cpu", None, call_time.command)
