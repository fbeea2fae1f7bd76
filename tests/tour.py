"""Every kernel in each of its ways, on few numbers, every result judged: `python tour.py`, on the GPU if there is one.

For tools that watch a process, and slow it down. That nothing is left out is one of the long tests: `make sweep`.
"""

import sys

import torch

import tembed
from tembed import modes
from tembed.kernels.launchers import mark_bad_indices
from tembed.parity import peers
from tembed.parity.compare import bits_of, require, same
from tembed.parity.configuration import Configuration, make_inputs
from tembed.parity.instruments.launches import launches
from tembed.parity.lookups import check_gradient, check_output, check_table
from tembed.parity.setting import hardware
from tembed.parity.subject import Implementation

SINGLE, FEW, MANY = 20, 300, 4200  # lookups: of one chunk; few, and many, with runs across the borders of chunks
WIDE = 17_000  # columns, more than a program of max_norm holds
NORMS = (2.0, 1.0, 0.0, float("inf"), -float("inf"), 3.0)

GRADIENTS = (
    *(
        Configuration(V=V, D=24, shape=(N,), sparse=sparse, scale_grad_by_freq=scale, padding_idx=3)
        for V, N in ((11, SINGLE), (50, FEW), (700, MANY))
        for sparse in (False, True)
        for scale in (False, True)
    ),
    *(Configuration(V=10 * N, D=24, shape=(N,)) for N in (FEW, MANY)),  # zeros all over
)
LAYOUTS = tuple(
    Configuration(V=60, D=20, shape=shape, gradient_strides=strides, sparse=sparse, scale_grad_by_freq=scale)
    for shape, strides in (((FEW,), "padded rows"), ((FEW,), "transposed"), ((15, 20), "dimensions reversed"))
    for sparse in (False, True)
    for scale in (False, True)
)
DTYPES = tuple(
    Configuration(V=40, D=D, shape=(N,), dtype=dtype, sparse=sparse)
    for dtype in ("float16", "bfloat16", "float64")
    for D, N, sparse in ((64, FEW, False), (515, 70, True))
)
TABLES = (
    Configuration(V=40, D=33, shape=(70,), weight_strides="transposed", index_strides="every second row"),
    Configuration(V=300, D=8, shape=(6, 7), dtype="bool", index_dtype="int32"),
)
RENORMS = (
    *(Configuration(V=40, D=24, shape=(FEW,), max_norm=3.0, norm_type=p) for p in NORMS),
    *(Configuration(V=40, D=24, shape=(FEW,), max_norm=3.0, dtype=dtype) for dtype in ("bfloat16", "float64")),
    Configuration(V=40, D=24, shape=(FEW,), max_norm=1e9),
    Configuration(V=40, D=24, shape=(FEW,), max_norm=3.0, weight_strides="every second column"),
    Configuration(V=4, D=WIDE, shape=(6,), max_norm=100.0),
)
CONFIGURATIONS = (*GRADIENTS, *LAYOUTS, *DTYPES, *TABLES, *RENORMS)


def look_up(subject: Implementation, c: Configuration) -> None:
    """A lookup, and its gradient; Mismatch unless they, and the table, are as they should be."""
    x = make_inputs(c, subject.device)
    before = bits_of(x.weight)
    leaf = x.weight.detach().requires_grad_(c.differentiable)
    out = subject.call(x.indices, leaf, **c.options)
    check_table(c, x, before)
    check_output(c, x, out)
    if c.differentiable:
        check_gradient(c, x, torch.autograd.grad(out, leaf, x.grad_output)[0])


def look_up_bad(subject: Implementation, max_norm: float | None) -> None:
    """Bad indices, in the last of several blocks and then in an earlier one too, and the report of the first."""
    c = Configuration(V=40, D=24, shape=(FEW,), max_norm=max_norm)
    x = make_inputs(c, subject.device)
    for position in (FEW - 1, FEW // 2):
        x.indices[position] = 40
        out = subject.call(x.indices, x.weight.detach(), **c.options)
        same(out[position].any().item(), False, "numbers in the row of a bad index")
        said = "nothing"
        try:
            tembed.check_indices()
        except IndexError as error:
            said = str(error)
        require(f"index 40 at position [{position}] of" in said, f"of a bad index at {position} it says: {said}")


def mark_bad(device: str) -> None:
    """What compiled code launches before a lookup, with and without a report."""
    indices = torch.tensor([3, -1, 9, 0], device=device)
    words = torch.zeros(4, dtype=torch.int64, pin_memory=device != "cpu")
    for report in (None, (words, 0, 9)):
        out = torch.empty_like(indices)
        mark_bad_indices(indices, out, 9, report)
        same(out.tolist(), [3, -1, -1, 0], "marked indices")
    same(words.tolist(), [1, 2, -1, 9], "the report")


def tour(device: str) -> None:
    """All of it on a device."""
    subject = peers.find("tembed", device=device)
    with hardware():
        for c in CONFIGURATIONS:
            look_up(subject, c)
        with tembed.index_checks("off"):
            look_up(subject, TABLES[0])
        for max_norm in (None, 1.0):
            look_up_bad(subject, max_norm)
        mark_bad(device)


def main() -> int:
    """Prints the kernels that were launched, and how often; without a GPU, the interpreted ones are taken for its."""
    modes.CPU_RAISES = False
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with launches() as found:
        tour(device)
    names = [launched.kernel for launched in found]
    for name in sorted(set(names)):
        print(f"{name}: {names.count(name)} launches on {device}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
