"""A whole lookup as plain data, and the tensors that it stands for."""

from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Generator, Tensor

from . import oracle
from .cases import dtype_of
from .inputs import EXPANDED, LAYOUTS, make_gradient, make_indices

STRIDES = {**LAYOUTS, **EXPANDED}


@dataclass(frozen=True)
class Configuration:
    """One table [V, D], indices of one shape, the strides of each tensor, and the options of one lookup."""

    V: int = 8
    D: int = 5
    shape: tuple[int, ...] = (6, 7)
    distribution: str = "zipf"
    dtype: str = "float32"
    index_dtype: str = "int64"
    weight_strides: str = "contiguous"
    index_strides: str = "contiguous"
    gradient_strides: str = "contiguous"
    padding_idx: int | None = None
    max_norm: float | None = None
    norm_type: float = 2.0
    scale_grad_by_freq: bool = False
    sparse: bool = False
    integers: bool = False
    seed: int = 0

    @classmethod
    def of(cls, data: dict[str, Any]) -> "Configuration":
        """From plain data, of JSON say; ValueError for a name that it does not have."""
        if unknown := set(data) - {field.name for field in fields(cls)}:
            raise ValueError(f"a configuration has no {', '.join(sorted(unknown))}")
        return cls(**{**data, "shape": tuple(data.get("shape", cls.shape))})

    def data(self) -> dict[str, Any]:
        """What differs from the defaults."""
        return {name: value for name, value in asdict(self).items() if value != getattr(Configuration, name)}

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of the lookup."""
        names = ("padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse")
        return {name: getattr(self, name) for name in names}

    @property
    def differentiable(self) -> bool:
        """Whether a table of this type has a gradient."""
        return self.dtype in oracle.ROUNDOFF


@dataclass(frozen=True)
class Inputs:
    """The tensors of a configuration, the same every time they are made."""

    indices: Tensor
    weight: Tensor
    grad_output: Tensor


def make_inputs(c: Configuration, device: str) -> Inputs:
    """Tables are normal, with rows of different sizes; `integers` makes gradients whose sums are exact."""
    generator = Generator().manual_seed(c.seed)
    weight = torch.randn(c.V, c.D, generator=generator) * torch.linspace(0.5, 2, c.V)[:, None]
    if c.dtype == "float4_e2m1fn_x2":  # two to a byte, and nothing converts to it
        weight = torch.randint(0, 256, (c.V, c.D), generator=generator, dtype=torch.uint8).view(dtype_of(c.dtype))
    indices = make_indices(c.distribution, c.shape, c.V, generator)
    if c.integers:
        grad_output = torch.randint(-4, 5, (*c.shape, c.D), generator=generator).to(dtype_of(c.dtype))
    elif c.differentiable:
        grad_output = make_gradient((*c.shape, c.D), dtype_of(c.dtype), generator)
    else:
        grad_output = torch.empty(0)
    return Inputs(
        STRIDES[c.index_strides](indices.to(device, dtype_of(c.index_dtype))),
        STRIDES[c.weight_strides](weight.to(device, dtype_of(c.dtype))),
        STRIDES[c.gradient_strides](grad_output.to(device)) if c.differentiable else grad_output,
    )
