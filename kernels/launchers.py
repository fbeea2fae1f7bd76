"""Every launcher under one name, for a caller that imports Triton with its first launch and not before."""

from .gather import gather_rows
from .reduce import sum_runs
from .renorm import renorm_rows, targets_dtype
from .reports import mark_bad_indices
from .runs import find_runs, sort_indices
from .tiles import fills_untouched

__all__ = [
    "fills_untouched",
    "find_runs",
    "gather_rows",
    "mark_bad_indices",
    "renorm_rows",
    "sort_indices",
    "sum_runs",
    "targets_dtype",
]
