"""torch's own descriptions of embedding, its OpInfo and its ModuleInfo, driven against tembed instead of stock."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import tembed
from tembed.parity import oracle

pytest.importorskip("expecttest", reason="torch.testing._internal needs expecttest")

from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db
from torch.testing._internal.common_utils import gradcheck, gradgradcheck

# torch's import forbids the whole process to set flags like torch.backends.cuda.matmul.allow_tf32
torch.backends.__allow_nonbracketed_mutation_flag = True

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
# How many samples there are of each kind: none fewer may run.
WITHOUT_GRADIENT, WITH_GRADIENT, OP_ERRORS = 10, 3, 2
MODULE_INPUTS, MODULE_ERRORS = 2, 3


def only(found: list[Any]) -> Any:
    assert len(found) == 1, found
    return found[0]


OP = only([op for op in op_db if op.name == "nn.functional.embedding"])
MODULE = only([info for info in module_db if info.module_cls is torch.nn.Embedding])


@pytest.fixture(autouse=True)
def _immediate() -> Iterator[None]:
    with tembed.index_checks("immediate"):
        yield


def ours(weight: Tensor, indices: Tensor, **options: Any) -> Tensor:
    """The OpInfo's op, weight first, on tembed."""
    return tembed.embedding(indices, weight, **options)


def samples(device: str, dtype: torch.dtype, requires_grad: bool) -> list[Any]:
    found = list(OP.sample_inputs(device, dtype, requires_grad=requires_grad))
    assert len(found) == (WITH_GRADIENT if requires_grad else WITHOUT_GRADIENT)
    return found


def array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().to(torch.float64).numpy()


def copy(weight: Tensor) -> Tensor:
    """A leaf by the same strides: max_norm changes its table."""
    return weight.detach().clone().requires_grad_(weight.requires_grad)


def assert_near(found: Tensor, expected: oracle.Gradient) -> None:
    assert (np.abs(array(found) - expected.value) <= expected.bound).all()


def assert_gradient(
    out: Tensor, weight: Tensor, indices: Tensor, padding_idx: int | None = None, scale_grad_by_freq: bool = False
) -> None:
    """The gradient of a random cotangent, against float64, within the rounding that its type owes."""
    grad_output = torch.randn(out.shape, dtype=torch.float64, device=out.device).to(out.dtype)
    V = weight.shape[0]
    (grad,) = torch.autograd.grad(out, weight, grad_output)
    padding_idx = None if padding_idx is None else padding_idx % V
    dtype = str(weight.dtype).removeprefix("torch.")
    expected = oracle.gradient(array(grad_output), indices.cpu().numpy(), V, padding_idx, scale_grad_by_freq, dtype)
    assert grad.dtype == weight.dtype
    assert_near(grad.to_dense() if grad.is_sparse else grad, expected)


def test_op_covers_our_dtypes() -> None:
    assert set(FLOATS) == OP.dtypes
    assert OP.supports_forward_ad
    assert OP.supports_fwgrad_bwgrad
    assert OP.supports_gradgrad


