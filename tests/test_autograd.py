"""Autograd at sizes that the parity cases leave out."""

import pytest
import torch

import tembed


@pytest.mark.parametrize("sparse", [False, True])
def test_a_table_longer_than_int32_holds_takes_int32_indices(sparse: bool, device: str) -> None:
    weight = torch.ones(1, 2, device=device).expand(2**31, 2)
    indices = torch.tensor([0, 5, 2**31 - 1], dtype=torch.int32, device=device)
    assert torch.equal(tembed.embedding(indices, weight, sparse=sparse), torch.ones(3, 2, device=device))
    assert torch.equal(tembed.embedding(indices, weight.requires_grad_(), sparse=sparse).detach(), weight[:3].detach())
