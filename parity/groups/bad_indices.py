"""errors: indices outside [0, V), and what they leave behind.

On an accelerator torch's own way is an assertion on the device, which ends the process: tables there are not asked.
"""

from dataclasses import replace
from typing import Any

import torch

from ..bad_inputs import declare
from ..rows import Row
from ..scene import Act, Scene

RANGE = "index out of range in self"
V = 41  # a number that the message has for no other reason
MOST, LEAST = 2**63 - 1, -(2**63)


def named(value: int, at: list[int], shape: list[int]) -> str:
    """What is said of a bad index after torch's words."""
    return f": index {value} at position {at} of an input of shape {shape}, in a table of {V} rows"


def bad(name: str, value: int, dtype: str = "int64", grad: bool = False, table: str = "float32", **options: Any) -> Row:
    """A good index and this one; in the words of the lookup, whatever max_norm met first."""

    def prepare(s: Scene) -> Act:
        return s.call(s.indices(0, value, dtype=dtype), s.table(V, 2, table, grad), **options)

    adds = named(value, [1], [2])
    if "max_norm" not in options:
        return Row(name, prepare, IndexError, RANGE, adds)
    # -41 to -1 are rows from the end to torch's max_norm, which scales them
    text = RANGE if -V <= value < 0 else f"select(): index {value} out of range"
    return Row(name, prepare, IndexError, text, better=(IndexError, RANGE + adds))


declare(
    "index-range",
    "An index outside [0, V), the least and the greatest of its dtype included, is an IndexError which gives it, its "
    "position and V; negative ones do not count from the end.",
    bad("-1", -1),
    bad("-V", -V),
    bad("V", V),
    bad("past 32 bits", 2**32 + 1),
    bad("past 32 bits, negative", -(2**32) + 1),
    bad("greatest int64", MOST),
    bad("least int64", LEAST),
    bad("-1, int32", -1, "int32"),
    bad("V, int32", V, "int32"),
    bad("greatest int32", 2**31 - 1, "int32"),
    bad("least int32", -(2**31), "int32"),
    bad("-1, padding_idx -1", -1, padding_idx=-1),
    bad("V, trained", V, grad=True),
    bad("V, trained, padding_idx", V, grad=True, padding_idx=1),
    bad("V, scale_grad_by_freq", V, grad=True, scale_grad_by_freq=True),
    bad("V, sparse", V, grad=True, sparse=True),
    bad("-1, sparse", -1, grad=True, sparse=True),
    bad("V, no_grad", V, grad=True, under=torch.no_grad),
    bad("V, inference_mode", V, grad=True, under=torch.inference_mode),
    bad("V, autocast", V, grad=True, under=lambda: torch.autocast("cpu", torch.bfloat16)),
    needs="cpu",
)


def far_scaled() -> Row:
    """A bad index behind hundreds of good ones, whose rows are over."""
    row = bad("V, far", V, max_norm=1.0)
    at = RANGE + f": index {V} at position [700] of an input of shape [1000], in a table of {V} rows"
    far = [V if place == 700 else place % V for place in range(1000)]
    return replace(row, prepare=lambda s: s.call(s.indices(*far), s.table(V, 2), max_norm=1.0), better=(IndexError, at))


declare(
    "index-changes-nothing",
    "With max_norm a bad index is found before any row is scaled: the table and its version stay as they are.",
    bad("-1", -1, max_norm=1.0),
    bad("V", V, max_norm=1.0),
    bad("greatest int64", MOST, max_norm=1.0),
    bad("least int64", LEAST, max_norm=1.0),
    bad("-1, int32", -1, "int32", max_norm=1.0),
    bad("greatest int32", 2**31 - 1, "int32", max_norm=1.0),
    bad("V, trained", V, grad=True, max_norm=1.0),
    bad("V, trained, sparse", V, grad=True, max_norm=1.0, sparse=True),
    bad("V, padding_idx", V, max_norm=1.0, padding_idx=-1),
    bad("V, norm_type inf", V, max_norm=1.0, norm_type=float("inf")),
    bad("V, no row over", V, max_norm=1e9),
    bad("V, float16", V, table="float16", max_norm=1.0),
    bad("V, bfloat16", V, table="bfloat16", max_norm=1.0),
    far_scaled(),
    bad("V, no_grad", V, grad=True, max_norm=1.0, under=torch.no_grad),
    bad("V, inference_mode", V, grad=True, max_norm=1.0, under=torch.inference_mode),
    deviation=5,
    needs="cpu",
)
