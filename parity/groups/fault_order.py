"""errors: several things wrong at once, of which torch.nn.functional.embedding on the CPU says which comes first."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..cases import feature, product
from ..compare import as_stock, require, same, same_bits
from ..subject import DEFAULTS, Implementation, Missing, wanted
from .error_tables import rows
from .index_range import absent

# What can be wrong with an argument, by itself or together with what is wrong with another.
FAULTS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "0-D table": ("weight", lambda device: torch.tensor(9.0, device=device)),
    "1-D table": ("weight", lambda device: torch.full((4,), 9.0, device=device)),
    "3-D table": ("weight", lambda device: torch.full((4, 3, 2), 9.0, device=device)),
    "list of indices": ("input", lambda device: [1, 2]),
    "padding too large": ("padding_idx", lambda device: 4),
    "padding too negative": ("padding_idx", lambda device: -5),
    "padding float": ("padding_idx", lambda device: 1.0),
    "padding str": ("padding_idx", lambda device: "1"),
    "padding bool": ("padding_idx", lambda device: True),
    "max_norm str": ("max_norm", lambda device: "1"),
    "norm_type str": ("norm_type", lambda device: "2"),
    "norm_type None": ("norm_type", lambda device: None),
    "scale int": ("scale_grad_by_freq", lambda device: 1),
    "sparse int": ("sparse", lambda device: 1),
}
# Those of which torch on an accelerator says something else, with max_norm at the least, or says it too late.
CPU_FAULTS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "no rows": ("weight", lambda device: torch.empty(0, 3, device=device)),
    "int64 table": ("weight", lambda device: rows(device).long()),
    "float8 table": ("weight", lambda device: rows(device).to(torch.float8_e4m3fn)),
    "index too large": ("input", lambda device: torch.tensor([1, 7], device=device)),
    "complex table with gradient": ("weight", lambda device: rows(device).to(torch.complex64).requires_grad_()),
    "float indices": ("input", lambda device: torch.tensor([1.0, 2.0], device=device)),
    "no float indices": ("input", lambda device: torch.empty(0, device=device)),
    "uint8 indices": ("input", lambda device: torch.tensor([1, 2], dtype=torch.uint8, device=device)),
    "index negative": ("input", lambda device: torch.tensor([1, -1], device=device)),
}
ALL = FAULTS | CPU_FAULTS


RENORM = "select(): index"  # of stock's message, where max_norm met an index that the lookup would have refused


def arguments(device: str, faults: tuple[str, ...], max_norm: float | None) -> dict[str, Any]:
    """A good call's arguments, with the faults in place of some."""
    made: dict[str, Any] = {"input": torch.tensor([1, 2, 1], device=device), "weight": rows(device)}
    if max_norm is not None:
        made["max_norm"] = max_norm
    return made | {ALL[fault][0]: ALL[fault][1](device) for fault in faults}


def outcome(call: Callable[..., Tensor], input: Any, weight: Any, **options: Any) -> tuple[type | None, str]:
    """The error's type, and its message without what depends on the device; no type if there is none."""
    try:
        call(input, weight, **options)
    except Missing:
        raise
    except Exception as error:
        text = str(error).split("\n")[0].replace("torch.cuda.", "torch.")
        return type(error), re.sub(r'"\w+_(cpu|cuda)"', '"..."', text)
    return None, ""


def calls(subject: Implementation, fault: str) -> Iterator[tuple[tuple[str, ...], float | None]]:
    """The fault alone and with every other, with max_norm and without, as far as the implementation has the options."""
    known = ALL if torch.device(subject.device).type == "cpu" or fault in CPU_FAULTS else FAULTS
    others = [other for other, (name, _) in known.items() if name != ALL[fault][0] and has(subject, name)]
    for faults in ((fault,), *((fault, other) for other in others)):
        for max_norm in (None, 1.0):
            if max_norm is None or has(subject, "max_norm"):
                yield faults, max_norm


def has(subject: Implementation, name: str) -> bool:
    """Whether the function has the option; input and weight it has, by whatever names."""
    try:
        return name not in DEFAULTS or bool(wanted(subject.function, {name: ...}))
    except Missing:
        return False


