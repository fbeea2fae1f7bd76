"""`python faults_training.py`: training that is killed, on the CPU."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import torch
from faults_steps import same
from torch import Tensor

import tembed

STEPS, V, D = 6, 30, 4


class Training:
    """A table with dense gradients and one with sparse ones, two optimizers, batches by torch's own generator."""

    def __init__(self, path: Path) -> None:
        torch.manual_seed(1)
        self.path, self.done = path, 0
        self.model = torch.nn.ModuleList([tembed.Embedding(V, D), tembed.Embedding(V, D, sparse=True, max_norm=2.0)])
        dense, sparse = self.model.parameters()
        self.optimizers = [torch.optim.AdamW([dense], lr=0.1), torch.optim.SparseAdam([sparse], lr=0.1)]
        if path.exists():
            saved = torch.load(path)
            self.done = saved["done"]
            self.model.load_state_dict(saved["model"])
            for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            torch.set_rng_state(saved["generator"])

    def step(self) -> None:
        indices = torch.randint(0, V, (8,))
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        sum(table(indices) for table in self.model).square().sum().backward()
        for optimizer in self.optimizers:
            optimizer.step()
        self.done += 1

    def save(self, killed: bool = False) -> None:
        """Writes beside the checkpoint, and takes its name in one operation; killed before that, if it is to be."""
        saved = {
            "done": self.done,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "generator": torch.get_rng_state(),
        }
        beside = self.path.with_suffix(".new")
        torch.save(saved, beside)
        if killed:
            beside.write_bytes(beside.read_bytes()[:100])
            os.kill(os.getpid(), signal.SIGKILL)
        beside.replace(self.path)


def train(path: Path, place: str = "", number: int = 0) -> int:
    """The status of a process that trains from the checkpoint on, to the end or until it is killed at the place."""
    child = os.fork()
    if not child:
        status = 1
        try:
            training = Training(path)
            while training.done < STEPS:
                training.step()
                here = training.done == number
                if here and place == "before saving":
                    os.kill(os.getpid(), signal.SIGKILL)
                training.save(killed=here and place == "while saving")
                if here and place == "after saving":
                    os.kill(os.getpid(), signal.SIGKILL)
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def killed() -> None:
    """Training that was killed, three times over, ends with the very bits of training that was not."""
    with tempfile.TemporaryDirectory() as directory:
        Training(Path(directory, "none")).step()  # what an optimizer imports is imported once for all
        never, often = Path(directory, "never.pt"), Path(directory, "often.pt")
        assert train(never) == 0
        for number, place in ((2, "after saving"), (3, "before saving"), (4, "while saving")):
            assert train(often, place, number) == signal.SIGKILL
        assert torch.load(often)["done"] == 3
        assert train(often) == 0
        wanted, found = torch.load(never), torch.load(often)
        assert found["done"] == wanted["done"] == STEPS
        pairs = [*zip(tensors(wanted), tensors(found), strict=True)]
        assert len(pairs) >= 8
        assert all(same(a, b) for a, b in pairs)


if __name__ == "__main__":
    torch.set_num_threads(1)
    killed()
