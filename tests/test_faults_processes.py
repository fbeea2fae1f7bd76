"""Processes: forked, spawned, interrupted and killed, each in a Python of its own, on the CPU."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tembed

HERE = Path(__file__).parent
INTERPRETED = tembed.path("cpu") != "reference"
SECONDS = 120
# On a machine with a GPU torch begins threads at the first backward, of CPU tensors too, which a forked child lacks.
ON_CPU = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}


def run(script: str, *arguments: str) -> None:
    command = [sys.executable, str(HERE / f"{script}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=ON_CPU)
    assert done.returncode == 0, done.stdout + done.stderr


def test_forked_children_and_workers_of_a_loader_look_up_and_train_as_their_parent_does() -> None:
    run("faults_processes", "forked", "loaders")


@pytest.mark.skipif(not INTERPRETED, reason="only the interpreter has a lock")
def test_a_child_forked_while_a_thread_looks_up_can_look_up() -> None:
    run("faults_processes", "forked_while_a_thread_looks_up")


@pytest.mark.parametrize("scenario", ["spawned_loader", pytest.param("forkservers_loader", marks=pytest.mark.slow)])
def test_workers_of_a_loader_that_are_not_forked_look_up(scenario: str) -> None:
    run("faults_processes", scenario)


def test_training_that_was_killed_ends_with_the_bits_of_training_that_was_not() -> None:
    run("faults_training")


@pytest.mark.parametrize("seconds", [1, pytest.param(60, marks=pytest.mark.slow)])
def test_steps_that_signals_interrupt_at_any_time_change_things_wholly_or_not_at_all(seconds: int) -> None:
    """Ctrl-C, from another process. Of an interpreted launch whole means each row: it is a loop in Python."""
    command = [sys.executable, str(HERE / "faults_interrupted.py"), str(seconds)]
    longest = 0.1 if INTERPRETED else 0.005
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ON_CPU) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        deadline = time.monotonic() + SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(random.uniform(0, longest))
            process.send_signal(signal.SIGINT)
        process.kill()
        printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert json.loads(printed)["broken off"] >= 5, printed
