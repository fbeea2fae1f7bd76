"""Every launcher under one name, for a caller that imports Triton with its first launch and not before."""

from .gather import gather_rows
from .reduce import sum_runs
from .regimes import pick_regime
from .renorm import renorm_rows, targets_dtype
from .runs import number_runs, sort_indices

__all__ = ["gather_rows", "number_runs", "pick_regime", "renorm_rows", "sort_indices", "sum_runs", "targets_dtype"]
