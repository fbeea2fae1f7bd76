"""The command that says which targets are met: the files that it takes, and what it prints and writes."""

import json
from functools import partial
from pathlib import Path

import planted_lookups as planted
import pytest
from planted_targets import (
    ABOUT,
    ADAGRAD,
    ADAM,
    BACKWARD,
    BACKWARD_COPY,
    BACKWARD_MEAN,
    COMPILED,
    FEW_ROWS,
    FORWARD,
    FORWARD_COPY,
    FORWARD_MEAN,
    FUNCTION,
    GPT2,
    MODULE,
    NARROW,
    OVER_ALL,
    OVER_NONE,
    REPORTS_CALL,
    SGD,
    calls,
    row,
    run,
)

from tembed import kernels
from tembed.bench import call_time, cli
from tembed.bench.documents import write_document
from tembed.bench.targets_table import LARGE, TARGETS

ROOT = Path(__file__).parents[1]


def test_calls_are_judged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    results = {
        "function, float32": [(2.0, 2.4), (4.0, 5.2), (2.0, 5.0)],
        "module, float32": [(2.0, 2.2)],
        "module, float64": [(2.0, 2.8)],
        "reports, float32": [(10.0, 11.5), (10.0, 10.5), (20.0, 20.9)],
    }
    (tmp_path / "call.json").write_text(json.dumps(calls(results)))
    assert cli.main(["targets", str(tmp_path / "call.json")]) == 0
    out = capfd.readouterr().out
    table = {
        cells[0]: cells[1:]
        for cells in ([c.strip() for c in line.split("|")[1:-1]] for line in out.splitlines() if "|" in line)
    }
    assert table[FUNCTION] == ["met", "at most 1.3", "1.300", "1 of 1 met", "function, float32 (call.json)"]
    assert table[MODULE] == ["missed by 0.100", "at most 1.3", "1.400", "1 of 2 met", "module, float64 (call.json)"]
    assert table[REPORTS_CALL] == ["met", "at most 1 us", "0.90 us", "1 of 1 met", "reports, float32 (call.json)"]
    assert out.startswith("# Targets, and what was measured\n")
    assert "## Targets: 1 met, 1 missed, 14 not measured" in out
    assert "## Predictions: 1 met, 0 missed, 1 not measured" in out


@pytest.mark.skipif(kernels.interpreted(), reason="the interpreter tells nothing of time: the other lane does")
def test_files_of_a_rehearsal_on_the_cpu_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], no_warm_up: None
) -> None:
    monkeypatch.setattr(cli, "timer_on", lambda device: planted.quick_timer())
    monkeypatch.setattr(call_time, "measure", partial(call_time.measure, calls=2, blocks=3))
    names = [str(tmp_path / name) for name in ("run.json", "call.json", "targets.md")]
    words = ["--operation", "forward", "--operation", "backward", "--operation", "step", "--scale", "4096"]
    words += ["--provider", "stock", "--provider", "tembed", "--rounds", "2", "--workload", "llm/gpt2/N=64/fp32/text"]
    assert cli.main(["run", "--device", "cpu", *words, "--json", names[0]]) == 0
    assert cli.main(["call", "--device", "cpu", "--json", names[1]]) == 0
    capfd.readouterr()
    assert cli.main(["targets", *names[:2], "--markdown", names[2]]) == 0
    out = capfd.readouterr().out
    assert out == Path(names[2]).read_text()
    assert out.startswith("# A rehearsal: these numbers mean nothing\n")
    assert "| on a CPU, sizes divided by 4096 |" in out
    for name in (FORWARD, FORWARD_MEAN, FUNCTION, MODULE, BACKWARD, SGD, ADAM, ADAGRAD):
        (line,) = [line for line in out.splitlines() if line.startswith(f"| {name} ")]
        assert "not measured" not in line


def test_files_of_one_name_are_told_apart(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / folder / "x.json" for folder in "ab"]
    for path in paths:
        path.parent.mkdir()
        write_document(run(), path)
    assert cli.main(["targets", *map(str, paths)]) == 0
    out = capfd.readouterr().out
    assert all(f"| {path} " in out for path in paths)


def test_files_that_are_neither_of_runs_nor_of_calls_are_wrong_usage(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    short = row(GPT2, stock=1)
    del short["over"]
    bad = calls({"function": [(1.0, 1.0)]})
    del bad["results"]["function"]["samples_s"]
    good = tmp_path / "good.json"
    write_document(run(), good)
    for text, says in (
        (None, "No such file"),
        ("{", "not JSON"),
        ("[]", "no document of a run"),
        (json.dumps(bad), "'title'"),
        (json.dumps(run(short)), "'over'"),
        (json.dumps(run(about={k: v for k, v in ABOUT.items() if k != "driver"})), "'driver'"),
    ):
        path = tmp_path / "bad.json"
        if text is not None:
            path.write_text(text)
        assert cli.main(["targets", str(good), str(path), "--markdown", str(tmp_path / "x.md")]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith(f"error: {path}: ")
        assert says in line
    assert not (tmp_path / "x.md").exists()
    assert cli.main(["targets", str(good), "--markdown", str(good / "x.md")]) == 2
    assert capfd.readouterr().err.startswith("error: --markdown ")


def test_notes_and_readme_say_these_targets() -> None:
    limit = {target.says: f"{target.limit:g}" for target in TARGETS}
    assert limit[OVER_NONE] == limit[OVER_ALL] == "0.25"
    assert limit[FUNCTION] == limit[MODULE]
    assert limit[SGD] == limit[ADAM] == limit[ADAGRAD]
    assert limit[COMPILED] == limit[BACKWARD] == "1"
    notes, readme = (" ".join((ROOT / name).read_text().split()) for name in ("bench/results/NOTES.md", "README.md"))
    for said in (
        f"never above {limit[FORWARD]} of stock's, geometric mean at most {limit[FORWARD_MEAN]};",
        f"{limit[FORWARD_COPY]}% of the measured copy bandwidth from outputs of {LARGE / 1e6:g} MB on;",
        "max_norm at most a quarter of stock's time;",
        f"a call for 8 lookups at most {limit[FUNCTION]} of stock's;",
        "compiled forward at most 1.0 of compiled stock",
        f"Dense backward at most {limit[BACKWARD_MEAN]} of stock's time on average and never above 1.0;",
        f"at most {limit[FEW_ROWS]} of stock's deterministic mode;",
        f"{limit[BACKWARD_COPY]}% of the byte floor",
        f"16-bit at most {limit[NARROW]} of compiled stock.",
        f"A step of training with a sparse gradient at most {limit[SGD]} of stock's with SparseAdam, Adagrad and SGD.",
    ):
        assert said in notes
    assert (
        f"forward {limit[FORWARD_MEAN]} on average and at most {limit[FORWARD]}, {limit[FORWARD_COPY]}% of the copy "
        f"bandwidth if large; `max_norm` {limit[OVER_NONE]}; a call {limit[FUNCTION]}; "
        f"backward {limit[BACKWARD_MEAN]}, a sparse step of training {limit[SGD]}."
    ) in readme
