"""What the package keeps for the life of a process: by which keys, and how much at most."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tembed
from tembed import kernels, ops
from tembed.kernels import WORDS, tiles

ROOT = Path(__file__).resolve().parents[1]
# Functions that keep what they returned, and why that ends.
KEPT = {
    "kernels/__init__.py installed": "no arguments",
    "kernels/__init__.py interpreted": "no arguments",
    "kernels/__init__.py drives": "types of devices",
    "kernels/tiles.py pick_tile": "lengths of rows and sizes of elements",
    "kernels/tiles.py pick_row_tiles": "lengths of rows and sizes of elements",
    "kernels/tiles.py pick_fill": "lengths of rows and sizes of elements",
    "kernels/tiles.py pick_walk": "lengths of rows and sizes of elements",
    "tembed/ops.py _launchers": "no arguments",
    "tembed/placements.py pick_layout": "its maxsize",
}
# Attributes and variables of modules that begin as an empty dict, list or set, or as a subclass.
COLLECTIONS = {
    "kernels/launch.py self._kept": "Launch.MOST",
    "tembed/names.py _names": "modules that are alive",
    "tembed/slots.py memories": "devices",
    "tembed/slots.py _inherited": "devices of a parent, once a fork",
    "tembed/slots.py self.kinds": "reports.KINDS",
}
TILES = (tiles.pick_tile, tiles.pick_row_tiles, tiles.pick_fill, tiles.pick_walk)


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("tembed", "kernels"):
        for path in sorted((ROOT / folder).glob("*.py")):
            yield f"{folder}/{path.name}", ast.parse(path.read_text())


def keeping(tree: ast.Module) -> Iterator[str]:
    """The functions that keep what they return."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any("cache" in ast.unparse(x) for x in node.decorator_list):
            yield node.name


def growing(tree: ast.Module) -> Iterator[str]:
    """What begins empty and outlives a call: variables of the module, attributes of objects."""
    empty = {"{}", "[]", "set()", "dict()", "list()"}
    makers = ("defaultdict", "OrderedDict", "deque", "WeakKeyDictionary", "WeakValueDictionary", "WeakSet", "Counter")
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        value = ast.unparse(node.value)
        if value in empty or value.split("(")[0].split(".")[-1] in makers:
            target = ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
            if node in tree.body or target.startswith("self."):
                yield target


def test_all_that_keeps_results_is_known_and_bounded() -> None:
    assert {f"{path} {name}" for path, tree in sources() for name in keeping(tree)} <= set(KEPT)


def test_all_that_grows_is_known_and_bounded() -> None:
    assert {f"{path} {name}" for path, tree in sources() for name in growing(tree)} <= set(COLLECTIONS)


def test_an_unbounded_cache_is_seen() -> None:
    tree = ast.parse(
        "A = {}\n@functools.cache\ndef f(x): ...\nclass C:\n    def __init__(self): self.b: list[int] = []"
    )
    assert [*keeping(tree), *growing(tree)] == ["f", "A", "self.b"]


def sizes() -> list[int]:
    return [function.cache_info().currsize for function in (*TILES, kernels.drives)]


def test_tiles_are_kept_by_columns_and_element_size_alone() -> None:
    for function in TILES:
        function.cache_clear()
    for _ in range(2):
        for D in (8, 9):
            for itemsize in (2, 4):
                tiles.pick_tile("sum", D, itemsize)
                for function in TILES[1:]:
                    function(D, itemsize)
    assert sizes()[:-1] == [4] * len(TILES)


@pytest.mark.parametrize("options", [{}, {"sparse": True}, {"max_norm": 1.0}])
def test_what_is_kept_does_not_grow_with_N_and_V(options: dict[str, object], device: str) -> None:
    def step(V: int, N: int) -> None:
        weight = torch.ones(V, 6, device=device, requires_grad=True)
        tembed.embedding(torch.arange(N, device=device) % V, weight, **options).sum().backward()  # type: ignore[arg-type]

    step(9, 40)
    before = sizes()
    for V, N in ((1, 1), (2, 33), (48, 16), (129, 70)):
        step(V, N)
    assert sizes() == before


def test_launchers_keep_no_kernel_when_kernels_are_interpreted(device: str) -> None:
    if not kernels.interpreted():
        pytest.skip("compiled ones are kept, Launch.MOST at most")
    from tembed.kernels import gather, renorm
    from tembed.kernels.launch import Launch

    for report in (None, (torch.zeros(1 + WORDS, dtype=torch.int64), 0, 3)):
        ops.renorm_lookup(torch.ones(3, 4), torch.arange(3), 1.0, 2.0, report=report)
        ops.lookup(torch.ones(3, 4), torch.arange(3), report=report)
    launches = [value for module in (gather, renorm) for value in vars(module).values() if isinstance(value, Launch)]
    assert [launch._kept for launch in launches] == [{}] * 4


def test_placements_are_kept_up_to_a_number() -> None:
    from tembed import placements

    assert placements.pick_layout.cache_info().maxsize == 256
