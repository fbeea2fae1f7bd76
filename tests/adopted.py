"""Modules to replace embeddings in, and what tells whose a lookup is."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tembed

STOCK, OURS = nn.Embedding, tembed.Embedding


class Inherits(nn.Embedding):
    """A subclass that changes nothing of the lookup."""


class Scaled(nn.Embedding):
    """As BART's: a lookup and more."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * 4.0


class Own(tembed.Embedding):
    """Somebody's subclass of ours."""


class Model(nn.Module):
    """Tables alone, nested, and one in two places, beside what is none."""

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.words = nn.Embedding(6, 3, padding_idx=1, sparse=True, device=device)
        self.inner = nn.Sequential(nn.Embedding(6, 3, device=device), nn.Linear(3, 3, device=device))
        self.shared = self.words
        self.nothing = None
        self.bags = nn.EmbeddingBag(6, 3, device=device)

    def forward(self, input: Tensor) -> Tensor:
        return self.words(input) + self.shared(input) + self.inner(input)


NAMES = ("words", "shared", "inner.0")
INDICES = torch.tensor([[0, 2, 2], [5, 4, 5]])


def is_ours(module: nn.Module, input: Tensor) -> bool:
    """Whether a lookup is made by tembed, which says more of a bad index; this one is on the CPU or checked for."""
    with tembed.index_checks("immediate"), pytest.raises(IndexError) as raised:
        module(input + 1000)
    return "in a table of" in str(raised.value)


def kept(module: nn.Module) -> dict[str, Any]:
    """What a module holds, each by identity."""
    return {
        name: {key: id(x) for key, x in v.items()} if isinstance(v, dict) else v for name, v in vars(module).items()
    }
