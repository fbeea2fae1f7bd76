"""Two runs side by side, and pictures of one."""

from pathlib import Path
from typing import Any

import pytest

from tembed.bench import cli, compare, plot
from tembed.bench.documents import write_document
from tembed.bench.printing import mean_ratios, outcome
from tembed.bench.summary import summary
from tembed.bench.workloads import SUITES

ABOUT = {"device": "Great GPU", "commit": "0123456789abcdef", "torch": "2.11", "kernels": "triton 3.6"}


def document(times: dict[str, dict[str, list[float]]], **more: Any) -> dict[str, Any]:
    """A run of those samples in seconds, by workload and provider."""
    rows = []
    for workload, providers in times.items():
        found = {}
        for name, samples in providers.items():
            found[name] = {"gate": "passed", "method": "graph", "peak_bytes": 2_000_000, "samples_s": samples}
            found[name] |= summary(samples, providers.get("stock"))
            found[name] |= {"bytes_per_s": 1e6 / found[name]["median_s"], "of_copy": 0.5}
        row = {"workload": workload, "suite": workload.partition("/")[0], "operation": "forward", "providers": found}
        rows.append(row)
    names = dict.fromkeys(name for providers in times.values() for name in providers)
    head: dict[str, Any] = {"title": "Time on Great GPU", "environment": ABOUT, "device": "cuda:0", "scale": 1.0}
    head |= {"interrupted": False, "copy": {"bytes_per_s": 3e12}, "floor": {"median_s": 2e-6, "method": "graph"}}
    return {**head, "providers": names, "workloads": rows, **more}


A = document({"llm/x": {"stock": [2e-6, 2e-6, 2e-6], "tembed": [1e-6, 1e-6, 1.2e-6]}, "kg/y": {"stock": [5e-6] * 3}})
B = document({"llm/x": {"stock": [1e-6, 2e-6, 3e-6], "tembed": [4e-6, 4e-6, 5e-6]}, "kg/z": {"tembed": [5e-6] * 3}})


def test_medians_are_compared_and_marked_where_quartiles_lie_apart() -> None:
    stock, ours = compare.comparison(A, B)
    assert (stock["key"], stock["ratio"], stock["apart"]) == (("llm/x", "forward", "stock"), 1, False)
    assert (ours["ratio"], ours["apart"]) == (pytest.approx(4), True)
    back = [(row["ratio"], row["apart"]) for row in compare.comparison(B, A)]
    assert back == [(1, False), (pytest.approx(1 / 4), True)]


def test_geometric_mean_is_taken_for_each_provider() -> None:
    two = document({"kg/a": {"tembed": [1.0] * 2}, "kg/b": {"tembed": [1.0] * 2}})
    other = document({"kg/a": {"tembed": [2.0] * 2}, "kg/b": {"tembed": [8.0] * 2}})
    assert compare.means(compare.comparison(two, other)) == {"tembed": pytest.approx(4)}


def test_report_says_what_is_slower_what_differs_and_what_is_missing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = {**B, "scale": 2.0, "environment": {**ABOUT, "device": "Other GPU", "torch": "2.13"}}
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, found in zip(paths, (A, other), strict=True):
        write_document(found, path)
    assert cli.main(["compare", *map(str, paths)]) == 0
    out = capfd.readouterr().out
    assert "device differs: Great GPU and Other GPU" in out
    assert "torch differs: 2.11 and 2.13" in out
    assert "scale differs: 1.0 and 2.0" in out
    lines = {line.split("|")[2].strip(): line for line in out.splitlines() if "llm/x" in line}
    assert "slower" in lines["tembed"]
    assert "4.000" in lines["tembed"]
    assert "slower" not in lines["stock"]
    assert "geometric mean of tembed: 4.000" in out
    assert "1 times only in A" in out
    assert "1 times only in B" in out
    assert cli.main(["compare", str(paths[1]), str(paths[0])]) == 0
    assert "| 0.250 | faster |" in capfd.readouterr().out
    assert "differs" not in compare.report(A, A)
    assert "nothing has times in both" in compare.report(A, document({}))


