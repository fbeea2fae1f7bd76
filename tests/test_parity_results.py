"""What the README says of the parity suite is what the committed results say."""

from pathlib import Path

from tembed.parity import report
from tembed.parity.cases import all_cases
from tembed.parity.documents import failures, read_json

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
MATRIX = read_json(ROOT / "parity" / "results" / "matrix.json")
FUZZ = read_json(ROOT / "parity" / "results" / "fuzz.json")


def test_readme_shows_the_matrix() -> None:
    assert report.table(MATRIX) in README
    assert [c["name"] for c in MATRIX["implementations"]] == ["stock", "tembed", "liger", "index_add"]


def test_every_case_is_in_the_matrix() -> None:
    for column in MATRIX["implementations"]:
        ran = {result["case"] for result in column["results"] if result["group"] != "fuzz"}
        assert ran == {*all_cases()}
    assert f"{len(all_cases()):,} cases against float64 and against stock" in README


def test_stock_and_tembed_fail_nothing_in_the_matrix() -> None:
    for column in MATRIX["implementations"][:2]:
        assert failures(column) == []


def test_readme_says_how_many_random_configurations_ran() -> None:
    (column,) = FUZZ["implementations"]
    assert failures(column) == []
    assert column["fuzz"]["ran"] >= 20_000
    seeds = [int(seed) for seed in column["fuzz"]["seeds"]]
    assert f"{column['fuzz']['ran']:,} of seeds {min(seeds)} to {max(seeds)}, none failed" in README
