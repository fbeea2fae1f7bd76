"""What a result file says of where it was made."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tembed.bench import environment as bench_environment
from tembed.bench.environment import environment


def test_environment_says_where_and_quotes_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "run", "--workload", "kg/40k x 128/*"])
    found = environment("cpu")
    assert found["command"].endswith("run --workload 'kg/40k x 128/*'")
    assert found["gpu"] is None


def test_environment_names_the_commit_and_whether_more_than_results_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    code, result = tmp_path / "bench" / "environment.py", tmp_path / "bench" / "results" / "found.json"
    result.parent.mkdir(parents=True)
    monkeypatch.setattr(bench_environment, "__file__", str(code))
    code.touch()
    assert bench_environment.commit() is None
    git("init")
    assert bench_environment.commit() is None
    result.touch()
    git("add", ".")
    git("commit", "--message", "all")
    head = git("rev-parse", "HEAD")
    assert bench_environment.commit() == head
    result.write_text("more")
    assert bench_environment.commit() == head
    code.write_text("more")
    assert bench_environment.commit() == f"{head}-dirty"


def test_environment_takes_a_commit_that_is_given_where_there_is_no_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, found, told in (("given", "found", "found"), ("given", None, "given"), ("", None, None)):
        monkeypatch.setenv("TEMBED_COMMIT", given)
        monkeypatch.setattr(bench_environment, "commit", lambda found=found: found)
        assert environment("cpu")["commit"] == told


def test_environment_names_the_gpu_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"multi_processor_count": 132, "total_memory": 80, "L2_cache_size": 50}
    about = SimpleNamespace(major=9, minor=0, uuid="12-ab", **sizes)
    asked = []
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: about)
    monkeypatch.setattr(bench_environment, "_output", lambda *command: asked.append(command))
    found = environment("cuda:1")
    assert found["device"] == "GPU 1"
    assert found["gpu"] == {
        "index": 1,
        "capability": "9.0",
        "multiprocessors": 132,
        "memory_bytes": 80,
        "l2_bytes": 50,
        "clocks": None,
    }
    assert any("--id=GPU-12-ab" in command for command in asked)
