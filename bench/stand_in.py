"""A few lookups that stand for many: kernels go about them as about many, so that what those move can be counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from tembed.kernels import tiles


def regime(N: int) -> str:
    """How kernels go about N lookups, in words."""
    return f"{'few' if tiles.is_few(N) else 'many'}, chunks of {tiles.pick_chunk(N)}"


@contextmanager
def handled_as(N: int) -> Iterator[None]:
    """Within it, any number of lookups is sorted, cut into chunks and merged as N of them are.

    By the limits of tiles.py: of few lookups, of the chunks' length, and of spans along which the last launch walks.
    """
    chunk = tiles.pick_chunk(N)
    limits: dict[str, Any] = {
        "FEW": tiles.FEW if tiles.is_few(N) else 0,
        "CHUNKS": ((1 << 62, chunk),),
        "WALKED": tiles.WALKED if tiles.WALKED * chunk >= N else 1,
    }
    with mock.patch.multiple(tiles, **limits):
        yield
