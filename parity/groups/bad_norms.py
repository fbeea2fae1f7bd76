"""errors: numbers of max_norm and norm_type that look wrong, all of which torch takes."""

from typing import Any

import numpy as np
import torch

from ..bad_inputs import declare
from ..rows import Row
from ..scene import Act, Scene, lookup


def normed(value: Any, norm_type: Any = 2.0, numbers: float | None = None) -> Any:
    """A lookup with this max_norm and norm_type; of rows with `numbers` in one place."""

    def prepare(s: Scene) -> Act:
        weight = s.table()
        if numbers is not None:
            weight[1, 1] = numbers
        return s.call(s.indices(), weight, max_norm=value, norm_type=norm_type)

    return prepare


INF, NAN = float("inf"), float("nan")
declare(
    "norm-values",
    "Whatever number max_norm and norm_type are, and whatever the rows hold, rows are scaled as torch scales them.",
    Row("max_norm 0", normed(0.0)),
    Row("max_norm -1", normed(-1.0)),
    Row("max_norm NaN", normed(NAN)),
    Row("max_norm inf", normed(INF)),
    Row("max_norm -inf", normed(-INF)),
    Row("max_norm True", normed(True)),
    Row("max_norm False", normed(False)),
    Row("max_norm int", normed(3)),
    Row("max_norm numpy float", normed(np.float32(3))),
    Row("max_norm 0-d tensor", normed(torch.tensor(3.0))),
    Row(
        "max_norm tensor with gradient",
        normed(torch.tensor(3.0, requires_grad=True)),
        TypeError,
        "'max_norm' (position 3) must be float, not Tensor",
    ),
    Row("norm_type 0", normed(2.0, 0)),
    Row("norm_type -1", normed(0.5, -1.0)),
    Row("norm_type 0.5", normed(3.0, 0.5)),
    Row("norm_type NaN", normed(3.0, NAN)),
    Row("norm_type inf", normed(3.0, INF)),
    Row("norm_type -inf", normed(3.0, -INF)),
    Row("norm_type True", normed(3.0, True)),
    Row("row with NaN", normed(1.0, 2.0, NAN)),
    Row("row with inf", normed(1.0, 2.0, INF)),
    Row("row with -inf, norm_type 1", normed(1.0, 1.0, -INF)),
    Row("norm past float32", normed(1.0, 2.0, 3e38)),
    Row("norm_type str, no max_norm", lookup(norm_type="2")),
    Row("norm_type None, no max_norm", lookup(norm_type=None)),
)
