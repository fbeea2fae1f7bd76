"""`python -m tembed`: versions, devices, the path that each takes, and a self-check of every kernel."""

import platform
import sys

import torch

import tembed
from tembed import kernels, modes
from tembed.kernels import selfcheck


def _devices() -> list[tuple[str, str]]:
    found = [("cpu", platform.machine())]
    for name in kernels.ACCELERATORS:
        module = getattr(torch, name)
        if module.is_available():
            found += [(f"{name}:{i}", module.get_device_name(i)) for i in range(module.device_count())]
    return found


def _module_agrees(device: str) -> bool:
    indices = torch.tensor([[1, 3], [3, 0]], device=device)
    results = []
    for cls in (torch.nn.Embedding, tembed.Embedding):
        module = cls(5, 4, sparse=True, _weight=torch.arange(20.0, device=device).view(5, 4))
        out = module(indices)
        out.backward(torch.arange(16.0, device=device).view(2, 2, 4))
        assert module.weight.grad is not None
        results.append((out, module.weight.grad.to_dense()))
    return all(torch.equal(ours, stock) for stock, ours in zip(*results, strict=True))


def main() -> int:
    """Prints the report; 1 if a check failed."""
    versions = f"torch {torch.__version__}, {kernels.version()}, Python {platform.python_version()}"
    print(f"tembed {tembed.__version__}, {versions}")
    for name, description in _devices():
        print(f"  {name:<8} {tembed.path(name):<22} {description}")
    print(f"bad indices: at the call on cpu, on accelerators {modes.mode()}")
    device = _devices()[-1][0]
    where = device if kernels.drives(torch.device(device).type) else "cpu, interpreted"
    print(f"self-check on {where}:")
    lines = [*selfcheck.lines(torch.device(device).type)]
    lines.append(f"{'module':<14} {'ok' if _module_agrees(device) else 'FAILED'}")
    print(*(f"  {line}" for line in lines), sep="\n")
    return int(any("FAILED" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main())
