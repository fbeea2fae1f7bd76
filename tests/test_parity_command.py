"""The command line and its processes: crashes, hangs, files, exit status."""

import json
import shlex
from pathlib import Path

import pytest

from tembed import kernels
from tembed.parity import cli
from tembed.parity.cases import all_cases, select
from tembed.parity.runner import Batch, Setup, run, run_fuzz

pytestmark = pytest.mark.skipif(kernels.interpreted(), reason="processes of their own: the other lane has them")


def command(*words: str) -> int:
    return cli.main(words)


def test_a_crash_and_a_hang_cost_their_cases_only() -> None:
    cases = [*select("forward", "*/shapes/7,*"), *select("forward", "*/no-columns/1"), *select("forward", "*/sizes/*")]
    shown = []
    results = run(cases, Setup("broken:fragile", timeout=5.0), jobs=2, on_result=shown.append)
    assert [r.case for r in results] == [case.name for case in cases]
    assert len(shown) == len(cases)
    wanted = {case.name: "crash" if "int32" in case.name or "columns" in case.name else "pass" for case in cases}
    assert {r.case: r.outcome for r in results} == wanted
    messages = {r.message for r in results if r.outcome == "crash"}
    assert any("SIGSEGV" in message for message in messages)
    assert any("no answer within 5 s" in message for message in messages)


def test_a_crash_in_a_random_configuration_names_it() -> None:
    (batch,) = run_fuzz(Setup("broken:fragile", timeout=5.0), 40, 0, 1, lambda batch: None)
    assert batch.failure is not None
    assert batch.failure.outcome == "crash"
    assert '"index_dtype":"int32"' in batch.failure.case or '"D":0' in batch.failure.case


def test_random_configurations_are_counted() -> None:
    seen: list[Batch] = []
    assert run_fuzz(Setup("stock"), 60, 5, 2, seen.append) == seen == [Batch(5, 60)]


def test_run_writes_files_and_says_how_to_repeat_a_failure(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, page = tmp_path / "found.json", tmp_path / "found.html"
    words = ("--group", "forward", "--case", "*/padding-row/*", "--json", str(data), "--report", str(page))
    assert command("run", "--functional", "broken:rounded", *words) == 0
    assert (
        command("run", "--functional", "broken:zero_gradient", "--case", "dense-gradient/integers/*", *words[4:]) == 1
    )
    out = capfd.readouterr().out
    assert "FAIL  dense-gradient/integers/float32,zipf" in out
    line = next(line for line in out.splitlines() if "python -m tembed.parity run" in line)
    again = shlex.split(line.partition("python -m tembed.parity ")[2])
    assert command(*again) == 1
    document = json.loads(data.read_text())
    assert {r["outcome"] for r in document["implementations"][0]["results"]} <= {"fail", "pass"}
    assert {"commit", "torch", "command"} <= set(document["environment"])
    assert "<html" in page.read_text()


def test_compare_puts_implementations_side_by_side(capfd: pytest.CaptureFixture[str]) -> None:
    assert command("compare", "stock", "broken:Bare", "--case", "forward/padding-row/*") == 0
    assert "| forward | 3 / 3 | 0 / 3, 3 missing |" in capfd.readouterr().out


def test_compare_takes_results_of_earlier(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = tmp_path / "first.json"
    assert command("run", "--impl", "stock", "--case", "forward/padding-row/*", "--json", str(first)) == 0
    assert command("compare", str(first), "index_add", "--case", "forward/padding-row/*") == 0
    assert "| forward | 3 / 3 | 3 / 3 |" in capfd.readouterr().out


def test_list_names_every_case(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert command("list", "--json", str(tmp_path / "cases.json")) == 0
    out = capfd.readouterr().out
    assert all(f"    {name}\n" in out for name in all_cases())
    assert len(json.loads((tmp_path / "cases.json").read_text())) == len(all_cases())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "--impl", "no_such_module:Thing"), "No module named 'no_such_module'"),
        (("run", "--impl", "broken:Nothing"), "has no attribute 'Nothing'"),
        (("run", "--impl", "broken"), "not of the form package.module:name"),
        (("run", "--impl", "stock", "--case", "nothing"), "no case is called that"),
        (
            ("run", "--impl", "stock", "--under", "races", "--under", "bounds", "--case", "forward/no-rows"),
            "watches Triton's interpreter",
        ),
    ],
)
def test_wrong_usage_is_status_2(words: tuple[str, ...], says: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert command(*words) == 2
    assert says in capfd.readouterr().err


def test_run_without_an_implementation_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as stopped:
        command("run")
    assert stopped.value.code == 2
