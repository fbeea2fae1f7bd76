"""One bad input: the call, what torch says of it, and what came of it for one implementation."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .scene import Act, Scene
from .snapshots import changes, record
from .subject import Implementation, Missing


def _type(found: re.Match[str]) -> str:
    """torch.ByteTensor, as torch calls some types of its own accord and others not."""
    return f"got torch.{'quantized.' if found[1] else ''}{found[2]}Tensor"


# Of messages, what is not about the mistake: devices, addresses, two names for one type.
SPOKEN: tuple[tuple[str, Any], ...] = (
    (r"torch\.cuda\.", "torch."),
    (r'"\w+_(cpu|cuda)"', '"…"'),
    (r"0x[0-9a-f]+", "0x…"),
    (r"tensors on \w+(:\d+)?", "tensors on …"),
    (r"got (Quantized)?CPU(\w+)Type", _type),
)
# What torch adds of itself: where in its sources the error, or an operation, is.
TAILS = ("\nException raised from", " This could be because the operator doesn't exist for this backend")


@dataclass(frozen=True)
class Row:
    """A mistake that a caller can make.

    Args:
        name: in few words, what is wrong.
        prepare: makes what the caller holds, and returns the call.
        error: torch's exception; None where torch takes the input, and the results have to be equal.
        text: of torch's message, its first line or the most of it.
        adds: what tembed's message has after torch's, to the end.
        better: tembed's own exception and whole message, where torch's are worse. Deviations alone.
        moves: what torch itself changes although it raises.
        bare: torch raises it itself where the lookup on this device is torch's own, and then nothing is added.
        exact: whether tembed's message is torch's and `adds`, word for word, or only has `text`.
    """

    name: str
    prepare: Callable[[Scene], Act]
    error: type[Exception] | None = None
    text: str = ""
    adds: str = ""
    better: tuple[type[Exception], str] | None = None
    moves: tuple[str, ...] = ()
    bare: bool = False
    exact: bool = True


@dataclass(frozen=True)
class Outcome:
    """What came of a row for one implementation."""

    error: Exception | None
    result: object
    changed: tuple[str, ...]
    things: dict[str, Any]

    @property
    def says(self) -> str:
        """The exception's type and its whole message, in words that do not depend on the device."""
        return spoken(f"{type(self.error).__name__}: {self.error}") if self.error else "no error"


def spoken(text: str) -> str:
    """A message without what is not about the mistake."""
    for pattern, instead in SPOKEN:
        text = re.sub(pattern, instead, text)
    for tail in TAILS:
        text = text.split(tail)[0]
    return text.strip()


def attempt(row: Row, subject: Implementation) -> Outcome:
    """Does the row, with a record before and after."""
    torch.manual_seed(0)
    scene = Scene(subject)
    act = row.prepare(scene)
    before = record(scene.things)
    error, result = None, None
    try:
        result = act()
    except Missing:
        raise
    except Exception as found:
        error = found
    return Outcome(error, result, tuple(changes(before, record(scene.things))), scene.things)
