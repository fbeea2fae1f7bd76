"""A launch that skips Triton's binder leads to the very kernel, and hands it the very arguments, that the binder would.

On stubbed launches: Triton compiles for a GPU that is not there. test_kernels_kept.py looks at the rows, natively on a
GPU.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from lookups import TENSORS, indices, table
from torch import Tensor

from tembed import kernels, ops
from tembed.bench.stubbed import StubbedLaunch, stubbed_launches

pytestmark = pytest.mark.skipif(
    kernels.interpreted() or not kernels.installed() or torch.cuda.is_available(),
    reason="needs Triton's compiler, and no GPU",
)


@pytest.fixture
def seen() -> Iterator[list[StubbedLaunch]]:
    from tembed.kernels import gather, renorm

    with stubbed_launches(record=True) as found:
        for launch in (gather.launch_gather_rows, renorm.launch_renorm_rows, renorm.launch_write_back_rows):
            launch._kept.clear()
        yield found


CALLS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "gather": ops.lookup,
    "max_norm": lambda weight, indices: ops.renorm_lookup(weight, indices, 1.0, 2.0),
    "max_norm p=1": lambda weight, indices: ops.renorm_lookup(weight, indices, 1.0, 1.0),
}


def facts(launched: StubbedLaunch) -> tuple[Any, ...]:
    """All but which memory the output and the scratch happen to get."""
    shown = [(tuple(x.shape), x.dtype) if isinstance(x, Tensor) else x for x in launched.arguments]
    return launched.hash, launched.grid, *shown


@pytest.mark.parametrize("call", CALLS)
def test_a_kept_launch_is_the_one_that_the_binder_makes(
    call: str, seen: list[StubbedLaunch], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tembed.kernels import gather, renorm

    made = {name: make() for name, make in TENSORS.items()}
    kept: dict[str, Any] = {}
    for name in [*made, *made]:  # the second time round, what can be kept has been
        seen.clear()
        CALLS[call](*made[name])
        kept[name] = [facts(launched) for launched in seen]
    for module in (gather, renorm):
        monkeypatch.setattr(module, "key_of", lambda *args: None)
    for name, tensors in made.items():
        seen.clear()
        CALLS[call](*tensors)
        assert kept[name] == [facts(launched) for launched in seen], name
    hashes = {launches[0][0] for launches in kept.values()}
    assert len(hashes) > 10, "the tensors were to lead to different kernels"


def binders(call: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> int:
    """How often the call goes by way of Triton's binder."""
    from triton.runtime.jit import JITFunction

    from tembed.kernels import launch

    original, count = JITFunction.run, 0

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(JITFunction, "run", counting)
        patched.setattr(launch, "TRITONS_OWN", __file__)
        call()
    return count


def test_plain_calls_go_by_the_binder_once_whatever_N_and_V(
    seen: list[StubbedLaunch], monkeypatch: pytest.MonkeyPatch
) -> None:
    ops.lookup(table(50, 64), indices(8))
    ops.renorm_lookup(table(50, 64), indices(8), 1.0, 2.0)
    for V in (1, 7, 48, 5000):
        for N in (1, 3, 16, 100_000):
            shapes = table(V, 64), indices(N)
            assert binders(lambda at=shapes: ops.lookup(*at), monkeypatch) == 0
            assert binders(lambda at=shapes: ops.renorm_lookup(*at, 0.5, 2.0), monkeypatch) == 0
    assert binders(lambda: ops.lookup(table(50, 65), indices(8)), monkeypatch) == 1
    assert len({launched.hash for launched in seen if launched.kernel == "gather_rows_kernel"}) == 2


def test_a_watcher_in_place_of_tritons_launch_sees_kept_launches_too(seen: list[StubbedLaunch]) -> None:
    from tembed.parity.instruments.launches import launches

    weight = table(50, 64)
    ops.lookup(weight, indices(8))
    with launches() as found:
        ops.lookup(weight, indices(8))
    assert [launched.kernel for launched in found] == ["gather_rows_kernel"]


def test_a_program_with_many_kinds_of_tables_keeps_a_bounded_number_of_kernels(
    seen: list[StubbedLaunch], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tembed.kernels.gather import launch_gather_rows

    monkeypatch.setattr(launch_gather_rows, "MOST", 3, raising=False)
    for D in (1, 2, 3, 4, 5):
        ops.lookup(table(5, D), indices(2))
        assert len(launch_gather_rows._kept) <= 3


def test_an_output_off_by_an_element_is_the_binders_business(
    seen: list[StubbedLaunch], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tembed.kernels.gather import gather_rows

    for weight, out in ((table(50, 64, offset=1), table(8, 64)), (table(50, 64), table(8, 64, offset=1))):
        gather_rows(weight, indices(8), out)
        gather_rows(weight, indices(8), out)
    assert len({launched.hash for launched in seen}) == 2
    assert binders(lambda: gather_rows(table(50, 64), indices(8), table(8, 64, offset=1)), monkeypatch) == 1


def test_a_hook_of_the_kernel_sees_kept_launches_too(seen: list[StubbedLaunch]) -> None:
    from tembed.kernels.gather import gather_rows_kernel

    weight, called = table(50, 64), []
    ops.lookup(weight, indices(8))
    gather_rows_kernel.add_pre_run_hook(lambda *args, **kwargs: called.append(1))
    try:
        ops.lookup(weight, indices(8))
    finally:
        gather_rows_kernel.pre_run_hooks.clear()
    assert called == [1]
