"""torch.export gives a program of torch's own operations, which runs without tembed, for any length of input."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tembed
from tembed import kernels

pytestmark = pytest.mark.skipif(kernels.interpreted(), reason="exported programs hold none of the kernels")

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "padding": {"padding_idx": 1},
    "scaled": {"scale_grad_by_freq": True},
    "sparse": {"sparse": True, "padding_idx": 2},
    "max_norm": {"max_norm": 1.0},
    "max_norm, p = 1": {"max_norm": 0.5, "norm_type": 1.0, "padding_idx": 0},
}


class Model(torch.nn.Module):
    """A lookup in the middle of other work."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.table = tembed.Embedding(20, 6, **options)
        self.head = torch.nn.Linear(6, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.head(self.table(tokens + 1).relu())
        return out


def exported(model: Model, strict: bool, dtype: torch.dtype = torch.int64) -> torch.export.ExportedProgram:
    length = torch.export.Dim("length", min=2, max=512)
    tokens = torch.zeros(3, 7, dtype=dtype)
    return torch.export.export(model, (tokens,), dynamic_shapes=({1: length},), strict=strict)


@pytest.mark.parametrize(("strict", "dtype"), [(False, torch.int32), (True, torch.int64)], ids=["non-strict", "strict"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_exported_model_does_the_same_before_and_after_it_is_saved(
    options: dict[str, Any], strict: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    model, memory = Model(**options), io.BytesIO()
    program = exported(model, strict, dtype)
    torch.export.save(program, memory)
    memory.seek(0)
    loaded = torch.export.load(memory)
    tokens = torch.randint(0, 19, (3, 11), dtype=dtype)
    wanted = Model(**options)
    wanted.load_state_dict(model.state_dict())
    expected = wanted(tokens)
    for found in (program.module(), loaded.module()):
        assert torch.equal(found(tokens), expected)
        assert torch.equal(found.table.weight, wanted.table.weight)


def test_exported_models_hold_stocks_lookup_and_run_without_tembed(tmp_path: Path) -> None:
    model, tokens = Model(padding_idx=1), torch.randint(0, 19, (3, 5))
    torch.save((tokens, model(tokens).detach()), tmp_path / "expected.pt")
    for strict in (False, True):
        program = exported(model, strict)
        targets = {str(node.target) for node in program.graph.nodes}
        assert "aten.embedding.default" in targets
        assert not any("tembed" in target for target in targets)
        torch.export.save(program, tmp_path / f"strict={strict}.pt2")
    code = (
        "import sys, torch\n"
        "tokens, expected = torch.load('expected.pt')\n"
        "for path in ('strict=False.pt2', 'strict=True.pt2'):\n"
        "    assert torch.equal(torch.export.load(path).module()(tokens), expected), path\n"
        "assert 'tembed' not in sys.modules\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_exported_model_can_be_trained_by_stocks_gradient() -> None:
    model = Model(padding_idx=1)
    tokens = torch.tensor([[0, 0, 3, 4, 4, 18, 9]] * 3)
    trained = exported(model, strict=False).module()
    (wanted,) = torch.autograd.grad(model(tokens).sum(), model.table.weight)
    (found,) = torch.autograd.grad(trained(tokens).sum(), trained.table.weight)
    torch.testing.assert_close(found, wanted)
    assert not found[1].any()
