"""`python faults_processes.py SCENARIO...`: processes that were forked or spawned look up and train, on the CPU."""

import multiprocessing
import os
import signal
import sys
import threading
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import tembed
from tembed import kernels

V, D, SECONDS = 9, 4, 30
# the interpreter takes a tenth of a second for each
OPTIONS: list[dict[str, Any]] = [{"sparse": True, "max_norm": 5.0}]
if not kernels.interpreted():
    OPTIONS += [{"padding_idx": 3}, {"sparse": True}, {"max_norm": 5.0}]
INDICES = [1, 3, 3, 0, 8, 2]


def work(seed: int = 0) -> list[list[float]]:
    """What lookups, max_norm and both gradients give."""
    weight = torch.arange(float(V * D)).view(V, D).sub(7).requires_grad_()
    indices = torch.tensor(INDICES).roll(seed)
    found: list[list[float]] = []
    for options in OPTIONS:
        weight.grad = None
        out = tembed.embedding(indices, weight, **options)
        out.backward(torch.arange(float(out.numel())).view_as(out))
        assert weight.grad is not None
        found += [out.flatten().tolist(), weight.grad.to_dense().flatten().tolist()]
    return [*found, weight.flatten().tolist()]


def in_a_fork(wanted: list[list[float]]) -> int:
    """0 if a forked child finds the same in time."""
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(SECONDS)
            status = int(work() != wanted)
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def forked() -> None:
    """Children that are forked after the import and before a lookup find what their parent finds; so do later ones."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, repr(work()).encode())
        os._exit(0)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    with os.fdopen(read) as pipe:
        assert pipe.read() == repr(wanted := work())
    assert in_a_fork(wanted) == 0
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(work, range(2)).get(SECONDS) == [work(seed) for seed in range(2)]


def forked_while_a_thread_looks_up() -> None:
    """A child that is forked while another thread is in a launch."""
    global SECONDS
    SECONDS = 6
    wanted, stop = work(), threading.Event()

    def look_up() -> None:
        while not stop.is_set():
            work()

    thread = threading.Thread(target=look_up)
    thread.start()
    try:
        assert all(in_a_fork(wanted) == 0 for _ in range(5))
    finally:
        stop.set()
        thread.join()


class Rows(Dataset[Tensor]):
    """Looks up where items are made: in the loader's workers."""

    def __init__(self, options: dict[str, Any]) -> None:
        table = torch.zeros(V, D)
        table[:, 1] = torch.arange(V)  # scaled to 1, no row is over once more: 1 / (norm + 1e-7) rounds down
        self.table = tembed.Embedding.from_pretrained(table, **options)

    def __len__(self) -> int:
        return 8

    def __getitem__(self, item: int) -> Tensor:
        return self.table(torch.tensor([item, V - 1 - item]))


def load(context: str, workers: int) -> None:
    """A loader's workers give the rows that one process gives."""
    for options in ({}, {"max_norm": 1.0}) if context == "fork" else ({"max_norm": 1.0},):
        wanted = torch.stack([Rows(options)[item] for item in range(len(Rows(options)))])
        loader = DataLoader(
            Rows(options), batch_size=2, num_workers=workers, multiprocessing_context=context, timeout=60
        )
        assert torch.equal(torch.cat([*loader]), wanted)


def loaders() -> None:
    load("fork", 2)


def spawned_loader() -> None:
    load("spawn", 1)


def forkservers_loader() -> None:
    multiprocessing.set_forkserver_preload([__name__, "torch", "tembed"])
    load("forkserver", 2)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for scenario in sys.argv[1:]:
        globals()[scenario]()
