"""Embedding: torch.nn.Embedding with another forward."""

import torch
from torch import Tensor

from .functional import embedding


class Embedding(torch.nn.Embedding):
    """out[..., :] = weight[input[...], :]; a drop-in for torch.nn.Embedding, whose constructor this is.

    Arguments, attributes, initial values, state_dict, repr and `from_pretrained` are those of
    torch.nn.Embedding, and `isinstance(module, torch.nn.Embedding)` holds. See `tembed.embedding` for shapes,
    dtypes, errors and the ways in which the result is better than stock's.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The rows of `weight` at `input`: input.shape + (embedding_dim,), in the dtype of `weight`."""
        return embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def __prepare_scriptable__(self) -> torch.nn.Embedding:
        """What torch.jit.script compiles instead: the stock module, on the same weight."""
        stock = torch.nn.Embedding(
            self.num_embeddings,
            self.embedding_dim,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
            _weight=self.weight.detach(),
        )
        stock.weight = self.weight
        return stock.train(self.training)
