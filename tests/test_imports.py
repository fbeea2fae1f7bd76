"""Imports point one way: module, functional, autograd, ops, kernels. Read from the sources; nothing is run."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["tembed.kernels", "tembed.ops", "tembed.autograd", "tembed.functional", "tembed.module"]
PARTS = {
    "tembed": "tembed",
    "kernels": "tembed.kernels",
    "parity": "tembed.parity",
    "parity/groups": "tembed.parity.groups",
    "parity/instruments": "tembed.parity.instruments",
    "bench": "tembed.bench",
}


def modules() -> dict[str, Path]:
    """Every module of the package, by the name it is imported under."""
    found = {}
    for folder, package in PARTS.items():
        for path in sorted((ROOT / folder).glob("*.py")):
            found[package if path.stem == "__init__" else f"{package}.{path.stem}"] = path
    return found


MODULES = modules()
PACKAGES = set(PARTS.values())
TORCH_FACING = {name: path for name, path in MODULES.items() if path.parent.name == "tembed"}
KERNELS = {name: path for name, path in MODULES.items() if path.parent.name == "kernels"}
SOURCES = sorted({*MODULES.values(), *(ROOT / "tests").rglob("*.py")})


def imported(name: str, path: Path) -> Iterator[str]:
    """What a module imports, anywhere in it, by absolute names; `from a import b` is a.b as well as a."""
    package = name if name in PACKAGES else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def of_package(name: str, path: Path) -> set[str]:
    """The modules of the package that a module imports, apart from the packages that hold them."""
    return {other for other in imported(name, path) if other in MODULES} - {name, "tembed"}


GRAPH = {name: of_package(name, path) for name, path in MODULES.items()}


def reached(name: str) -> set[str]:
    """What a module imports, by way of others too."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = GRAPH[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def code(path: Path) -> str:
    """A source without its comments and docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def test_sources_are_found() -> None:
    assert set(LAYERS) <= set(MODULES)
    assert GRAPH["tembed.module"] == {"tembed.functional"}
    assert "tembed.kernels" in GRAPH["tembed.ops"]
    assert "tembed.kernels.tiles" in GRAPH["tembed.kernels.gather"]


@pytest.mark.parametrize("name", LAYERS)
def test_layer_imports_none_above_it(name: str) -> None:
    above = set(LAYERS[LAYERS.index(name) + 1 :])
    assert reached(name) & above == set()


@pytest.mark.parametrize("name", sorted(set(MODULES) - PACKAGES))
def test_module_does_not_import_itself_by_way_of_others(name: str) -> None:
    assert name not in reached(name)


@pytest.mark.parametrize("name", TORCH_FACING)
def test_package_names_no_triton(name: str) -> None:
    assert re.findall(r".*\btriton\b.*", code(MODULES[name])) == []


@pytest.mark.parametrize("name", TORCH_FACING)
def test_package_needs_neither_parity_nor_bench(name: str) -> None:
    assert [other for other in imported(name, MODULES[name]) if re.match(r"tembed\.(parity|bench)\b", other)] == []


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_name_no_autograd(name: str) -> None:
    found = re.findall(r".*(?:autograd|requires_grad|no_grad|enable_grad).*", code(MODULES[name]))
    assert found == []


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_import_only_themselves_of_the_package(name: str) -> None:
    others = {other for other in imported(name, MODULES[name]) if other.partition(".")[0] == "tembed"}
    assert {other for other in others if not other.startswith("tembed.kernels")} == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_imports_no_folder_by_its_bare_name(path: Path) -> None:
    name = next((name for name, other in MODULES.items() if other == path), f"tests.{path.stem}")
    assert {
        other for other in imported(name, path) if other.partition(".")[0] in {"kernels", "parity", "bench"}
    } == set()