def test_table_has_means_of_suites_and_of_all() -> None:
    found = document(
        {
            "llm/x": {"stock": [1.0], "tembed": [0.5]},
            "llm/y": {"stock": [1.0], "tembed": [2.0]},
            "kg/z": {"stock": [1.0], "tembed": [8.0], "liger": [1.0]},
        }
    )
    means = mean_ratios(found)
    assert [*means] == ["llm", "kg", "all"]
    assert means["llm"]["tembed"] == (pytest.approx(1), 2)
    assert means["all"] == {"stock": (1, 3), "tembed": (pytest.approx(2), 3), "liger": (1, 1)}
    text = outcome(found)
    assert "copies reach 3,000 GB/s, an empty call takes 2.00 us by graph" in text
    line = next(line for line in text.splitlines() if "tembed" in line)
    cells = [cell.strip() for cell in line.split("|")][1:-1]
    assert cells == ["", "tembed", "500,000.00", "0.500 (0.500 to 0.500)", "0.0", "50%", "2.0", "graph"]


def test_table_of_a_run_without_stock_has_no_ratios() -> None:
    text = outcome(document({"llm/x": {"tembed": [1.0]}}))
    assert "tembed" in text
    assert "Geometric" not in text
    assert "interrupted" in outcome({**document({}), "interrupted": True, "copy": None, "floor": None})


def test_pictures_are_drawn_for_each_file_wide_enough_to_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    write_document(A, tmp_path / "a.json")
    write_document({**document({}), "copy": None, "floor": None}, tmp_path / "empty.json")
    out = tmp_path / "new" / "pictures"
    assert cli.main(["plot", str(tmp_path / "a.json"), str(tmp_path / "empty.json"), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a-copy.png", "a-ratio.png"]
    printed = capfd.readouterr().out.splitlines()
    assert printed == [
        str(out / "a-copy.png"),
        str(out / "a-ratio.png"),
        f"{tmp_path}/empty.json has no times: no picture",
    ]
    for path in out.iterdir():
        with Image.open(path) as picture:
            assert picture.width == 8 * plot.DPI
    write_document(A, tmp_path / "new" / "a.json")
    assert cli.main(["plot", str(tmp_path / "a.json"), str(tmp_path / "new" / "a.json"), "--out", str(out)]) == 2
    assert "two files are called a" in capfd.readouterr().err


def test_picture_says_where_and_by_which_commit_and_shows_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    seen: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, file, dpi: seen.append(self))
    plot.draw(A, tmp_path, "a")
    for figure in seen:
        assert figure.get_suptitle() == "Time on Great GPU"
        assert figure.get_supxlabel() == "Great GPU, torch 2.11, triton 3.6, commit 0123456789ab"
        (axes,) = figure.axes
        assert [label.get_text() for label in axes.get_yticklabels()] == ["llm/x", "kg/y"]
    copy, ratio = (figure.axes[0] for figure in seen)
    assert [*copy.lines[0].get_xdata()] == [50, 50]
    assert [*ratio.containers[1].lines[0].get_xdata()] == [0.5]
    assert copy.get_xlim()[0] == 0


def test_many_workloads_have_a_picture_for_each_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(plot, "_picture", lambda document, rows, panel, file: drawn.append(len(rows)))
    names = [w.name for suite in ("bert", "kg", "recsys") for w in SUITES[suite]]
    found = plot.draw(document({name: {"stock": [1.0, 2.0]} for name in names}), tmp_path, "x")
    assert [path.name for path in found][::2] == ["x-bert-copy.png", "x-kg-copy.png", "x-recsys-copy.png"]
    assert drawn[::2] == [len(SUITES[suite]) for suite in ("bert", "kg", "recsys")]
