"""The package: it imports without Triton, imports point one way, and the wheel holds what it should."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tembed

ROOT = Path(__file__).resolve().parents[1]

# Triton as on a machine that never had it: no finder knows it, no module of it is loaded.
WITHOUT_TRITON = """
import sys
class Without:
    def __init__(self, finder): self.finder = finder
    def __getattr__(self, name): return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] == "triton" else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
try:
    import triton
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("triton is still there")
"""
USE = """
import torch, tembed
module = tembed.Embedding(5, 3, padding_idx=1, max_norm=1.0, scale_grad_by_freq=True, sparse=True)
module(torch.tensor([[1, 2], [2, 4]])).sum().backward()
assert module.weight.grad.indices().tolist() == [[2, 4]], module.weight.grad
assert module.weight.grad.values().tolist() == [[1.0] * 3] * 2, module.weight.grad
dense = tembed.Embedding(5, 3, dtype=torch.bfloat16)
dense(torch.tensor([2, 2])).sum().backward()
assert dense.weight.grad.sum().item() == 6
"""


def run(program: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    inherited = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={**inherited, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("environment", [{}, {"TRITON_INTERPRET": "1"}], ids=["plain", "TRITON_INTERPRET=1"])
def test_package_works_without_triton(environment: dict[str, str]) -> None:
    paths = "print([tembed.path(device) for device in ('cpu', 'cuda', 'xpu', 'mps', 'meta')])"
    assert run(WITHOUT_TRITON + USE + paths, **environment) == str(["reference"] * 5)


def test_package_imports_torch_and_itself_alone() -> None:
    program = """
import sys, torch
before = set(sys.modules)
import tembed
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(names - {"tembed", "torch"} - sys.stdlib_module_names))
print([name for name in ("triton", "torch._dynamo", "torch._inductor") if name in sys.modules])
print([name for name in sys.modules if name.startswith(("tembed.parity", "tembed.bench", "tembed.kernels."))])
"""
    assert run(program) == "[]\n[]\n[]"


def test_package_uses_no_triton_for_the_reference() -> None:
    assert run(USE + "import sys; print('triton' in sys.modules, tembed.path('cpu'))") == "False reference"


@pytest.mark.skipif(not tembed.kernels.installed(), reason="needs Triton")
def test_path_names_what_runs() -> None:
    program = "import tembed; print([tembed.path(device) for device in ('cpu', 'cuda', 'mps')])"
    assert run(program) == str(["reference", "kernels", "reference"])
    interpreter = "kernels (interpreter)"
    assert run(program, TRITON_INTERPRET="1") == str([interpreter, interpreter, "reference"])


def test_no_file_is_imported_under_two_names() -> None:
    names: dict[str, set[str]] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and os.path.realpath(file).startswith(f"{ROOT}{os.sep}") and ".venv" not in file:
            names.setdefault(os.path.realpath(file), set()).add(name)
    assert str(ROOT / "kernels" / "__init__.py") in names
    assert {file: found for file, found in names.items() if len(found) > 1} == {}
    assert {"kernels", "parity", "bench"}.isdisjoint(set().union(*names.values()))


def test_version_is_stated_once_alike() -> None:
    (stated,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert tembed.__version__ == stated


def test_version_is_the_installed_one() -> None:
    try:
        installed = importlib.metadata.version("tembed")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("tembed is used without being installed")
    assert tembed.__version__ == installed


def test_every_public_name_exists() -> None:
    assert {"Embedding", "embedding", "index_checks", "set_index_checks", "path"} <= set(tembed.__all__)
    assert [name for name in tembed.__all__ if not hasattr(tembed, name)] == []


def committed() -> list[Path]:
    """The files that git has or would take; skips where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_place_on_someones_machine() -> None:
    place = re.compile(r"(?<![\w./:-])/(?:home|root|Users|work|workspace)/\w")
    found = []
    for path in committed():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {line}" for line in text.splitlines() if place.search(line)]
    assert found == []


def test_links_in_the_package_are_relative() -> None:
    links = {path.name: os.readlink(path) for path in (ROOT / "tembed").iterdir() if path.is_symlink()}
    assert links == {name: os.path.join("..", name) for name in ("bench", "kernels", "parity")}


@pytest.mark.slow
def test_wheel_holds_the_package(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77", reason="building a wheel needs setuptools")
    source = tmp_path / "source"
    leave = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "__pycache__")
    shutil.copytree(ROOT, source, symlinks=True, ignore=leave)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q"]
    subprocess.run([*pip, "-w", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("tembed-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {"tembed/py.typed"} | {f"tembed/{path.name}" for path in (ROOT / "tembed").glob("*.py")}
    for folder in ("kernels", "parity", "parity/groups", "parity/instruments", "bench"):
        expected |= {f"tembed/{folder}/{path.name}" for path in (ROOT / folder).glob("*.py")}
    assert expected <= names
    assert [name for name in names if name.endswith("/LICENSE")] != []
    assert {name.partition("/")[0] for name in names} == {"tembed", f"tembed-{tembed.__version__}.dist-info"}
