"""set_index_checks and index_checks: who decides whether an accelerator looks for bad indices.

An accelerator is needed to see the choice; here a CPU tensor stands in for it, which kernels might report on.
"""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import torch
from deferred import forget_devices

import tembed
from tembed import kernels, modes, reports

MODES = modes.MODES


def mode_here() -> str:
    """What happens to a bad index on an accelerator, in this thread and now."""
    try:
        report = reports.check(torch.tensor([1, 7]), 4)
    except IndexError:
        return "immediate"
    return "off" if report is None else "deferred"


def mode_in_a_thread() -> str:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(mode_here()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture(autouse=True)
def _off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test starts from "off", and the process's mode is restored after it."""
    monkeypatch.setattr(modes, "_default", "off")
    monkeypatch.setattr(modes, "CPU_RAISES", False)
    monkeypatch.setattr(kernels, "drives", lambda device_type: True)
    forget_devices(monkeypatch)
    with tembed.index_checks("off"):
        modes._here.set(None)
        yield


@pytest.mark.parametrize("mode", MODES)
def test_set_index_checks_holds_in_every_thread(mode: str) -> None:
    tembed.set_index_checks(mode)
    assert mode_here() == mode
    assert mode_in_a_thread() == mode


@pytest.mark.parametrize("unknown", ["", "on", "Immediate", None, True])
def test_set_index_checks_rejects(unknown: object) -> None:
    tembed.set_index_checks("immediate")
    with pytest.raises(ValueError, match=f"index checks must be one of .*'immediate'.*, not {unknown!r}"):
        tembed.set_index_checks(unknown)  # type: ignore[arg-type]
    assert mode_here() == "immediate"


@pytest.mark.parametrize("unknown", ["", "on", "Immediate", None, True])
def test_index_checks_rejects(unknown: object) -> None:
    entered = False
    with pytest.raises(ValueError, match="index checks must be one of"), tembed.index_checks(unknown):  # type: ignore[arg-type]
        entered = True
    assert not entered
    assert mode_here() == "off"


def test_index_checks_nests_and_restores() -> None:
    with tembed.index_checks("immediate"):
        with tembed.index_checks("off"):
            assert mode_here() == "off"
            with tembed.index_checks("immediate"):
                assert mode_here() == "immediate"
            assert mode_here() == "off"
        assert mode_here() == "immediate"
    assert mode_here() == "off"


def test_index_checks_restores_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), tembed.index_checks("immediate"):
        raise ZeroDivisionError
    assert mode_here() == "off"


@pytest.mark.parametrize("mode", MODES)
def test_index_checks_outranks_set_index_checks(mode: str) -> None:
    with tembed.index_checks(mode):
        tembed.set_index_checks("immediate" if mode == "off" else "off")
        assert mode_here() == mode
    assert mode_here() != mode


def test_index_checks_holds_in_one_thread() -> None:
    with tembed.index_checks("immediate"):
        assert mode_in_a_thread() == "off"


def test_index_checks_holds_in_one_task() -> None:
    async def within(mode: str) -> list[str]:
        found = []
        with tembed.index_checks(mode):
            for _ in range(3):
                await asyncio.sleep(0)
                found.append(mode_here())
        return found

    async def both() -> list[list[str]]:
        return await asyncio.gather(within("immediate"), within("off"))

    assert asyncio.run(both()) == [["immediate"] * 3, ["off"] * 3]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_cpu_raises_in_every_mode(mode: str, max_norm: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    weight = torch.full((4, 2), 9.0)
    with tembed.index_checks(mode), pytest.raises(IndexError, match="index out of range in self"):
        tembed.embedding(torch.tensor([1, 7]), weight, max_norm=max_norm)
    assert torch.equal(weight, torch.full((4, 2), 9.0))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "deferred"), ("immediate", "immediate"), ("never", "ValueError: index checks must be one of")],
    ids=["unset", "immediate", "unknown"],
)
def test_environment_chooses_the_mode(value: str | None, shown: str) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "TEMBED_INDEX_CHECKS"}
    if value is not None:
        environment["TEMBED_INDEX_CHECKS"] = value
    program = "import tembed; from tembed import modes; print(modes._default)"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert shown in (done.stdout or done.stderr)
