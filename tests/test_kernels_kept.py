"""Rows looked up by launches that are kept and by those that are not, in turns."""

import pytest
import torch
from lookups import TENSORS

from tembed import ops


@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_rows_are_right_whatever_was_looked_up_before(max_norm: float | None, device: str) -> None:
    for name in [*TENSORS, *TENSORS]:
        weight, indices = (x.to(device) for x in TENSORS[name]())
        out = ops.lookup(weight, indices) if max_norm is None else ops.renorm_lookup(weight, indices, max_norm, 2.0)
        assert torch.equal(out, weight[indices.long()]), name
