"""errors: arguments that are no tensors."""

import numpy as np
import torch

from ..bad_inputs import declare
from ..rows import Row

declare(
    "input-type",
    "An input that is no tensor is refused, by the name of the argument and its type where torch gives them.",
    Row("list", lambda s: s.call([1, 2], s.table()), TypeError, "'indices' (position 2) must be Tensor, not list"),
    Row(
        "list of lists",
        lambda s: s.call([[1], [2]], s.table()),
        TypeError,
        "'indices' (position 2) must be Tensor, not list",
    ),
    Row("tuple", lambda s: s.call((1, 2), s.table()), TypeError, "'indices' (position 2) must be Tensor, not tuple"),
    Row("None", lambda s: s.call(None, s.table()), TypeError, "'indices' (position 2) must be Tensor, not NoneType"),
    Row("int", lambda s: s.call(1, s.table()), TypeError, "'indices' (position 2) must be Tensor, not int"),
    Row("float", lambda s: s.call(1.0, s.table()), TypeError, "'indices' (position 2) must be Tensor, not float"),
    Row("str", lambda s: s.call("1", s.table()), TypeError, "'indices' (position 2) must be Tensor, not str"),
    Row(
        "ndarray",
        lambda s: s.call(np.array([1, 2]), s.table()),
        TypeError,
        "'indices' (position 2) must be Tensor, not numpy.ndarray",
    ),
    Row(
        "numpy integer",
        lambda s: s.call(np.int64(1), s.table()),
        TypeError,
        "'indices' (position 2) must be Tensor, not numpy.int64",
    ),
    Row(
        "list of tensors",
        lambda s: s.call([s.indices()], s.table()),
        TypeError,
        "'indices' (position 2) must be Tensor, not list",
    ),
    Row(
        "list, trained table",
        lambda s: s.call([1, 2], s.table(grad=True)),
        TypeError,
        "'indices' (position 2) must be Tensor, not list",
    ),
    Row(
        "list, sparse",
        lambda s: s.call([1, 2], s.table(grad=True), sparse=True),
        TypeError,
        "'indices' (position 2) must be Tensor, not list",
    ),
    Row(
        "list, max_norm",
        lambda s: s.call([1, 2], s.table(), max_norm=1.0),
        AttributeError,
        "'list' object has no attribute 'contiguous'",
    ),
    Row(
        "None, max_norm",
        lambda s: s.call(None, s.table(), max_norm=1.0),
        AttributeError,
        "'NoneType' object has no attribute 'contiguous'",
    ),
    Row(
        "ndarray, max_norm",
        lambda s: s.call(np.array([1, 2]), s.table(), max_norm=1.0),
        AttributeError,
        "'numpy.ndarray' object has no attribute 'contiguous'",
    ),
)
declare(
    "weight-type",
    "A table that is no tensor is refused, by the name of the argument and its type where torch gives them.",
    Row("list", lambda s: s.call(s.indices(), [[1.0]]), TypeError, "'weight' (position 1) must be Tensor, not list"),
    Row("None", lambda s: s.call(s.indices(), None), TypeError, "'weight' (position 1) must be Tensor, not NoneType"),
    Row("int", lambda s: s.call(s.indices(), 4), TypeError, "'weight' (position 1) must be Tensor, not int"),
    Row(
        "ndarray",
        lambda s: s.call(s.indices(), np.ones((4, 3))),
        TypeError,
        "'weight' (position 1) must be Tensor, not numpy.ndarray",
    ),
    Row(
        "module instead of its weight",
        lambda s: s.call(s.indices(), torch.nn.Linear(3, 4)),
        TypeError,
        "'weight' (position 1) must be Tensor, not Linear",
    ),
    Row(
        "None, padding_idx",
        lambda s: s.call(s.indices(), None, padding_idx=1),
        AttributeError,
        "'NoneType' object has no attribute 'size'",
    ),
    Row(
        "list, padding_idx negative",
        lambda s: s.call(s.indices(), [[1.0]], padding_idx=-1),
        AttributeError,
        "'list' object has no attribute 'size'",
    ),
    Row(
        "None, max_norm",
        lambda s: s.call(s.indices(), None, max_norm=1.0),
        AttributeError,
        "'NoneType' object has no attribute 'detach'",
    ),
    Row(
        "ndarray, max_norm",
        lambda s: s.call(s.indices(), np.ones((4, 3)), max_norm=1.0),
        AttributeError,
        "'numpy.ndarray' object has no attribute 'detach'",
    ),
    Row(
        "input and weight swapped",
        lambda s: s.call(s.table(), s.indices()),
        RuntimeError,
        "'weight' must be 2-D",
        ", got shape [3]",
        bare=True,
    ),
    Row(
        "input and weight swapped, both 2-D",
        lambda s: s.call(s.table(), s.indices([1, 2])),
        RuntimeError,
        "Expected tensor for argument #1 'indices' to have one of the following scalar types:",
    ),
)