def refusal(
    subject: Implementation, faults: tuple[str, ...], max_norm: float | None, stock: tuple[Any, str]
) -> tuple[type | None, str]:
    """What the implementation's call comes to; Missing where it does not offer that, unless torch says the same."""
    found = outcome(subject.call, **arguments(subject.device, faults, max_norm))
    if absent(*found) and not (stock[0] is found[0] and stock[1] in found[1]):
        raise Missing(_text(found))
    return found


def compare(subject: Implementation, faults: tuple[str, ...], max_norm: float | None, wants: tuple[Any, str]) -> None:
    """Mismatch unless the call raises what it should."""
    found = refusal(subject, faults, max_norm, wants)
    what = " + ".join((*faults, *(["max_norm"] if max_norm else [])))
    same_text = wants[1] in found[1] if wants[0] else True
    require(found[0] is wants[0] and same_text, f"{what}: {_text(found)}, should be {_text(wants)}")


def _text(found: tuple[type | None, str]) -> str:
    return f"{found[0].__name__}: {found[1]}" if found[0] else "no error"


def first_fault(subject: Implementation, fault: str) -> str:
    """Of two things wrong at once the same is said first: padding_idx out of range, then what max_norm cannot do, wrong
    types, the table's rank, the indices' dtype, their range, a complex table's gradient."""
    option = ALL[fault][0]
    wanted(subject.function, {option: ...} if option in DEFAULTS else {})
    count, refused, missing = 0, 0, None
    for faults, max_norm in calls(subject, fault):
        stock = outcome(F.embedding, **arguments("cpu", faults, max_norm))
        if RENORM in stock[1]:
            continue
        try:
            compare(subject, faults, max_norm, stock)
        except Missing as error:  # which says nothing of the other calls
            missing = error
            continue
        count += 1
        refused += stock[0] is not None
    if missing and not count:
        raise missing
    assert missing or refused, f"torch takes {fault}, with whatever else is wrong"
    return f"{count} calls, of which {refused} are refused"


feature("errors", "first-fault", claim="same error", cases=product(fault=FAULTS))(first_fault)
feature("errors", "first-fault-cpu", claim="same error", cases=product(fault=CPU_FAULTS), needs="cpu")(first_fault)


REFUSED = ("no rows", "index too large")


@feature("errors", "first-fault-max_norm", claim="same error", deviation=5, cases=product(fault=REFUSED), needs="cpu")
def first_fault_max_norm(subject: Implementation, fault: str) -> str:
    """Where max_norm comes upon an index that the lookup would refuse, the error is the lookup's, or what else is wrong
    and comes before it."""
    wanted(subject.function, {"max_norm": 1.0})
    count, stocks = 0, []
    for faults, max_norm in calls(subject, fault):
        stock = outcome(F.embedding, **arguments("cpu", faults, max_norm))
        if RENORM not in stock[1]:
            continue
        count += 1
        if refusal(subject, faults, max_norm, stock) == stock:
            stocks.append(f"{' + '.join(faults)}: {_text(stock)}")
        else:
            compare(subject, faults, max_norm, outcome(F.embedding, **arguments("cpu", faults, None)))
    as_stock(stocks, f"{len(stocks)} of {count} calls, as {stocks[:1]}")
    require(count, "nothing could be tried")
    return f"{count} calls"


LATE = ("scale int", "sparse int", "complex table with gradient")


@feature("errors", "fault-changes-nothing", claim="same error", deviation=5, cases=product(fault=LATE))
def fault_changes_nothing(subject: Implementation, fault: str) -> None:
    """With max_norm, a lookup that fails for another argument has scaled no row."""
    given = arguments(subject.device, (fault,), 1.0)
    weight = given["weight"]
    found = outcome(subject.call, **given)
    if absent(*found):
        raise Missing(_text(found))
    require(found[0], "nothing was raised")
    stock = arguments("cpu", (fault,), 1.0)
    outcome(F.embedding, **stock)
    scaled = int((weight.detach().cpu() != rows("cpu")).any(1).sum())
    as_stock(
        scaled and torch.allclose(weight.detach().cpu(), stock["weight"].detach()),
        f"{scaled} rows were scaled before it raised {_text(found)}",
    )
    same_bits(weight.detach().abs(), rows("cpu"), "the table after the error")
    same(weight._version, 0, "version of the table after the error")
