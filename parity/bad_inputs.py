"""Bad inputs, a row for each: the call, what torch says of it, what is added to that, and proof that nothing changed.

A row's function makes what the caller holds and returns the call itself. Stock and the implementation each have the row
done in tensors of their own; what they hold is recorded before the call and compared after it.
"""

import re
from dataclasses import dataclass, replace

import torch

from tembed.ops import path

from .cases import feature, product
from .compare import as_stock, describe, require
from .rows import Outcome, Row, attempt, spoken
from .snapshots import alike
from .subject import Implementation, Missing, Unshown
from .training import STOCK


@dataclass(frozen=True)
class Finding:
    """A row that held, in words for the table."""

    stock: str
    found: str
    unchanged: str


@dataclass(frozen=True)
class Table:
    """Rows of one kind."""

    name: str
    says: str
    rows: dict[str, Row]
    needs: str | None


TABLES: dict[str, Table] = {}
SAID_BY = "2.13."  # the torch whose words the rows have


def examine(row: Row, subject: Implementation, needs: str | None = None) -> Finding:
    """Mismatch unless the row holds for the implementation, and says of stock what stock does."""
    there = replace(STOCK, device=subject.device if needs == "cuda" else "cpu")
    stock, found = attempt(row, there), attempt(row, subject)
    kind = type(stock.error) if stock.error else None
    as_said = kind is row.error and row.text in stock.says
    # other versions of torch have other words, and of some things other opinions
    require(as_said or not torch.__version__.startswith(SAID_BY), f"of stock it says {row.text!r}: {stock.says}")
    _refusal(found, stock)
    if row.better:
        alike_stock = found.says == stock.says and found.changed == stock.changed
        as_stock(alike_stock, f"{found.says}; changed: {', '.join(found.changed) or 'nothing'}")
        kind, text = row.better
        _raised(found, kind, text if subject.deviations else text.partition(": ")[0], exact=bool(subject.deviations))
    elif kind and row.exact and subject.deviations:
        adds = "" if row.bare and path(subject.device) == "reference" else row.adds
        _raised(found, kind, stock.says.partition(": ")[2] + adds, exact=True)
    elif kind:
        _raised(found, kind, row.text if as_said else stock.says.partition(": ")[2], exact=False)
    else:
        return _equal(found, stock)
    moved = [fact for fact in found.changed if not fact.startswith(row.moves or ("\0",))]
    as_stock(moved and found.says == stock.says and found.changed == stock.changed, f"changed: {', '.join(moved)}")
    require(not moved, f"changed although it raised: {', '.join(moved)}")
    late = f" (changed: {_named(stock)})" if stock.changed and not row.moves else ""
    return Finding(
        stock.says + late, found.says, f"but for torch's own: {', '.join(row.moves)}" if row.moves else "yes"
    )


def _refusal(found: Outcome, stock: Outcome) -> None:
    """Missing where the implementation says that it does not offer this, which stock does not say."""
    absent = isinstance(found.error, NotImplementedError) or "unexpected keyword argument" in str(found.error)
    if absent and found.says != stock.says:
        raise Missing(describe(found.error or Missing()))


def _raised(found: Outcome, kind: type[Exception], text: str, exact: bool) -> None:
    error, wanted = found.error, spoken(text)
    require(error is not None, f"nothing was raised, should be {kind.__name__}: {wanted}")
    whole = found.says == f"{kind.__name__}: {wanted}"
    fits = whole if exact else isinstance(error, kind) and wanted in found.says
    require(fits, f"raised {found.says}, should be {kind.__name__}: {wanted}")


def _equal(found: Outcome, stock: Outcome) -> Finding:
    """Mismatch unless the results are stock's, and so is all that the caller holds."""
    require(found.error is None, f"raised {found.says}, should not")
    alike(found.result, stock.result, "the result", outer=False)
    alike(found.things, stock.things, "what the caller holds")
    names = _named(stock)
    return Finding("no error", "no error, equal", f"as stock: {names} changed" if names else "yes")


def _named(outcome: Outcome) -> str:
    """The things changed, each once, gradients apart."""
    names = (re.sub(r": gradient$", ".grad", path) for path in outcome.changed)
    short = (re.sub(r"^([^.: ]+(\.weight)?(\.grad)?).*", r"\1", name) for name in names)
    return ", ".join(dict.fromkeys(short))


def declare(
    name: str,
    says: str,
    *rows: Row,
    deviation: int | None = None,
    needs: str | None = None,
    cpu_only: bool = False,
) -> None:
    """Makes a feature of the rows, whose cases are theirs.

    Args:
        needs: as of a feature: "cpu" where on an accelerator they hold once bad indices are looked for.
        cpu_only: torch has other words on an accelerator, or other results.
    """
    assert all(row.better is None or deviation is not None for row in rows)
    table = Table(name, says, {row.name: row for row in rows}, needs)
    assert len(table.rows) == len(rows), f"two rows of {name} have one name"
    TABLES[name] = table

    def check(subject: Implementation, row: str) -> None:
        if cpu_only and torch.device(subject.device).type != "cpu":
            raise Unshown("torch says this of a table on the CPU")
        examine(table.rows[row], subject, needs)

    check.__doc__ = says
    cases = product(row=table.rows)
    feature("errors", name, claim="same error", cases=cases, deviation=deviation, needs=needs)(check)
