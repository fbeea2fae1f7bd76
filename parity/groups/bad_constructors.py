"""errors: what the constructor is given wrongly."""

import numpy as np
import torch

from ..bad_inputs import declare
from ..cases import dtype_of
from ..rows import Row
from ..scene import Scene


def on(s: Scene, *shape: int, dtype: str = "float32") -> torch.Tensor:
    """Ones on the device."""
    return torch.ones(*shape, device=s.device).to(dtype_of(dtype))


declare(
    "constructor",
    "What a constructor is given wrongly is refused as torch refuses it.",
    Row(
        "num_embeddings -1",
        lambda s: s.make(-1, 3),
        RuntimeError,
        "Trying to create tensor with negative dimension -1: [-1, 3]",
    ),
    Row(
        "num_embeddings float",
        lambda s: s.make(4.0, 3),
        TypeError,
        "empty(): argument 'size' (position 1) must be tuple of ints, but found element of type",
    ),
    Row(
        "num_embeddings str",
        lambda s: s.make("4", 3),
        TypeError,
        "empty(): argument 'size' (position 1) must be tuple of ints, but found element of type",
    ),
    Row(
        "num_embeddings None",
        lambda s: s.make(None, 3),
        TypeError,
        "empty(): argument 'size' (position 1) must be tuple of ints, but found element of type",
    ),
    Row(
        "num_embeddings past memory",
        lambda s: s.make(2**62, 3),
        RuntimeError,
        "Storage size calculation overflowed with sizes=[4611686018427387904, 3]",
    ),
    Row(
        "embedding_dim -1",
        lambda s: s.make(4, -1),
        RuntimeError,
        "Trying to create tensor with negative dimension -1: [4, -1]",
    ),
    Row(
        "embedding_dim str",
        lambda s: s.make(4, "3"),
        TypeError,
        "empty(): argument 'size' failed to unpack the object at pos 2 with error \"type must be",
    ),
    Row(
        "embedding_dim tuple",
        lambda s: s.make(4, (3, 2)),
        TypeError,
        "empty(): argument 'size' failed to unpack the object at pos 2 with error \"type must be",
    ),
    Row(
        "padding_idx V",
        lambda s: s.make(4, 3, padding_idx=4),
        AssertionError,
        "Padding_idx must be within num_embeddings",
    ),
    Row(
        "padding_idx -V-1",
        lambda s: s.make(4, 3, padding_idx=-5),
        AssertionError,
        "Padding_idx must be within num_embeddings",
    ),
    Row(
        "padding_idx float",
        lambda s: s.make(4, 3, padding_idx=1.0),
        IndexError,
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid",
        moves=("random numbers",),
    ),
    Row(
        "padding_idx str",
        lambda s: s.make(4, 3, padding_idx="1"),
        TypeError,
        "'>' not supported between instances of 'str' and 'int'",
    ),
    Row(
        "padding_idx list",
        lambda s: s.make(4, 3, padding_idx=[1]),
        TypeError,
        "'>' not supported between instances of 'list' and 'int'",
    ),
    Row(
        "padding_idx 0, no rows",
        lambda s: s.make(0, 3, padding_idx=0),
        IndexError,
        "index 0 is out of bounds for dimension 0 with size 0",
    ),
    Row(
        "dtype int64",
        lambda s: s.make(4, 3, dtype=torch.int64),
        RuntimeError,
        "Only Tensors of floating point and complex dtype can require gradients",
    ),
    Row(
        "dtype bool",
        lambda s: s.make(4, 3, dtype=torch.bool),
        RuntimeError,
        "Only Tensors of floating point and complex dtype can require gradients",
    ),
    Row(
        "dtype int64, frozen",
        lambda s: s.make(4, 3, dtype=torch.int64, _freeze=True),
        NotImplementedError,
        "\"…\" not implemented for 'Long'",
    ),
    Row(
        "dtype float8",
        lambda s: s.make(4, 3, dtype=torch.float8_e4m3fn),
        NotImplementedError,
        "\"…\" not implemented for 'Float8_e4m3fn'",
    ),
    Row(
        "dtype str",
        lambda s: s.make(4, 3, dtype="float32"),
        TypeError,
        "empty(): argument 'dtype' must be torch.dtype, not str",
    ),
    Row(
        "device unknown",
        lambda s: s.make(4, 3, device="nowhere"),
        RuntimeError,
        "Expected one of cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia,",
    ),
    Row(
        "_weight of other rows",
        lambda s: s.make(4, 3, _weight=on(s, 5, 3)),
        AssertionError,
        "Shape of weight does not match num_embeddings and embedding_dim",
    ),
    Row(
        "_weight of other columns",
        lambda s: s.make(4, 3, _weight=on(s, 4, 2)),
        AssertionError,
        "Shape of weight does not match num_embeddings and embedding_dim",
    ),
    Row(
        "_weight 1-D",
        lambda s: s.make(4, 3, _weight=on(s, 12)),
        AssertionError,
        "Shape of weight does not match num_embeddings and embedding_dim",
    ),
    Row(
        "_weight list",
        lambda s: s.make(1, 1, _weight=[[1.0]]),
        AttributeError,
        "'list' object has no attribute 'shape'",
    ),
    Row(
        "_weight ndarray",
        lambda s: s.make(4, 3, _weight=np.ones((4, 3))),
        AttributeError,
        "'numpy.ndarray' object has no attribute 'detach'",
    ),
    Row(
        "_weight int64",
        lambda s: s.make(4, 3, _weight=on(s, 4, 3, dtype="int64")),
        RuntimeError,
        "Only Tensors of floating point and complex dtype can require gradients",
    ),
)
