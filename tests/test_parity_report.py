import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tembed.parity import report
from tembed.parity.judge import OUTCOMES

FEATURES = [
    ("forward", "rows", "A lookup gives the table's rows, <= 2**31 & more.", "exact", None),
    ("forward", "empty", "An empty input gives an empty output.", "exact", None),
    ("errors", "bad-index", "A bad index raises stock's error.", "same error", 5),
    ("device", "graphs", "A lookup can be captured in a CUDA graph.", "exact", None),
]
HOSTILE = "</p><script>alert('x')</script> & \"so on\" $title"


def result(case: str, outcome: str, message: str = "", note: str = "") -> dict[str, Any]:
    group, feature = case.split("/")[:2]
    return {
        "case": case,
        "group": group,
        "feature": feature,
        "outcome": outcome,
        "message": message,
        "note": note,
        "seconds": 0.01,
    }


def document(**implementations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "title": "Parity <test>",
        "environment": {"torch": "2.13.0", "path": "torch reference", "gpu": None, "dirty": False, "cores": 2},
        "commit": "0123abc",
        "command": "python -m tembed.parity compare --case 'a<b'",
        "features": [
            {
                "group": group,
                "name": name,
                "says": says,
                "claim": claim,
                "deviation": deviation,
                "deviation_says": deviation and "says <where>",
            }
            for group, name, says, claim, deviation in FEATURES
        ],
        "implementations": [
            {"name": name, "what": f"{name}'s <what>", "spec": f"{name}.nn:Table", "results": results}
            for name, results in implementations.items()
        ],
    }


GOOD = [
    result("forward/rows/float32,0-d", "pass"),
    result("forward/rows/float64,2x3", "pass", note="0.25 of the <bound>"),
    result("forward/empty", "pass"),
    result("errors/bad-index/int32", "pass"),
    result("device/graphs", "skip", "needs a table on cuda"),
]
MIXED = [
    result("forward/rows/float32,0-d", "fail", HOSTILE),
    result("forward/rows/float64,2x3", "crash", "ended with signal 11\nin two <lines>"),
    result("forward/empty", "missing", "the argument padding_idx"),
    result("errors/bad-index/int32", "as stock", "no position"),
    result("device/graphs", "skip", "needs a table on cuda"),
]


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text; it must be well-formed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open[-1] in ("li", "option") and tag != self.open[-1]:
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def cells(self) -> list[str | None]:
        return [attributes["data-o"] for _, attributes in self.elements if "data-o" in attributes]


@pytest.fixture
def page(tmp_path: Path) -> Any:
    def render(data: dict[str, Any]) -> Page:
        path = tmp_path / "page.html"
        report.write(data, path)
        return Page(path.read_text(encoding="utf-8"))

    return render


def test_page_loads_nothing(page: Any, tmp_path: Path) -> None:
    found = page(document(good=GOOD, mixed=MIXED))
    loading = {"src", "href", "srcset", "action", "poster", "data", "background"}
    assert not [element for element in found.elements if loading & set(element[1])]
    assert not re.findall(r"https?://|url\(|@import|fetch\(", (tmp_path / "page.html").read_text(encoding="utf-8"))


def test_page_says_every_sentence_message_note_and_case(page: Any) -> None:
    data = document(good=GOOD, mixed=MIXED)
    text = page(data).text
    for feature in data["features"]:
        assert feature["says"] in text
    for r in GOOD + MIXED:
        assert r["message"] in text
        assert r["note"] in text
        assert r["case"].split("/")[-1] in text
    for said in ("deviation 5", "says <where>", data["title"], data["command"], "good's <what>", *OUTCOMES.values()):
        assert said in text


def test_page_escapes_all_text(page: Any) -> None:
    tags = [tag for tag, _ in page(document(mixed=MIXED)).elements]
    assert tags.count("script") == 1
    assert not {"what", "where", "bound", "lines", "test"} & set(tags)


def test_page_cells_list_outcomes_case_by_case(page: Any) -> None:
    assert page(document(good=GOOD, mixed=MIXED)).cells() == ["pp", "fc", "p", "m", "p", "a", "s", "s"]


def test_page_says_each_message_once_with_the_cases_that_share_it(page: Any) -> None:
    cases = [f"forward/rows/D={D}" for D in (1, 2, 3, 4)]
    outcomes = [("pass", ""), ("fail", "wrong"), ("fail", "wrong"), ("pass", "")]
    some = [result(case, *outcome) for case, outcome in zip(cases, outcomes, strict=True)]
    text = page(document(every=[result(case, "missing", "no such") for case in cases], some=some)).text
    assert "missing all 4no such" in text
    assert "fail D=2 · D=3wrong" in text
    assert "pass the other 2" in text


def test_page_keeps_the_place_of_cases_that_one_implementation_was_not_given(page: Any) -> None:
    found = page(document(good=GOOD, mixed=GOOD[:1]))
    assert found.cells() == ["pp", "p-", "p", "-", "p", "-", "s", "-"]
    assert found.text.count("all 2") == 0
    assert found.text.count("pass float32,0-d") == 2


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("torch reference", "", ""),
        ("kernels (interpreter)", "TRITON_INTERPRET=1 ", ""),
        ("kernels", "", " --device cuda"),
    ],
)
def test_page_says_how_to_run_a_case_again(page: Any, path: str, before: str, after: str) -> None:
    data = document(mixed=MIXED)
    data["environment"]["path"] = path
    command = f"{before}python -m tembed.parity run --impl mixed.nn:Table --case forward/empty{after}"
    text = page(data).text
    assert command in text
    assert ("TRITON_INTERPRET" in text) == bool(before)


def test_page_of_one_implementation_without_failures(page: Any) -> None:
    found = page(document(good=GOOD))
    assert found.cells() == ["pp", "p", "p", "s"]
    assert "--case 'forward/rows/*'" in found.text
    hidden = [tag for tag, attributes in found.elements if "hidden" in attributes]
    assert hidden == ["form", "option", "fieldset"]  # nothing to choose among, nothing to differ from


def test_page_refuses_results_of_unknown_features(page: Any) -> None:
    with pytest.raises(AssertionError, match=r"forward.*unheard"):
        page(document(good=[result("forward/unheard", "pass")]))


def test_table_counts() -> None:
    assert report.table(document(good=GOOD, mixed=MIXED)).splitlines() == [
        "| group | good | mixed |",
        "| --- | ---: | ---: |",
        "| forward | 3 / 3 | 0 / 3, 1 missing, 1 failed, 1 crashed |",
        "| errors | 1 / 1 | 1 / 1 (1 as stock) |",
        "| device | 1 skipped | 1 skipped |",
        "| all | 4 / 4, 1 skipped | 1 / 4 (1 as stock), 1 missing, 1 failed, 1 crashed, 1 skipped |",
    ]


def test_table_of_one_group_has_no_sum() -> None:
    lines = report.table(document(good=GOOD[:3], idle=[])).splitlines()
    assert lines[2:] == ["| forward | 3 / 3 | — |"]
