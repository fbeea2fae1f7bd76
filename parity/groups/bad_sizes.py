"""errors: tables without rows, and of more numbers than an int32 counts."""

from collections.abc import Callable
from typing import Any

import torch

from ..bad_inputs import declare
from ..rows import Row
from ..scene import Act, Scene
from .bad_indices import RANGE, named

NO_ROWS = "index_select(): self indexing axis dim should be positive"


def none_of(shape: tuple[int, ...], **options: Any) -> Callable[[Scene], Act]:
    """A lookup in a table without rows."""
    return lambda s: s.call(
        s.keep(torch.zeros(shape, dtype=torch.int64, device=s.device), "input"), s.table(0), **options
    )


declare(
    "no-rows",
    "A table without rows has nothing to look up: a RuntimeError which says how many lookups there were.",
    *(
        Row(name, none_of(shape), RuntimeError, NO_ROWS, f": {count} lookups in a table of no rows", bare=True)
        for name, shape, count in (("0-d", (), 1), ("1-D", (2,), 2), ("2-D", (2, 2), 4))
    ),
    needs="cpu",
)
declare(
    "no-rows-max_norm",
    "With max_norm too, a lookup in a table without rows is that RuntimeError.",
    Row(
        "1-D",
        none_of((2,), max_norm=1.0),
        IndexError,
        "",
        better=(RuntimeError, NO_ROWS + ": 2 lookups in a table of no rows"),
    ),
    deviation=5,
    needs="cpu",
)
declare(
    "no-rows-empty",
    "A table without rows takes an empty input.",
    Row("plain", none_of((2, 0))),
    Row("max_norm", none_of((2, 0), max_norm=1.0)),
)


LARGE = 2**31 + 5


def large(
    *values: int, dtype: str = "int64", rows: int = LARGE, columns: int = 2, **options: Any
) -> Callable[[Scene], Act]:
    """A table of more than 2**31 numbers, of one row in memory."""
    return lambda s: s.call(
        s.indices(*values, dtype=dtype),
        s.keep(torch.arange(1.0, columns + 1, device=s.device).expand(rows, columns), "weight"),
        **options,
    )


declare(
    "large-table",
    "A table of more than 2**31 numbers, by int32 indices too, is looked up as any other.",
    Row("more rows than int32 counts", large(0, 2**31 - 1, dtype="int32")),
    Row("int64 past int32", large(2**31 + 4)),
    Row("numbers past int32", large(0, 2**22 - 1, dtype="int32", rows=2**22, columns=1024)),
)
declare(
    "large-table-range",
    "In such a table a bad index is named as in any other.",
    Row("V", large(0, LARGE), IndexError, RANGE, named(LARGE, [1], [2]).replace("of 41", f"of {LARGE}")),
    Row(
        "least int32",
        large(0, -(2**31), dtype="int32"),
        IndexError,
        RANGE,
        named(-(2**31), [1], [2]).replace("of 41", f"of {LARGE}"),
    ),
    needs="cpu",
)
