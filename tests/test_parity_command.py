"""The command line: what it takes, writes and prints, and its exit status."""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import broken
import pytest
import torch

from tembed import kernels, parity
from tembed.parity import cli, documents, fuzz, peers, printing
from tembed.parity.cases import all_cases, select

pytestmark = pytest.mark.skipif(kernels.interpreted(), reason="processes of their own: the other lane has them")

ROW = "forward/padding-row/*"


def command(*words: str) -> int:
    return cli.main([*words, "--jobs", "1"] if words[0] in ("run", "compare") else words)


@pytest.mark.parametrize(
    ("outcomes", "fuzz", "says"),
    [
        (["missing", "as stock"], None, []),
        (["missing", "skip"], None, ["nothing passed"]),
        (["skip"], None, ["nothing was judged: this device cannot show any of the cases"]),
        (["fail"], {"asked": 9, "ran": 5, "missing": 0}, []),
        ([], {"asked": 9, "ran": 8, "missing": 0}, ["only 8 of 9 random configurations ran"]),
        ([], {"asked": 9, "ran": 9, "missing": 9}, ["nothing passed"]),
    ],
)
def test_nothing_judged_is_no_success(outcomes: list[str], fuzz: dict[str, Any] | None, says: list[str]) -> None:
    results = [{"group": "fuzz" if outcome == "fail" else "api", "outcome": outcome} for outcome in outcomes]
    assert documents.shortcomings({"results": results, "fuzz": fuzz}) == says


