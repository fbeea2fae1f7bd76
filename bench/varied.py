"""The kernels with a variation in the table of tiles: wherever a constant is read, and with nothing kept from others.

Tiles and compiled kernels that launchers keep are kept for each variation apart, so that a launch costs the host the
same as ever. What is captured in a graph has its tiles from then on.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from tembed.kernels import tiles

Patch = tuple[Any, str, Any]  # whose attribute, which, and what it is within


@dataclass(frozen=True)
class Variation:
    """One constant with another value.

    Args:
        area: what it is of.
        constant: its name in kernels/tiles.py, with a key in brackets where it has several; or module.name.
        value: what it becomes.
        operations: names of those that may take another time.
        expected: what it is to do, said before it is measured.
        also: constants that have to go along, and their values.
    """

    area: str
    constant: str
    value: Any
    operations: tuple[str, ...]
    expected: str
    also: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The constant and its value."""
        return f"{self.constant}={self.value}"


@contextmanager
def patched(patches: list[Patch]) -> Iterator[None]:
    """Within it, attributes are what the patches say."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    try:
        for owner, name, value in patches:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def split(constant: str) -> tuple[ModuleType, str, str]:
    """The module that defines it, its name, and the key of an entry."""
    whole, _, key = constant.partition("[")
    module, _, name = whole.rpartition(".")
    return importlib.import_module(f"tembed.kernels.{module or 'tiles'}"), name, key.rstrip("]")


def present(constant: str) -> Any:
    """Its value, as a number."""
    module, name, key = split(constant)
    value = getattr(module, name)
    if key:
        return {str(k): v for k, v in dict(value).items()}[key]
    return getattr(value, "value", value)


def patches_of(variation: Variation | None) -> list[Patch]:
    """What a variation changes; of none, what is kept alone."""
    found = _fresh()
    if variation is not None:
        for constant, value in ((variation.constant, variation.value), *variation.also):
            found += _changed(constant, value)
    return found


def _modules() -> list[ModuleType]:
    importlib.import_module("tembed.kernels.launchers")
    named = sorted(name for name in sys.modules if name.startswith("tembed.kernels."))
    return [module for module in map(sys.modules.get, named) if module is not None]


def _everywhere(name: str, value: Any) -> list[Patch]:
    """A name of tiles.py, there and in modules that imported it by that name."""
    return [(module, name, value) for module in _modules() if name in vars(module)]


def _fresh() -> list[Patch]:
    """Caches of its own, for tiles and for compiled kernels."""
    from tembed.kernels.launch import Launch

    kept = {id(x): x for module in _modules() for x in vars(module).values() if isinstance(x, Launch)}
    found: list[Patch] = [(launch, "_kept", {}) for launch in kept.values()]
    for name, function in [*vars(tiles).items()]:
        if hasattr(function, "cache_clear"):
            found += _everywhere(name, cache(function.__wrapped__))
    return found


def _changed(constant: str, value: Any) -> list[Patch]:
    import triton.language as tl

    module, name, key = split(constant)
    before = getattr(module, name)
    if isinstance(before, tl.constexpr):
        return [(module, name, tl.constexpr(value)), *_compiled_anew(module)]
    if key and isinstance(before, dict):
        value = {**before, key: value}
    elif key:
        value = tuple((limit, value if str(limit) == key else its) for limit, its in before)
    if module is not tiles:
        return [(module, name, value)]
    found = _everywhere(name, value)
    if name == "NUM_WARPS":  # a tile's default was taken from it when the class was made
        tile = tiles.Tile
        found.append((tiles, "Tile", lambda rows, columns, num_warps=value: tile(rows, columns, num_warps)))
    return found


def _compiled_anew(module: ModuleType) -> list[Patch]:
    """A module's kernels once more: those that are compiled insist on the constants that they were compiled for."""
    from triton.runtime.jit import JITFunction

    options = ("do_not_specialize", "do_not_specialize_on_alignment")
    return [
        (module, name, JITFunction(x.fn, **{option: getattr(x, option) for option in options}))
        for name, x in vars(module).items()
        if isinstance(x, JITFunction) and name.endswith("_kernel")
    ]
