"""The tour of the kernels leaves none out, and none of the ways that a constant gives it."""

from itertools import product
from typing import Any

import pytest
import torch
import tour

from tembed import kernels
from tembed.parity import peers
from tembed.parity.subject import Implementation, Mismatch

# Constants by which a kernel is another one.
WAYS = ("REPORT", "PACKED", "NORM", "SCALE", "NUMBER", "LAYOUT", "MARK", "BLOCK_V")
SCALES = NUMBERS = (False, True)


def every_way() -> set[tuple[str, tuple[Any, ...]]]:
    """Names of kernels, and the constants of WAYS that they have, in that order."""
    from tembed.kernels.norms import NORMS, POWER

    renorms = {(True, True, kind.value) for kind in (*NORMS.values(), POWER)} | {(True, False, NORMS[2.0].value)}
    finishes = product(SCALES, ((False, False), (True, False), (False, True)))  # NUMBER, and whether it fills
    return {
        *(("gather_rows_kernel", way) for way in ((True, True), (True, False), (False, False))),
        *(("renorm_rows_kernel", way) for way in renorms),
        *(("write_back_rows_kernel", (packed,)) for packed in (True, False)),
        *(("sum_chunks_kernel", way) for way in product(SCALES, NUMBERS, (0, 1, 2))),
        *(("finish_kernel", (scale, *way)) for scale, way in finishes),
        *(("merge_partials_kernel", (scale,)) for scale in SCALES),
        *(("rank_lookups_kernel", (mark,)) for mark in (False, True)),
        *(("mark_bad_indices_kernel", (report,)) for report in (False, True)),
        *((f"{name}_kernel", ()) for name in ("encode_keys", "mark_starts", "write_unique")),
    }


@pytest.mark.slow
def test_every_kernel_is_launched_in_every_way(deferring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    found: set[tuple[str, tuple[Any, ...]]] = set()
    pieces = set()

    def record(original: Any) -> Any:
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            named = {**dict(zip(self.arg_names, args, strict=False)), **kwargs}
            name = self.fn.__name__
            found.add((name, tuple(named[way] if way != "BLOCK_V" else named[way] > 0 for way in WAYS if way in named)))
            pieces.update({name} if named.get("BLOCK_D", 0) < named.get("D", 0) else ())
            return original(self, *args, **kwargs)

        return run

    for kind in (InterpretedFunction, JITFunction):
        monkeypatch.setattr(kind, "run", record(kind.run))
    tour.tour(deferring)
    assert every_way() - found == set()
    assert {"gather_rows_kernel", "renorm_rows_kernel", "write_back_rows_kernel", "sum_chunks_kernel"} <= pieces


def test_a_wrong_result_ends_it(deferring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernels.drives(deferring)
    monkeypatch.setattr(peers, "find", lambda spec, device: Implementation("wrong", None, wrong, device))

    def wrong(indices: torch.Tensor, weight: torch.Tensor, **options: Any) -> torch.Tensor:
        return weight[indices] + 1

    with pytest.raises(Mismatch, match="are not the table's"):
        tour.tour(deferring)
