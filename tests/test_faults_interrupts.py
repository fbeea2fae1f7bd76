"""Steps that Ctrl-C breaks off: what they change is changed as a whole or not at all, and the next one works."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from faults_steps import CASES, NEXT, Case, same, short_chunks
from injected import fault_at, free, points

import tembed
from tembed import kernels

SEVERAL = [name for name in CASES if NEXT == 1 or name in ("dense", "sparse", "max_norm")]
KERNELS = kernels.installed() and tembed.path("cuda" if torch.cuda.is_available() else "cpu") != "reference"


@pytest.fixture(autouse=True)
def _chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    short_chunks(monkeypatch)


def broken_off(case: Case, device: str) -> Iterator[tuple[int, Any, bool]]:
    """States after steps that were broken off, one for each point; and whether the table has changed, and wholly."""
    case.run(case.state(device))
    whole = case.state(device)
    found = points(lambda: case.run(whole))
    wanted = whole.bits()
    for number, point in enumerate(found):
        if point.name.startswith("aten") and number % NEXT:
            continue
        state = case.state(device)
        before, version = state.bits(), state.weight._version
        with pytest.raises(KeyboardInterrupt), fault_at(number, KeyboardInterrupt()):
            case.run(state)
        after = state.bits()
        for name in after:
            assert same(after[name], before[name]) or same(after[name], wanted[name]), (name, point)
        changed = not same(after["weight"], before["weight"])
        yield number, state, not changed or state.weight._version > version


@pytest.mark.parametrize("name", SEVERAL)
def test_a_step_broken_off_anywhere_changes_things_wholly_or_not_at_all(name: str, device: str) -> None:
    case = CASES[name]
    for number, state, _ in broken_off(case, device):
        if number % NEXT == 0:
            case.next_step(state)


@pytest.mark.skipif(not kernels.installed(), reason="needs Triton")
def test_a_launch_broken_off_holds_no_lock(device: str) -> None:
    from tembed.kernels.launch import INTERPRETER

    for _ in broken_off(CASES["max_norm"], device):
        assert free(INTERPRETER)


def test_torch_knows_of_every_change_that_max_norm_made(device: str) -> None:
    assert all(known for *_, known in broken_off(CASES["max_norm"], device))


def test_a_signal_between_the_launches_of_max_norm_leaves_the_table_alone(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not KERNELS:
        pytest.skip("the reference has no launches")
    from tembed.kernels import renorm

    case, original = CASES["max_norm"], renorm.launch_write_back_rows

    def interrupted(*args: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        original(*args)

    state = case.state(device)
    before = state.bits()
    with monkeypatch.context() as patched:
        patched.setattr(renorm, "launch_write_back_rows", interrupted)
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                case.run(state)
        finally:
            signal.signal(signal.SIGINT, handler)
    assert same(state.bits()["weight"], before["weight"])
    case.next_step(state)
