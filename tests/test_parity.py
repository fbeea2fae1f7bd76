"""Every case of the parity suite, for tembed and for stock; and embeddings that it has to find wrong."""

from typing import Any

import broken
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tembed import kernels
from tembed.parity import fuzz, peers
from tembed.parity.cases import DEVIATIONS, GROUPS, Case, all_cases, select
from tembed.parity.configuration import Configuration
from tembed.parity.groups import device as device_cases
from tembed.parity.judge import judge
from tembed.parity.subject import Implementation, Missing

# those that only a GPU can hold take its whole memory: the command runs them, one at a time
CASES = {name: case for name, case in all_cases().items() if case.feature.group != "device"}
elsewhere = pytest.mark.skipif(kernels.interpreted(), reason="runs no kernels: the other lane has it")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_tembed(case: Case, device: str) -> None:
    result = judge(case, peers.find("tembed", device=device))
    if result.outcome == "skip":
        pytest.skip(result.message)
    promised = case.feature.deviation in {None, *peers.PROMISED}
    assert (result.outcome, result.message) == ("pass", "") or (result.outcome == "as stock" and not promised)


@elsewhere
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_stock(case: Case) -> None:
    """A case that stock fails on a CPU, otherwise than on purpose, is a wrong case. On CUDA it fails some."""
    result = judge(case, peers.find("stock"))
    if result.outcome == "skip":
        pytest.skip(result.message)
    assert result.outcome in ("pass", "as stock"), result.message


@elsewhere
@pytest.mark.parametrize("name", broken.BROKEN)
def test_finds_what_is_broken(name: str, device: str) -> None:
    subject = Implementation(name, None, getattr(broken, name), device)
    outcomes = {judge(case, subject).outcome for case in select(broken.BROKEN[name])}
    assert "fail" in outcomes


@elsewhere
def test_what_the_broken_are_made_of_is_right(device: str) -> None:
    def right(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
        return broken.Broken.apply(input, weight, padding_idx, broken.right)

    subject = Implementation("right", None, right, device)
    names = ("values", "numbers", "gradient-strides", "nan-in-padding", "16-bit", "integers", "sizes")
    results = [judge(case, subject) for name in names for case in select("dense-gradient", f"*/{name}/*")]
    assert len(results) > 100
    assert [r for r in results if r.outcome not in ("pass", "missing")] == []


def test_there_are_cases_of_every_group_claim_and_deviation() -> None:
    features = {case.feature for case in all_cases().values()}
    assert len(CASES) >= 1000
    assert {feature.group for feature in features} == set(GROUPS)
    assert {feature.claim for feature in features} == {"exact", "bound", "same error"}
    assert {feature.deviation for feature in features} == {None, *DEVIATIONS}


ANYWHERE = ("large-table", "large-gradient", "large-output", "millions-of-lookups", "repetitions")


@pytest.mark.parametrize("name", [c.name for c in select("device") if c.feature.name in ANYWHERE])
def test_device_cases_on_a_smaller_scale(name: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they check, with sizes that any memory holds."""
    for constant, value in (("D", 8), ("FAR", 300), ("MANY", 1300), ("REPETITIONS", 2), ("REPEATED", 1300)):
        monkeypatch.setattr(device_cases, constant, value)
    case = all_cases()[name]
    small = {"N": 600} if "N" in case.parameters else {}
    case.feature.check(peers.find("tembed", device=device), **{**case.parameters, **small})


def test_missing_arguments_are_missing_features(device: str) -> None:
    subject = Implementation("bare", broken.Bare, None, device)
    for name, argument in (("max_norm/norm-nan", "max_norm"), ("sparse-gradient/thousand-ones/float32", "sparse")):
        result = judge(CASES[name], subject)
        assert result.outcome == "missing"
        assert argument in result.message
    assert judge(CASES["forward/values/float32,zipf"], subject).outcome == "pass"
    with pytest.raises(Missing, match="functional"):
        _ = subject.function


# Random configurations: some hundreds here, thousands by `python -m tembed.parity run --fuzz`.


@pytest.mark.parametrize("seed", [0])
def test_fuzz(seed: int, device: str) -> None:
    found = fuzz.explore(peers.find("tembed", device=device), seed, 250, lambda message: None)
    assert found == {"ran": 250, "missing": 0, "failure": None, "message": ""}


@elsewhere
@pytest.mark.parametrize(
    ("name", "smallest"),
    [("padding_ignored", {"D": 1}), ("strides_ignored", {"V": 1}), ("tail_dropped", {"D": 1}), ("half_dropped", {})],
)
def test_fuzz_finds_and_shrinks(name: str, smallest: dict[str, Any], device: str) -> None:
    subject = Implementation(name, None, getattr(broken, name), device)
    tried: list[dict[str, Any]] = []
    found = fuzz.explore(subject, 1, 400, tried.append)
    assert found["failure"] is not None
    assert found["failure"].items() >= smallest.items(), found
    again = judge(fuzz.case_of(found["failure"]), subject)
    assert again.outcome == "fail"
    assert found["message"] == again.message


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)
@given(st.data())
def test_configurations_survive_their_names(data: st.DataObject) -> None:
    drawn = data.draw(fuzz.configurations())
    case = fuzz.case_of(drawn)
    assert fuzz.find(case.name).name == case.name
    assert Configuration.of(drawn).data() == drawn


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no case is called 'forward/nonsense'"):
        fuzz.find("forward/nonsense")
    with pytest.raises(ValueError, match="a configuration has no W"):
        Configuration.of({"W": 3})
    with pytest.raises(ValueError, match="not of the form"):
        peers.find("nonsense")
