"""The processes that judge: crashes, hangs, starts that fail, ends that leave nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tembed import kernels
from tembed.parity import cli
from tembed.parity.cases import select
from tembed.parity.process import Setup
from tembed.parity.runner import Batch, failure_of, run, run_fuzz

pytestmark = pytest.mark.skipif(kernels.interpreted(), reason="processes of their own: the other lane has them")

ROW = "forward/padding-row/*"
EMBEDDING = """
from torch.nn import functional as F

def embedding(input, weight, padding_idx=None):
    {body}
    return F.embedding(input, weight, padding_idx)
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that writes a module of this name, which processes can import too."""

    def write(name: str, body: str, before: str = "") -> str:
        (tmp_path / f"{name}.py").write_text(before + EMBEDDING.format(body=body))
        monkeypatch.syspath_prepend(tmp_path)
        return f"{name}:embedding"

    return write


def test_a_crash_and_a_hang_cost_their_cases_only() -> None:
    cases = [*select("forward", "*/shapes/7,*"), *select("forward", "*/no-columns/1"), *select("forward", ROW)]
    shown = []
    results = run(cases, Setup("broken:fragile", timeout=3.0), jobs=2, on_result=shown.append)
    assert [r.case for r in results] == [case.name for case in cases]
    assert len(shown) == len(cases)
    wanted = {case.name: "crash" if "int32" in case.name or "columns" in case.name else "pass" for case in cases}
    assert {r.case: r.outcome for r in results} == wanted
    messages = {r.message for r in results if r.outcome == "crash"}
    assert any("SIGSEGV" in message for message in messages)
    assert any("no answer within 3 s" in message for message in messages)


def test_a_crash_is_seen_though_a_child_keeps_the_pipe(written: Any) -> None:
    body = """import os, time
    if input.dim() == 0:
        if os.fork() == 0:
            time.sleep(600)
        os.write(2, b"\\xff is no UTF-8\\n")
        os.abort()
    try:
        __builtins__["input"]()  # would eat the next request
    except EOFError:
        pass"""
    cases = select("forward", "forward/shapes/0-d,int64") + select("forward", ROW)
    begin = time.monotonic()
    crashed, *others = run(cases, Setup(written("forking", body)), 1, lambda result: None)
    assert time.monotonic() - begin < 60
    assert crashed.message == "the process ended with SIGABRT: � is no UTF-8"
    assert {r.outcome for r in others} == {"pass"}


def test_a_process_that_cannot_start_again_costs_a_case(written: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    body = f"open({str(mark)!r}, 'w'); import os; os._exit(5)"
    before = f"import os.path\nassert not os.path.exists({str(mark)!r}), 'no more'\n"
    first, second = run(select(pattern=ROW)[:2], Setup(written("once", body, before)), 1, lambda result: None)
    assert (first.outcome, first.message) == ("crash", "the process ended with exit status 5")
    assert second.message == "the process could not be started again: AssertionError: no more"


def test_a_crash_in_a_random_configuration_names_it() -> None:
    (batch,) = run_fuzz(Setup("broken:fragile", timeout=2.0), 40, 0, 1)
    assert batch.failure is not None
    assert batch.failure.outcome == "crash"
    assert '"index_dtype":"int32"' in batch.failure.case or '"D":0' in batch.failure.case
    assert 1 <= batch.ran <= 40


def test_a_crash_before_the_first_random_configuration_is_a_failure() -> None:
    failure = failure_of(3, {"died": "SIGKILL", "trying": None, "ran": 0})
    assert failure is not None
    assert (failure.case, failure.outcome, failure.message) == ("fuzz/seed 3", "crash", "SIGKILL")


def test_random_configurations_are_counted() -> None:
    seen: list[Batch] = []
    begun: list[None] = []
    assert run_fuzz(Setup("stock"), 60, 5, 2, seen.append, lambda: begun.append(None)) == seen == [Batch(5, 60)]
    assert len(begun) == 60
    assert run_fuzz(Setup("stock"), 60, 5, 2, batch=25) == [Batch(5, 25), Batch(6, 25), Batch(7, 10)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_command(written: Any, tmp_path: Path, number: signal.Signals) -> None:
    mark, found = tmp_path / "mark", tmp_path / "found.json"
    body = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    spec = written("endless", f"if padding_idx == -1:\n        {body}")
    words = ["run", "--functional", spec, "--case", ROW, "--jobs", "1", "--json", str(found)]
    path = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        [sys.executable, "-m", "tembed.parity", *words], env={**os.environ, "PYTHONPATH": path}, stdout=-1, text=True
    )
    wait_for(lambda: mark.exists() and mark.read_text())
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    wait_for(lambda: not alive(int(mark.read_text())))
    if number == signal.SIGTERM:
        assert process.returncode == 130
        assert "interrupted" in out
        document = json.loads(found.read_text())
        assert document["interrupted"] is True
        assert [r["outcome"] for r in document["implementations"][0]["results"]] == ["pass"] * 2


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def alive(pid: int) -> bool:
    """Whether it runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_first_start_that_dies_is_wrong_usage(written: Any, capfd: pytest.CaptureFixture[str]) -> None:
    spec = written("dying", "", "import os, sys\nprint('the last words', file=sys.stderr, flush=True)\nos._exit(3)\n")
    assert cli.main(["run", "--functional", spec, "--case", ROW, "--jobs", "1"]) == 2
    assert capfd.readouterr().err == f"error: {spec}: the process ended with exit status 3: the last words\n"
