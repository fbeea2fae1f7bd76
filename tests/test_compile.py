"""Under torch.compile the forward is stock's and fuses with its neighbours: seen in the code that Inductor makes."""

import re

import pytest
import torch
from torch import Tensor
from torch._inductor.utils import run_and_get_code
from torch.nn import functional as F

import tembed
from tembed import kernels, modes

pytestmark = pytest.mark.skipif(kernels.interpreted(), reason="compiled code does not depend on the interpreter")

# A loop of the C++ that Inductor writes for the CPU, a Triton kernel for a GPU.
KERNEL = re.compile(r"^(?:cpp|triton)_\w+ = ", re.MULTILINE)


def between(lookup: object, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A lookup with work before and behind it, as in a model's first layer."""
    return torch.relu(lookup(input + 1, weight) * 8 + bias).sum(-1)  # type: ignore[operator]


def compiled(lookup: object, device: str) -> tuple[Tensor, str]:
    torch._dynamo.reset()
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(50, 64, generator=generator).to(device)
    input = torch.randint(0, 49, (4, 7), generator=generator).to(device)
    bias = torch.randn(64, generator=generator).to(device)
    with torch.no_grad():
        out, (code,) = run_and_get_code(torch.compile(between, fullgraph=True), lookup, input, weight, bias)
    return out, code


def body(code: str) -> str:
    """The code without what names the run that made it."""
    return re.sub(r"# (?:AOT ID|Topologically|Source|Original).*|\bc\w{10,}\b|/\S+", "", code)


def test_a_compiled_forward_is_one_kernel_with_its_neighbours_and_stocks_very_code(device: str) -> None:
    stock, ours = (compiled(lookup, device) for lookup in (F.embedding, tembed.embedding))
    assert torch.equal(ours[0], stock[0])
    assert len(KERNEL.findall(stock[1])) == len(KERNEL.findall(ours[1])) == 1, ours[1]
    if modes.at_call(device):
        assert body(ours[1]) == body(stock[1])
    else:  # a launch before it looks for bad indices, whose rows become zeros in the same kernel
        assert ours[1].count("tembed.embedding_indices") >= 1


def test_a_module_that_is_compiled_is_one_kernel_with_its_neighbours(device: str) -> None:
    model = torch.nn.Sequential(tembed.Embedding(50, 64, device=device), torch.nn.ReLU(), torch.nn.Softmax(-1))
    input = torch.arange(20, device=device)
    with torch.no_grad():
        out, (code,) = run_and_get_code(torch.compile(model, fullgraph=True), input)
        torch.testing.assert_close(out, model(input))
    assert len(KERNEL.findall(code)) == 1, code
