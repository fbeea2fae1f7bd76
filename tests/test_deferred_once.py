"""Each deferred report is told of once, in the order of lookups, whoever asks and whatever comes between."""

import threading
from collections.abc import Callable

import pytest
import torch
from deferred import BAD, forget_devices, lookup, nothing_arrived, settle, told

import tembed
from tembed import reports, slots


@pytest.mark.parametrize("before", [0, 3], ids=["slots in order", "slots that go round"])
def test_each_lookup_is_told_of_once_in_order(before: int, deferring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_devices(monkeypatch, SLOTS=5)
    for _ in range(before):
        lookup(deferring, [0])
    for V in (6, 5, 4):
        nothing_arrived(lookup(deferring, [7], V))
    assert [line.partition(" table of ")[2].split()[0] for line in told().splitlines()] == ["6", "5", "4"]
    tembed.check_indices()


def test_more_lookups_than_an_error_has_lines_are_counted(deferring: str) -> None:
    for _ in range(reports.MOST + 3):
        nothing_arrived(lookup(deferring))
    assert told().splitlines()[-1] == "and by 3 lookups more"
    tembed.check_indices()


def test_a_backward_on_another_thread_raises_there(deferring: str) -> None:
    module = tembed.Embedding(6, 3, device=deferring)
    out = module(torch.tensor(BAD, device=deferring)).sum()
    settle(deferring)
    texts: list[str] = []
    thread = threading.Thread(target=lambda: texts.append(told(out.backward)))
    thread.start()
    thread.join()
    assert len(texts) == 1
    assert module.weight.grad is None
    tembed.check_indices()


def test_two_threads_are_told_of_all_that_they_did(deferring: str) -> None:
    texts: list[str] = []

    def attempt(call: Callable[[], object]) -> bool:
        try:
            call()
        except IndexError as error:
            texts.append(str(error))
            return False
        return True

    made = [0, 0]

    def work(number: int, V: int) -> None:
        for i in range(5):
            made[number] += attempt(lambda: lookup(deferring, [V + i], V))  # noqa: B023

    threads = [threading.Thread(target=work, args=args) for args in enumerate((6, 60))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    attempt(tembed.check_indices)
    lines = [line for text in texts for line in text.splitlines()]
    assert len(lines) == len(set(lines)) == sum(made) > 2
    tembed.check_indices()


def test_an_interrupt_while_reports_are_cleared_loses_none(deferring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        nothing_arrived(lookup(deferring))
    (memory,) = slots.memories.values()

    class View:
        """Memory that is interrupted at the second report that is cleared."""

        def __init__(self) -> None:
            self.cleared, self.words = 0, memory.view

        def __getitem__(self, at: slice) -> memoryview:
            return self.words[at]

        def __setitem__(self, at: int, value: int) -> None:
            self.words[at] = value
            if at > 0 and value == 0:
                self.cleared += 1
                if self.cleared == 2:
                    raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(memory, "view", View())
        with pytest.raises(KeyboardInterrupt):
            tembed.check_indices()
    assert told(lambda: lookup(deferring)).count("index 9") == 3


def test_a_report_at_exit_waits_for_no_lock(deferring: str, capfd: pytest.CaptureFixture[str]) -> None:
    lookup(deferring)
    settle(deferring)
    (memory,) = slots.memories.values()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with memory.lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    reports._tell_at_exit()
    done.set()
    thread.join()
    assert capfd.readouterr().err == ""
    assert "index 9" in told()


def test_an_interrupt_while_waiting_loses_nothing(deferring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lookup(deferring)
    settle(deferring)

    def interrupted(self: slots.Memory, slot: int) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(slots.Memory, "_told", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tembed.check_indices()
    assert told(lambda: lookup(deferring)).count("index 9") == 1


def test_reports_are_asked_for_under_any_mode_of_torch(deferring: str) -> None:
    lookup(deferring)
    settle(deferring)
    with torch._subclasses.FakeTensorMode(), torch.device("meta"):
        assert "index 9" in told()
    with torch.inference_mode():
        lookup(deferring)
        assert "index 9" in told()


def test_what_nobody_asked_about_is_printed_at_exit(deferring: str, capfd: pytest.CaptureFixture[str]) -> None:
    lookup(deferring)
    settle(deferring)
    reports._tell_at_exit()
    reports._tell_at_exit()
    assert capfd.readouterr().err.count("index 9 at position [1, 0]") == 1
    tembed.check_indices()
