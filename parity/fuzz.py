"""Random configurations: options, shapes, strides, types and distributions, drawn and shrunk by hypothesis."""

import json
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import strategies as st

from .cases import Case, Feature, all_cases
from .compare import describe
from .configuration import STRIDES, Configuration
from .inputs import DISTRIBUTIONS, LAYOUTS
from .judge import FAILED, verdict
from .lookups import check
from .oracle import ROUNDOFF
from .subject import DEFAULTS, Implementation

# The most rows, columns and lookups; most are far smaller, so that many can be run.
ROWS, COLUMNS, LOOKUPS = (12, 12, 300), (9,) * 6 + (40, 80), (40,) * 8 + (120, 600)
LONGEST = 24
NORM_TYPES = (2.0, 1.0, 0.0, 0.5, 3.0, float("inf"), float("-inf"), 0.25, 1.5, 7.0, -0.5, -1.0, -2.0)


@st.composite
def configurations(draw: st.DrawFn, offered: tuple[str, ...] = tuple(DEFAULTS)) -> dict[str, Any]:
    """A configuration as plain data, with no other options than those offered."""
    V = draw(st.integers(1, draw(st.sampled_from(ROWS))))
    most, N = draw(st.sampled_from(LOOKUPS)), 1
    shape = draw(st.lists(st.integers(0, LONGEST), max_size=4))
    for i, length in enumerate(shape):
        shape[i] = min(length, max(1, most // max(N, 1)))
        N *= shape[i]
    options: dict[str, Any] = {
        "padding_idx": draw(st.none() | st.integers(-V, V - 1)),
        "max_norm": draw(st.none() | st.sampled_from((0.5, 1.0, 2.5, 5.0, 1e9))),
        "norm_type": draw(st.sampled_from(NORM_TYPES)),
        "scale_grad_by_freq": draw(st.booleans()),
        "sparse": draw(st.booleans()),
    }
    drawn = {
        "V": V,
        "D": draw(st.integers(0, draw(st.sampled_from(COLUMNS)))),
        "shape": shape,
        "distribution": draw(st.sampled_from(DISTRIBUTIONS)),
        "dtype": draw(st.sampled_from(sorted(ROUNDOFF))),
        "index_dtype": draw(st.sampled_from(("int64", "int32"))),
        "weight_strides": draw(st.sampled_from(list(LAYOUTS))),
        "index_strides": draw(st.sampled_from(list(STRIDES))),
        "gradient_strides": draw(st.sampled_from(list(STRIDES))),
        "seed": draw(st.integers(0, 2**16)),
        **{name: options[name] for name in offered},
    }
    return Configuration.of(drawn).data()


def case_of(data: dict[str, Any]) -> Case:
    """The configuration as a case, whose name has it whole."""

    def run(subject: Implementation) -> str | None:
        return check(subject, Configuration.of(data))

    name = json.dumps(data, separators=(",", ":"))
    return Case(Feature("fuzz", name, "Random configurations agree with float64.", "bound", run, ({},)), {})


def find(name: str) -> Case:
    """The case of a name: a declared one, or "fuzz/" and a configuration in JSON; ValueError if there is none."""
    if name.startswith("fuzz/"):
        return case_of(json.loads(name.removeprefix("fuzz/")))
    if name not in all_cases():
        raise ValueError(f"no case is called {name!r}")
    return all_cases()[name]


def explore(
    subject: Implementation, seed: int, examples: int, tell: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Runs so many random configurations; stops at the first that fails, and shrinks it.

    Returns:
        "ran": how many, those of shrinking apart; "missing": how many of them need what it does not offer;
        "failure": the smallest that fails, "message": how.
    """
    offered = tuple(name for name in DEFAULTS if subject.offers(name))
    found: dict[str, Any] = {"ran": 0, "missing": 0, "failure": None, "message": ""}

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(configurations(offered))
    def attempt(data: dict[str, Any]) -> None:
        tell({"trying": data})
        found["ran"] += found["failure"] is None
        try:
            case_of(data).run(subject)
        except Exception as error:
            outcome, message = verdict(error, case_of(data), subject)
            found["missing"] += outcome == "missing" and found["failure"] is None
            if outcome in FAILED:
                found.update(failure=data, message=message)  # the last one is the smallest
                raise

    try:
        attempt()
    except Exception as error:
        if found["failure"] is None:
            found.update(failure={}, message=f"the generator failed: {describe(error)}")
    return found
