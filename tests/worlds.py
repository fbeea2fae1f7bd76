"""Processes on this machine, joined by gloo, that run scenarios together.

`python worlds.py DIRECTORY MODULE...` imports the modules once, forks into as many processes as a world has, one world
after the other, and runs in each process, in the same order, what the modules have registered. Each process writes
down what went wrong. When a scenario failed in any of them, the world ends.
"""

import datetime
import fcntl
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SIZES = (4, 2)  # in this order: the smaller one loads what the larger one has saved
WAIT = datetime.timedelta(seconds=60)  # of a process for the others
SECONDS = 300  # of all worlds


@dataclass(frozen=True)
class World:
    """What a scenario is told: its process's number, how many there are, and a directory that all worlds share."""

    rank: int
    size: int
    directory: Path


@dataclass(frozen=True)
class Scenario:
    """A function of a world that raises if something is wrong, for worlds of these sizes."""

    run: Callable[[World], None]
    sizes: tuple[int, ...]
    interpreted: bool

    def is_for(self, size: int, interpreted: bool) -> bool:
        """Whether a world of this size runs it, kernels interpreted or not."""
        return size in self.sizes and self.interpreted == interpreted


def scenario(
    found: list[Scenario], sizes: tuple[int, ...] = SIZES, interpreted: bool = False
) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    """Registers a function, for Triton's interpreter or for the reference."""

    def register(run: Callable[[World], None]) -> Callable[[World], None]:
        found.append(Scenario(run, sizes, interpreted))
        return run

    return register


def chosen(modules: tuple[str, ...], size: int, interpreted: bool) -> dict[str, Scenario]:
    """The scenarios of a world of this size, by name."""
    found = [its for module in modules for its in importlib.import_module(module).SCENARIOS]
    return {its.run.__name__: its for its in found if its.is_for(size, interpreted)}


def outcomes(modules: tuple[str, ...], directory: Path) -> dict[str, str]:
    """What went wrong, by size and name of scenarios; worlds run once for all who ask by the same directory."""
    directory.mkdir(parents=True, exist_ok=True)
    result = directory / "outcomes.json"
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            result.write_text(json.dumps(_run(modules, directory)))
    found: dict[str, str] = json.loads(result.read_text())
    return found


def _run(modules: tuple[str, ...], directory: Path) -> dict[str, str]:
    command = [sys.executable, __file__, str(directory), *modules]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}  # ranks are forked, and are on the CPU
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=environment
    )
    try:
        printed, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed = f"killed after {SECONDS} seconds\n{process.communicate()[0]}"
    found = {"all": printed if process.returncode else ""}
    for size in SIZES:
        for rank in range(size):
            path = _report(directory, size, rank)
            for name, error in (json.loads(path.read_text()) if path.exists() else {}).items():
                found[f"{size} {name}"] = found.get(f"{size} {name}", "") + (
                    f"process {rank}: {error}" if error else ""
                )
    return found


def _report(directory: Path, size: int, rank: int) -> Path:
    return directory / f"report-{rank}-of-{size}.json"


def _member(modules: tuple[str, ...], world: World) -> None:
    """One process: runs the scenarios until one fails in any."""
    import torch
    from torch import distributed

    from tembed import kernels

    store = distributed.FileStore(str(world.directory / f"store-{world.size}"), world.size)
    distributed.init_process_group("gloo", store=store, rank=world.rank, world_size=world.size, timeout=WAIT)
    found: dict[str, str] = {}
    for name, its in chosen(modules, world.size, kernels.interpreted()).items():
        torch.manual_seed(0)
        try:
            its.run(world)
            found[name] = ""
        except Exception:
            found[name] = traceback.format_exc()
        _report(world.directory, world.size, world.rank).write_text(json.dumps(found))
        store.set(f"{name} {world.rank}", "failed" if found[name] else "passed")
        if any(store.get(f"{name} {rank}") == b"failed" for rank in range(world.size)):
            break
    distributed.destroy_process_group()


def main() -> int:
    """Forks; 1 if a process did not end as it should."""
    import torch._dynamo
    import torch.distributed.checkpoint
    import torch.distributed.tensor  # all of them once for all processes

    from tembed import kernels

    directory, *modules = sys.argv[1:]
    warnings.simplefilter("ignore")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    statuses = []
    for size in SIZES:
        if not chosen(tuple(modules), size, kernels.interpreted()):
            continue
        children = []
        for rank in range(size):
            child = os.fork()
            if not child:
                try:
                    _member(tuple(modules), World(rank, size, Path(directory)))
                except BaseException:
                    traceback.print_exc()
                    sys.stderr.flush()
                    os._exit(1)
                os._exit(0)
            children.append(child)
        statuses += [os.waitpid(child, 0)[1] for child in children]
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(main())
