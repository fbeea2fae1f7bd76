"""What autograd sees: saved tensors, accumulation, double backward, forward mode."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck

import tembed
from tembed.parity import oracle
from tembed.parity.cases import make_indices

OPTIONS = [
    {},
    {"padding_idx": 2},
    {"scale_grad_by_freq": True},
    {"scale_grad_by_freq": True, "padding_idx": 2},
]
MODES = [*OPTIONS, {"sparse": True}, {"max_norm": 100.0}]
INDICES = torch.tensor([[0, 2, 2], [5, 4, 5]])


def make_weight(device: str, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(6, 3, dtype=dtype, device=device, requires_grad=True)


@pytest.mark.parametrize("options", [{}, {"max_norm": 100.0}, {"padding_idx": 1}], ids=str)
def test_gradcheck(options: dict[str, object], device: str) -> None:
    """The row that padding names is not looked up, so that the derivative is the true one."""
    indices = INDICES.to(device)
    assert gradcheck(
        lambda weight: tembed.embedding(indices, weight, **options),  # type: ignore[arg-type]
        make_weight(device),
        check_forward_ad=True,
        check_batched_grad=True,
    )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradgradcheck(options: dict[str, object], device: str) -> None:
    indices = torch.tensor([0, 2, 2], device=device)
    assert gradgradcheck(
        lambda weight: tembed.embedding(indices, weight, **options),  # type: ignore[arg-type]
        torch.randn(3, 2, dtype=torch.float64, device=device, requires_grad=True),
        check_fwd_over_rev=True,
        check_rev_over_rev=True,
        check_batched_grad=True,
    )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("sparse", "sparse_grad"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("shape", [(), (7,), (2, 3), (0,)], ids=str)
def test_double_backward_matches_the_oracle(
    options: dict[str, object], sparse: bool, sparse_grad: bool, shape: tuple[int, ...], device: str
) -> None:
    weight = make_weight(device)
    indices = make_indices("zipf", shape, 6, torch.Generator().manual_seed(0)).to(device)
    grad_output = torch.randn(*shape, 3, dtype=torch.float64, device=device, requires_grad=True)
    out = tembed.embedding(indices, weight, sparse=sparse, **options)  # type: ignore[arg-type]
    (grad,) = torch.autograd.grad(out, weight, grad_output, create_graph=True)
    assert grad.is_sparse is sparse
    outer = torch.randn(6, 3, dtype=torch.float64, device=device)
    (result,) = torch.autograd.grad(grad, grad_output, outer.to_sparse(1) if sparse_grad else outer)
    expected = oracle.gradient_of_gradient(
        outer.cpu().numpy(),
        indices.cpu().numpy(),
        options.get("padding_idx"),  # type: ignore[arg-type]
        bool(options.get("scale_grad_by_freq")),
    )
    np.testing.assert_allclose(result.detach().cpu().numpy(), expected, rtol=1e-15)


@pytest.mark.parametrize("through", [lambda g: g.to_dense(), torch.sparse.sum, lambda g: g.coalesce().values()])
@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
def test_sparse_double_backward_through_sparse_operations(
    through: object, index_dtype: torch.dtype, device: str
) -> None:
    weight, indices = make_weight(device), torch.tensor([1, 2, 2, 5], device=device, dtype=index_dtype)
    grad_output = torch.randn(4, 3, dtype=torch.float64, device=device, requires_grad=True)
    out = tembed.embedding(indices, weight, sparse=True)
    (grad,) = torch.autograd.grad(out, weight, grad_output, create_graph=True)
    loss = (through(grad) ** 2).sum()  # type: ignore[operator]
    (result,) = torch.autograd.grad(loss, grad_output)
    dense = torch.zeros(6, 3, dtype=torch.float64, device=device).index_add(0, indices, grad_output)
    value = dense if through is not torch.sparse.sum else dense.sum()
    (expected,) = torch.autograd.grad((value**2).sum(), grad_output)
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize("options", MODES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_forward_mode_gathers_the_tangent(options: dict[str, object], dtype: torch.dtype, device: str) -> None:
    weight, tangent = torch.randn(6, 3).to(device, dtype), torch.randn(6, 3).to(device, dtype)
    indices = INDICES.to(device)
    with forward_ad.dual_level():
        out = tembed.embedding(indices, forward_ad.make_dual(weight, tangent), **options)  # type: ignore[arg-type]
        primal, derivative = forward_ad.unpack_dual(out)
    assert torch.equal(primal, weight[indices])
    assert derivative is not None
    assert torch.equal(derivative, tangent[indices])


@pytest.mark.parametrize("options", MODES, ids=str)
def test_the_weight_is_not_saved(options: dict[str, object], device: str) -> None:
    weight = make_weight(device, torch.float32)
    out = tembed.embedding(INDICES.to(device), weight, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        weight.zero_()
    out.sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("options", [{"sparse": True}, {"scale_grad_by_freq": True}, {"max_norm": 100.0}], ids=str)
def test_the_indices_alone_are_saved(options: dict[str, object], device: str) -> None:
    saved: list[torch.Tensor] = []
    indices = INDICES.to(device)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):  # type: ignore[func-returns-value]
        tembed.embedding(indices, make_weight(device), **options)  # type: ignore[arg-type]
    assert [x.data_ptr() for x in saved] == [indices.data_ptr()]


@pytest.mark.parametrize("options", MODES, ids=str)
def test_indices_changed_in_place_are_found_out(options: dict[str, object], device: str) -> None:
    indices = INDICES.to(device).clone()
    out = tembed.embedding(indices, make_weight(device, torch.float32), **options)  # type: ignore[arg-type]
    indices[0, 0] = 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("options", MODES, ids=str)
def test_a_freed_graph_says_so_and_a_retained_one_repeats(options: dict[str, object], device: str) -> None:
    weight = make_weight(device, torch.float32)
    out = tembed.embedding(INDICES.to(device), weight, **options)  # type: ignore[arg-type]
    grad_output = torch.randn_like(out)
    first = torch.autograd.grad(out, weight, grad_output, retain_graph=True)[0].to_dense()
    assert torch.equal(torch.autograd.grad(out, weight, grad_output)[0].to_dense(), first)
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        torch.autograd.grad(out, weight, grad_output)


@pytest.mark.parametrize("options", MODES, ids=str)
def test_an_undefined_gradient_stays_undefined(options: dict[str, object], device: str) -> None:
    class Undefined(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, grad: torch.Tensor) -> None:  # type: ignore[override]
            return None

    weight = make_weight(device, torch.float32)
    Undefined.apply(tembed.embedding(INDICES.to(device), weight, **options)).sum().backward()  # type: ignore[arg-type]
    assert weight.grad is None


def test_a_second_dense_gradient_is_added_in_place(device: str) -> None:
    weight = make_weight(device, torch.float32)
    for step in range(2):
        tembed.embedding(INDICES.to(device), weight).sum().backward()
        assert weight.grad is not None
        place = weight.grad.data_ptr() if step == 0 else place  # noqa: F821
    assert weight.grad.data_ptr() == place
    assert torch.equal(weight.grad.sum(1).cpu(), torch.tensor([6.0, 0, 12, 0, 6, 12]))


def test_a_sparse_grad_is_known_to_be_coalesced_after_one_backward(device: str) -> None:
    weight = make_weight(device, torch.float32)
    tembed.embedding(INDICES.to(device), weight, sparse=True).sum().backward()
    assert weight.grad is not None
    assert weight.grad.is_coalesced()
    assert weight.grad._nnz() == 4


@pytest.mark.parametrize("together", [False, True])
def test_several_sparse_gradients_add_up_and_never_lie_about_being_coalesced(together: bool, device: str) -> None:
    weight = make_weight(device, torch.float32)
    first, second = INDICES.to(device), torch.tensor([5, 1, 1], device=device)
    outs = [tembed.embedding(indices, weight, sparse=True).sum() for indices in (first, second)]
    if together:
        (outs[0] + outs[1]).backward()
    else:
        for out in outs:
            out.backward()
    grad = weight.grad
    assert grad is not None
    if grad.is_coalesced():
        rows = grad.indices()[0]
        assert (rows[1:] > rows[:-1]).all()
    assert torch.equal(grad.to_dense()[:, 0].cpu(), torch.tensor([1.0, 2, 2, 0, 1, 3]))


def test_a_sparse_grad_that_a_hook_replaced_is_left_alone(device: str) -> None:
    weight = make_weight(device, torch.float32)
    weight.register_hook(lambda g: torch.sparse_coo_tensor(g._indices().flip(1), g._values(), g.shape))
    tembed.embedding(INDICES.to(device), weight, sparse=True).sum().backward()
    assert weight.grad is not None
    assert not weight.grad.is_coalesced()


def test_a_sparse_and_a_dense_gradient_make_a_dense_one(device: str) -> None:
    weight = make_weight(device, torch.float32)
    tembed.embedding(INDICES.to(device), weight, sparse=True).sum().backward()
    tembed.embedding(INDICES.to(device), weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.layout == torch.strided
    assert torch.equal(weight.grad.sum(1).cpu(), torch.tensor([6.0, 0, 12, 0, 6, 12]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_gradients_of_a_batch_of_vectors(dtype: torch.dtype, device: str) -> None:
    """autograd's is_grads_batched runs backward under vmap."""
    weight, indices = make_weight(device, dtype), INDICES.to(device)
    out = tembed.embedding(indices, weight, scale_grad_by_freq=True, padding_idx=4)
    vectors = torch.randn(3, *out.shape, device=device).to(dtype)
    (batched,) = torch.autograd.grad(out, weight, vectors, is_grads_batched=True, retain_graph=True)
    for vector, grad in zip(vectors, batched, strict=True):
        torch.testing.assert_close(torch.autograd.grad(out, weight, vector, retain_graph=True)[0], grad)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_table_longer_than_int32_holds_takes_int32_indices(sparse: bool, device: str) -> None:
    weight = torch.ones(1, 2, device=device).expand(2**31, 2)
    indices = torch.tensor([0, 5, 2**31 - 1], dtype=torch.int32, device=device)
    assert torch.equal(tembed.embedding(indices, weight, sparse=sparse), torch.ones(3, 2, device=device))
    assert torch.equal(tembed.embedding(indices, weight.requires_grad_(), sparse=sparse).detach(), weight[:3].detach())


def test_backward_threads_do_not_disturb_each_other(device: str) -> None:
    weights = [make_weight(device, torch.float32) for _ in range(4)]
    grad_output = torch.randn(2, 3, 3, device=device)

    def work(weight: torch.Tensor) -> None:
        for _ in range(5):
            tembed.embedding(INDICES.to(device), weight, scale_grad_by_freq=True).backward(grad_output)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, weights))
    for weight in weights:
        assert weight.grad is not None
        assert torch.equal(weight.grad, weights[0].grad)  # type: ignore[arg-type]
    assert weights[0].grad is not None
    assert weights[0].grad.any()
