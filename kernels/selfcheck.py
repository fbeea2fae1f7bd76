"""Each kernel against torch on a small input: `python -m tembed.kernels.selfcheck DEVICE`."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import torch

from . import WORDS, drives, installed
from .tiles import FEW

V, D, N = 13, 24, 70
MANY = FEW + 70  # sorted by torch, and merged level by level


def _inputs(device: str, N: int = N) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(V, D, generator=generator)
    indices = torch.randint(0, V - 1, (N,), generator=generator)
    indices[::3] = 5  # a row whose lookups cross the borders of chunks
    grad = torch.randint(-8, 8, (N, D), generator=generator).float()
    return weight.to(device), indices.to(device), grad.to(device)


def _gather(device: str) -> bool:
    from .gather import gather_rows

    weight, indices, _ = _inputs(device)
    out = torch.full((N, D), torch.nan, device=device)
    gather_rows(weight, indices, out)
    return torch.equal(out, weight[indices])


def _reports(device: str) -> bool:
    from .gather import gather_rows

    weight, indices, _ = _inputs(device)
    indices[50:52] = torch.tensor([V, -1])
    words = torch.zeros(1 + WORDS, dtype=torch.int64, pin_memory=device != "cpu")
    gather_rows(weight, indices, torch.empty(N, D, device=device), report=(words, 0, V))
    if device != "cpu":
        torch.get_device_module(device).synchronize()
    return words.tolist() == [1, 51, V, V]


def _renorm(device: str) -> bool:
    from .renorm import renorm_rows

    weight, indices, _ = _inputs(device)
    expected = weight.cpu().clone()
    torch.embedding_renorm_(expected, indices.cpu(), 4.0, 2.0)
    out = torch.full((N, D), torch.nan, device=device)
    renorm_rows(weight, indices, out, torch.empty(N, dtype=torch.int32, device=device), 4.0, 2.0)
    return torch.allclose(weight.cpu(), expected, rtol=1e-5, atol=0) and torch.equal(out, weight[indices])


def _runs(device: str, N: int = N) -> bool:
    from .reduce import sum_runs
    from .runs import find_runs

    _, indices, grad = _inputs(device, N)
    runs = find_runs(indices, V, -1)
    out = torch.full((len(runs.rows), D), torch.nan, device=device)
    sum_runs(runs.keys, runs.order, grad, out, scale=False, runs=runs)
    sums = torch.zeros(V, D).index_add_(0, indices.cpu(), grad.cpu())
    return torch.equal(runs.rows, indices.unique()) and torch.equal(out.cpu(), sums[runs.rows.cpu()])


def _sum(device: str, N: int = N) -> bool:
    from .reduce import sum_runs
    from .runs import sort_indices

    _, indices, grad = _inputs(device, N)
    out = torch.full((V, D), torch.nan, device=device)
    sum_runs(*sort_indices(indices, V, -1), grad, out, scale=False, fill=True)
    return torch.equal(out.cpu(), torch.zeros(V, D).index_add_(0, indices.cpu(), grad.cpu()))


CHECKS: dict[str, Callable[[str], bool]] = {
    "gather": _gather,
    "reports": _reports,
    "max_norm": _renorm,
    "sorted runs": _runs,
    "segmented sum": _sum,
    "many runs": partial(_runs, N=MANY),
    "sum of many": partial(_sum, N=MANY),
}


def lines(device: str) -> Iterator[str]:
    """A line for each kernel, run on the device, or in an interpreter on the CPU where kernels do not run on it."""
    if not installed():
        yield "kernels: Triton is not installed"
    elif not drives(device):
        environment = {**os.environ, "TRITON_INTERPRET": "1"}
        command = [sys.executable, "-W", "ignore", "-m", "tembed.kernels.selfcheck", "cpu"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        yield from done.stdout.splitlines() or [f"kernels: FAILED to start: {done.stderr.strip()[-500:]}"]
    else:
        for name, check in CHECKS.items():
            try:
                outcome = "ok" if check(device) else "FAILED: wrong result"
            except Exception as error:
                outcome = f"FAILED: {type(error).__name__}: {error}"
            yield f"{name:<14} {outcome}"


if __name__ == "__main__":
    print(*lines(sys.argv[1] if len(sys.argv) > 1 else "cpu"), sep="\n")