def test_run_writes_files_and_says_how_to_repeat_a_failure(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, page = tmp_path / "new" / "found.json", tmp_path / "other" / "new" / "found.html"
    files = ("--json", str(data), "--report", str(page), "--timeout", "99")
    cases = ("--case", "dense-gradient/integers/float32,zipf", "--case", ROW)
    assert command("run", "--functional", "broken:zero_gradient", *cases, *files) == 1
    out = capfd.readouterr().out
    assert "FAIL  dense-gradient/integers/float32,zipf" in out
    line = next(line for line in out.splitlines() if "python -m tembed.parity run" in line)
    assert line.endswith("--case dense-gradient/integers/float32,zipf --timeout 99")
    again = shlex.split(line.partition("python -m tembed.parity ")[2])
    assert command(*again) == 1
    document = json.loads(data.read_text())
    assert {r["outcome"] for r in document["implementations"][0]["results"]} == {"fail", "pass"}
    assert {"commit", "torch", "command"} <= set(document["environment"])
    assert document["interrupted"] is False
    assert "<html" in page.read_text()


def test_compare_puts_implementations_and_earlier_results_side_by_side(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, page = tmp_path / "first.json", tmp_path / "page.html"
    assert command("compare", "stock", "broken:Bare", "--case", ROW, "--json", str(first)) == 1
    out = capfd.readouterr().out
    assert "| forward | 3 / 3 | 0 / 3, 3 missing |" in out
    assert "broken:Bare: nothing passed" in out
    assert command("compare", str(first), "index_add", "--case", ROW, "--report", str(page)) == 1
    assert "| forward | 3 / 3 | 0 / 3, 3 missing | 3 / 3 |" in capfd.readouterr().out


def test_a_feature_stands_for_its_cases_and_a_case_for_itself(capfd: pytest.CaptureFixture[str]) -> None:
    assert command("list", "--case", "dense-gradient/undefined-gradient") == 0
    assert "4 cases of 1 features" in capfd.readouterr().out
    assert fuzz.find("dense-gradient/undefined-gradient").name == "dense-gradient/undefined-gradient"


def test_failures_of_other_groups_and_features_are_shown_first() -> None:
    names = [("api", "a"), ("api", "a"), ("api", "b"), ("forward", "c"), ("forward", "c")]
    bad = [{"group": group, "feature": feature, "case": str(i)} for i, (group, feature) in enumerate(names)]
    assert [result["case"] for result in printing.telling(bad)] == ["0", "3", "2", "1", "4"]


def test_list_names_every_case_in_strict_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert command("list", "--json", str(tmp_path / "cases.json")) == 0
    out = capfd.readouterr().out
    assert all(f"    {name}\n" in out for name in all_cases())
    rows = json.loads((tmp_path / "cases.json").read_text(), parse_constant=pytest.fail)
    assert len(rows) == len(all_cases())
    assert any("inf" in row["parameters"].values() for row in rows)


def test_several_patterns_choose_their_union(capfd: pytest.CaptureFixture[str]) -> None:
    names = [case.name for case in select(pattern=ROW)]
    assert command("list", "--case", names[2], "--case", names[0], "--case", ROW) == 0
    assert [line.strip() for line in capfd.readouterr().out.splitlines() if line.startswith("    ")] == names


def test_listing_needs_neither_extras_nor_a_reader() -> None:
    lines = "import sys; sys.modules.update(hypothesis=None, tqdm=None)\n"
    lines += "from tembed.parity import cli, worker; sys.exit(cli.main(['list']))"
    words = f"{shlex.quote(sys.executable)} -c {shlex.quote(lines)} | head -1; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_random_configurations_say_that_they_need_hypothesis(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "tembed.parity.fuzz", raising=False)
    monkeypatch.delattr(parity, "fuzz", raising=False)
    assert command("run", "--impl", "stock", "--fuzz", "5") == 2
    assert "pip install 'tembed[parity]'" in capfd.readouterr().err


def test_output_that_the_terminal_lacks_is_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        printing.safe_output()
        print("… \udcff")
    assert (tmp_path / "out").read_text() == "\\u2026 \\udcff\n"
    assert documents.plain({"a": ("\udcff", float("nan"), 1.5)}) == {"a": ["\\udcff", "nan", 1.5]}


def test_progress_is_a_plain_line_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(printing, "EVERY", 0.05)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    with printing.Progress("mine", 3, "case") as progress:
        progress.step()
        progress.step("fail")
        time.sleep(0.5)
    assert re.search("mine: 2 of 3 cases in [0-9]+ s, 1 fail\n", capfd.readouterr().err)


def test_the_command_that_repeats_keeps_the_setting() -> None:
    args = argparse.Namespace(device="cuda:1", timeout=7.5, under=["races"])
    column = {"spec": "a:B", "environment": {"path": "kernels (interpreter)"}, "fuzz": {"asked": 900, "batch": 500}}
    tail = "--device cuda:1 --timeout 7.5 --under races"
    head = "TRITON_INTERPRET=1 python -m tembed.parity run --impl a:B"
    assert printing.repeat(column, "api/x", args) == f"{head} --case api/x {tail}"
    assert printing.repeat(column, "fuzz/seed 3", args) == f"{head} --group fuzz --fuzz 500 --batch 500 --seed 3 {tail}"


def test_a_name_and_a_function_make_one_implementation() -> None:
    found = peers.find("stock,broken:rounded")
    assert (found.module, found.functional) == (torch.nn.Embedding, broken.rounded)
    found = peers.find("broken:Bare,stock")
    assert (found.module, found.functional) == (broken.Bare, torch.nn.functional.embedding)
    with pytest.raises(ValueError, match="one class and one function at most"):
        peers.find("stock,broken:Bare,broken:rounded")
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        peers.find("broken:Nothing")


STOCK = ("run", "--impl", "stock")
RANDOM = (*STOCK, "--case", "fuzz/" + '{"V":3}')


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "--impl", "no_such_module:Thing", "--case", ROW), "No module named 'no_such_module'"),
        ((*STOCK, "--under", "races", "--under", "bounds", "--case", ROW), "watches Triton's interpreter"),
        ((*STOCK, "--case", "nothing"), "no case is called that: nothing"),
        ((*STOCK, "--case", ROW, "--case", "nothing"), "no case is called that: nothing"),
        ((*STOCK, "--group", "api", "--without", "api"), "--without leaves no case"),
        ((*STOCK, "--group", "fuzz"), "say how many"),
        ((*STOCK, "--group", "fuzz", "--fuzz", "0"), "say how many"),
        ((*STOCK, "--group", "fuzz", "--fuzz", "9", "--case", ROW), "contradict"),
        ((*RANDOM, "--group", "api"), "contradict"),
        ((*STOCK, "--case", "fuzz/*"), "comes one configuration in JSON"),
        ((*STOCK, "--case", "fuzz/[1]"), "not an object"),
        ((*STOCK, "--case", 'fuzz/{"V":"3"}'), "V is '3'"),
        ((*STOCK, "--case", 'fuzz/{"shape":[2.5]}'), "shape is [2.5]"),
        ((*STOCK, "--case", 'fuzz/{"rows":3}'), "a configuration has no rows"),
        ((*STOCK, "--case", 'fuzz/{"distribution":"even"}'), "no distribution is called even"),
        ((*STOCK, "--case", 'fuzz/{"weight_strides":"even"}'), "no configuration"),
        ((*STOCK, "--device", "nowhere"), "--device nowhere: RuntimeError"),
        ((*STOCK, "--device", "cuda:99"), "--device cuda:99: torch sees"),
        (("compare", "none.json", "stock"), "none.json: No such file"),
    ],
)
def test_wrong_usage_is_status_2(words: tuple[str, ...], says: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(*words) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert says in line


def test_files_that_cannot_be_used_are_wrong_usage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("{}")
    for option in ("--json", "--report"):
        assert command(*STOCK, option, str(tmp_path / "file" / "x")) == 2
        assert f"error: {option} {tmp_path}" in capfd.readouterr().err
    for text, says in (("{", "not JSON"), ("[]", "no document of results"), ('{"features": []}', "'implementations'")):
        (tmp_path / "bad.json").write_text(text)
        assert command("compare", str(tmp_path / "bad.json")) == 2
        assert says in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run",), "run needs --impl"),
        ((*STOCK, "--fuzz", "-1"), "argument --fuzz"),
        ((*STOCK, "--jobs", "0"), "argument --jobs"),
        ((*STOCK, "--timeout", "0"), "argument --timeout"),
        ((*STOCK, "--timeout", "nan"), "argument --timeout"),
    ],
)
def test_arguments_out_of_range_are_named(words: tuple[str, ...], says: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert stopped.value.code == 2
    assert says in capfd.readouterr().err
