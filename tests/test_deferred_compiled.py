"""Bad indices in compiled code on accelerators: reported as everywhere, for torch's own assertion ends the process."""

from collections.abc import Callable

import pytest
import torch
from deferred import BAD, TOLD

import tembed

BACKENDS = ["eager", "aot_eager", "inductor"]


@pytest.fixture(params=BACKENDS)
def compiled(request: pytest.FixtureRequest, deferring: str) -> Callable[..., Callable[[torch.Tensor], torch.Tensor]]:
    """A module on the device, compiled whole."""
    torch._dynamo.reset()

    def make(**options: object) -> tuple[torch.nn.Module, Callable[[torch.Tensor], torch.Tensor]]:
        module = tembed.Embedding(6, 3, device=deferring, **options)  # type: ignore[arg-type]
        tembed.name_embeddings(module, "tokens")
        call = torch.compile(lambda x: module(x) * 2, fullgraph=True, backend=request.param)
        return module, call

    return make  # type: ignore[return-value]


@pytest.mark.parametrize("options", [{}, {"sparse": True, "padding_idx": 1}, {"max_norm": 0.5}], ids=str)
def test_compiled_lookups_report_and_train_on(compiled: Callable[..., object], options: dict[str, object]) -> None:
    module, call = compiled(**options)  # type: ignore[misc]
    device = module.weight.device
    bad, good = torch.tensor(BAD, device=device), torch.tensor([[0, 5], [5, 1]], device=device)
    out = call(bad)
    with pytest.raises(IndexError, match=TOLD + ", that of 'tokens'; found on"):
        tembed.check_indices()
    assert torch.equal(out[0], module(good)[0] * 2)
    assert not out[1].any()
    call(good).sum().backward()
    counts = torch.tensor([2.0, 0 if "padding_idx" in options else 2, 0, 0, 0, 4], device=device)
    assert torch.equal(module.weight.grad.to_dense(), counts.view(6, 1).expand(6, 3))
    tembed.check_indices()


def test_compiled_gradients_leave_bad_indices_out(compiled: Callable[..., object]) -> None:
    module, call = compiled(scale_grad_by_freq=True)  # type: ignore[misc]
    out = call(torch.tensor([0, 0, 9, -1, 4], device=module.weight.device))
    with pytest.raises(IndexError, match=r"index 9 at position \[2\]"):
        tembed.check_indices()
    out.sum().backward()
    expected = torch.tensor([2.0, 0, 0, 0, 2, 0], device=module.weight.device)
    assert torch.equal(module.weight.grad, expected.view(6, 1).expand(6, 3))


def test_modes_hold_for_what_is_compiled_already(compiled: Callable[..., object]) -> None:
    module, call = compiled()  # type: ignore[misc]
    bad = torch.tensor(BAD, device=module.weight.device)
    with torch.no_grad():
        call(bad)
        with pytest.raises(IndexError, match=TOLD):
            tembed.check_indices()
        with tembed.index_checks("off"):
            assert not call(bad)[1].any()
        tembed.check_indices()
        with tembed.index_checks("immediate"), pytest.raises(IndexError, match=TOLD + ", that of 'tokens'$"):
            call(bad)
    tembed.check_indices()


def test_compiled_transforms_report(deferring: str) -> None:
    torch._dynamo.reset()
    indices = torch.tensor(BAD, device=deferring)
    weight = torch.ones(6, 3, device=deferring)
    each = torch.compile(torch.func.vmap(lambda x: tembed.embedding(x, weight).sum()), backend="aot_eager")
    assert each(indices).tolist() == [6, 0]
    with pytest.raises(IndexError, match=TOLD):
        tembed.check_indices()
    grad = torch.compile(torch.func.grad(lambda w: tembed.embedding(indices, w).sum()), backend="aot_eager")
    assert grad(weight)[:, 0].tolist() == [1, 0, 0, 0, 0, 1]
    with pytest.raises(IndexError, match=TOLD):
        tembed.check_indices()


def test_transforms_report_once(deferring: str) -> None:
    weights, indices = torch.ones(2, 6, 3, device=deferring), torch.tensor(BAD, device=deferring)
    lookups: list[Callable[[], object]] = [
        lambda: torch.func.vmap(tembed.embedding, in_dims=(None, 0))(indices, weights),
        lambda: torch.func.jvp(lambda w: tembed.embedding(indices, w), (weights[0],), (weights[1],)),
    ]
    for call in lookups:
        call()  # a second lookup of the same indices would raise for the first
        with pytest.raises(IndexError, match=TOLD) as caught:
            tembed.check_indices()
        assert str(caught.value).count("out of range") == 1
        tembed.check_indices()
    with pytest.raises(IndexError, match=TOLD):
        torch.func.hessian(lambda w: tembed.embedding(indices, w).square().sum())(weights[0])
    tembed.check_indices()