@pytest.mark.parametrize("noncontiguous", [False, True], ids=["contiguous", "strided"])
@pytest.mark.parametrize("requires_grad", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_op_samples_give_stocks_values(
    dtype: torch.dtype, requires_grad: bool, noncontiguous: bool, device: str
) -> None:
    for sample in samples(device, dtype, requires_grad):
        sample = sample.noncontiguous() if noncontiguous else sample
        weight, stock_weight = copy(sample.input), copy(sample.input).cpu()
        out = ours(weight, *sample.args, **sample.kwargs)
        stock = F.embedding(sample.args[0].cpu(), stock_weight, **sample.kwargs)
        assert out.requires_grad is requires_grad
        assert out.is_contiguous()
        # a norm is a sum, whose order is its own; the rest copies bits
        exact = {"rtol": 0, "atol": 0} if "max_norm" not in sample.kwargs else {}
        torch.testing.assert_close(out.cpu(), stock, **exact)
        torch.testing.assert_close(weight.cpu(), stock_weight, **exact)


@pytest.mark.parametrize("noncontiguous", [False, True], ids=["contiguous", "strided"])
@pytest.mark.parametrize("requires_grad", [False, True], ids=["all options", "differentiable"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_op_samples_give_the_gradient(
    dtype: torch.dtype, requires_grad: bool, noncontiguous: bool, device: str
) -> None:
    for sample in samples(device, dtype, requires_grad):
        sample = sample.noncontiguous() if noncontiguous else sample
        weight = copy(sample.input).requires_grad_()
        out = ours(weight, *sample.args, **sample.kwargs)
        masks = {name: sample.kwargs[name] for name in ("padding_idx", "scale_grad_by_freq") if name in sample.kwargs}
        assert_gradient(out, weight, *sample.args, **masks)


@pytest.mark.parametrize("number", range(WITH_GRADIENT))
def test_op_sample_passes_gradcheck(number: int, device: str) -> None:
    sample = samples(device, torch.float64, True)[number]
    assert gradcheck(
        lambda weight: ours(weight, *sample.args, **sample.kwargs),
        (sample.input,),
        check_forward_ad=OP.supports_forward_ad,
        check_batched_grad=OP.check_batched_grad,
        check_batched_forward_grad=OP.check_batched_forward_grad,
        check_grad_dtypes=True,
        check_undefined_grad=True,
        nondet_tol=0.0,
    )


@pytest.mark.parametrize("over", ["reverse", "forward"])
@pytest.mark.parametrize("strided", [False, True], ids=["contiguous", "strided"])
@pytest.mark.parametrize("number", range(WITH_GRADIENT))
def test_op_sample_passes_gradgradcheck(number: int, strided: bool, over: str, device: str) -> None:
    sample = samples(device, torch.float64, True)[number]
    reverse = over == "reverse"
    assert gradgradcheck(
        lambda weight: ours(weight, *sample.args, **sample.kwargs),
        (sample.input,),
        gen_non_contig_grad_outputs=strided,
        check_batched_grad=OP.check_batched_gradgrad and reverse,
        check_fwd_over_rev=not reverse,
        check_rev_over_rev=reverse,
        check_undefined_grad=reverse,
        check_grad_dtypes=True,
        nondet_tol=0.0,
    )


def test_op_error_inputs_raise(device: str) -> None:
    errors = list(OP.error_inputs(device))
    assert len(errors) == OP_ERRORS
    for case in errors:
        sample = case.sample_input
        with pytest.raises(case.error_type, match=case.error_regex):
            ours(sample.input, *sample.args, **sample.kwargs)


def module_inputs(device: str, dtype: torch.dtype, training: bool) -> list[Any]:
    found = MODULE.module_inputs_func(MODULE, device=device, dtype=dtype, requires_grad=True, training=training)
    assert len(found) == MODULE_INPUTS
    return found


def build(cls: type, device: str, dtype: torch.dtype, made_from: Any) -> torch.nn.Module:
    made = made_from.constructor_input
    torch.manual_seed(1)
    return cls(*made.args, **made.kwargs, device=device, dtype=dtype)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype", MODULE.dtypes, ids=str)
def test_module_inputs_give_stocks_values_and_the_gradient(dtype: torch.dtype, training: bool, device: str) -> None:
    for case in module_inputs(device, dtype, training):
        module, stock = (
            build(cls, device, dtype, case).train(training) for cls in (tembed.Embedding, MODULE.module_cls)
        )
        given = case.forward_input
        out = module(*given.args, **given.kwargs)
        assert torch.equal(out, stock(*given.args, **given.kwargs))
        assert_gradient(out, module.weight, *given.args)


def test_module_inputs_pass_gradcheck(device: str) -> None:
    for case in module_inputs(device, torch.float64, True):
        module = build(tembed.Embedding, device, torch.float64, case)
        indices = case.forward_input.args[0][:, :8]

        def forward(weight: Tensor, module: torch.nn.Module = module, indices: Tensor = indices) -> Tensor:
            return torch.func.functional_call(module, {"weight": weight}, (indices,))

        assert gradcheck(forward, (module.weight,), nondet_tol=0.0)
        assert gradgradcheck(forward, (module.weight,), nondet_tol=0.0)


@pytest.mark.skipif(MODULE.module_error_inputs_func is None, reason="torch before 2.13 has none for this module")
def test_module_error_inputs_raise(device: str) -> None:
    # of a bad index torch has no case for cuda, where stock ends the process; ours does not
    errors = MODULE.module_error_inputs_func(MODULE, "cpu", torch.float32, requires_grad=False, training=False)
    assert len(errors) == MODULE_ERRORS
    raised: dict[Any, Callable[[Any], Any]] = {
        ModuleErrorEnum.CONSTRUCTION_ERROR: lambda case: build(tembed.Embedding, device, torch.float32, case),
        ModuleErrorEnum.FORWARD_ERROR: lambda case: build(tembed.Embedding, device, torch.float32, case)(
            *(x.to(device) for x in case.forward_input.args)
        ),
    }
    for case in errors:
        with pytest.raises(case.error_type, match=case.error_regex):
            raised[case.error_on](case.module_error_input)
