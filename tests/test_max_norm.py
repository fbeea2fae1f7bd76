"""max_norm where the parity cases do not reach: inference tensors, tables that cannot be written, other devices."""

import math

import pytest
import torch

import tembed
from tembed import reference
from tembed.parity import oracle
from tembed.parity.compare import numpy_of, within
from tembed.parity.inputs import make_indices

FLOATS = ("float16", "bfloat16", "float32", "float64")
NORMS = {2.0: 2.5, 1.0: 4.5, 3.0: 2.1, 0.5: 15.0, math.inf: 1.9, -math.inf: 0.2, 0.0: 4.5, -1.0: 0.06, 2.5: 2.3}


def test_max_norm_of_an_inference_tensor(device: str) -> None:
    with torch.inference_mode():
        source = torch.full((3, 4), 2.0, device=device)
        module = tembed.Embedding.from_pretrained(source, max_norm=1.0)
    module(torch.tensor([1], device=device))
    torch.testing.assert_close(source[1], torch.full((4,), 0.5, device=device))
    assert (source[[0, 2]] == 2).all()


def test_max_norm_of_a_table_expanded_along_its_rows_needs_no_row_to_be_over(device: str) -> None:
    weight = torch.full((4, 1), 2.0, device=device).expand(4, 3)
    version = weight._version
    out = tembed.embedding(torch.tensor([1, 1], device=device), weight, max_norm=10.0)
    assert torch.equal(out, weight[:2])
    assert weight._version == version + 1
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single memory"):
        tembed.embedding(torch.tensor([1, 1], device=device), weight, max_norm=1.0)
    assert (weight == 2).all()


class Elsewhere(torch.Tensor):
    """Stands for a tensor on a device that has no kernels."""

    is_cpu = False


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_reference_for_other_devices_agrees_with_torchs_on_the_cpu(p: float, dtype: str) -> None:
    weight = (torch.randn(10, 7) * torch.linspace(0.2, 3, 10)[:, None]).to(getattr(torch, dtype))
    indices = make_indices("zipf", (9,), 10, torch.Generator().manual_seed(1))
    expected = oracle.renorm(numpy_of(weight), indices.numpy(), NORMS[p], p, dtype)
    assert not expected.undecided.any()
    assert expected.bound.any()
    stock = weight.clone()
    torch.embedding_renorm_(stock, indices, NORMS[p], p)
    reference.renorm_(weight.as_subclass(Elsewhere), indices, NORMS[p], p)
    within(numpy_of(weight), numpy_of(stock), 2 * expected.bound, "table")


@pytest.mark.parametrize("p", NORMS)
def test_the_reference_for_other_devices_writes_only_what_it_must(p: float) -> None:
    expanded = torch.full((4, 1), 2.0).expand(4, 3).as_subclass(Elsewhere)
    indices = torch.tensor([0, 3, 3])
    reference.renorm_(expanded, indices, 1000.0, p)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        reference.renorm_(expanded, indices, 0.1, p)
