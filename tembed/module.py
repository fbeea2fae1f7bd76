"""Embedding: torch.nn.Embedding with another forward."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch._jit_internal import is_scripting
from torch.nn import functional as F

from .functional import embedding

if TYPE_CHECKING:
    from typing_extensions import Self


class Embedding(torch.nn.Embedding):
    """out[..., :] = weight[input[...], :]; a drop-in for torch.nn.Embedding, whose constructor this is.

    Arguments, attributes, initial values, state_dict, repr and `from_pretrained` are those of
    torch.nn.Embedding, and `isinstance(module, torch.nn.Embedding)` holds. See `tembed.embedding` for shapes,
    dtypes, errors and the ways in which the result is better than stock's.
    """

    if TYPE_CHECKING:  # torch's own has no types

        @classmethod
        def from_pretrained(  # noqa: D102
            cls,
            embeddings: Tensor,
            freeze: bool = True,
            padding_idx: int | None = None,
            max_norm: float | None = None,
            norm_type: float = 2.0,
            scale_grad_by_freq: bool = False,
            sparse: bool = False,
        ) -> Self: ...

    def forward(self, input: Tensor) -> Tensor:
        """The rows of `weight` at `input`: input.shape + (embedding_dim,), in the dtype of `weight`."""
        if is_scripting():  # TorchScript compiles torch's own functions only
            return F.embedding(
                input,
                self.weight,
                self.padding_idx,
                self.max_norm,
                self.norm_type,
                self.scale_grad_by_freq,
                self.sparse,
            )
        return embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )
