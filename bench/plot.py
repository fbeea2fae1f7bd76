"""Pictures of a run, for each operation: how near each workload comes to a copy, and its time over stock's."""

import re
from pathlib import Path
from typing import Any

from .documents import FORWARD, by_operation, timed

Data = dict[str, Any]

COLOURS = ("tab:gray", "tab:olive", "tab:blue", "tab:cyan", "tab:orange", "tab:purple")
MARKERS = ("o", "s", "D", "^", "v", "P")
MOST = 30  # workloads in one picture; beyond, a picture for each suite
DPI = 200  # twice as many pixels as a page of 800 across shows


def draw(document: Data, folder: Path, stem: str) -> list[Path]:
    """Saves the pictures of each operation in a folder and returns their names."""
    saved: list[Path] = []
    documents = by_operation(document)
    for name, its in documents.items():
        title = document["title"] if len(documents) == 1 else f"{document['title']}: {name}"
        slug = "" if name == FORWARD else "-" + re.sub(r"\W+", "-", name)
        saved += _draw({**its, "title": title}, folder, stem + slug)
    return saved


def _draw(document: Data, folder: Path, stem: str) -> list[Path]:
    rows = [row for row in document["workloads"] if any("samples_s" in its for its in _providers(row))]
    if not rows:
        return []
    groups = {"": rows}
    if len(rows) > MOST:
        groups = {
            f"-{suite}": [row for row in rows if row["suite"] == suite] for suite in {r["suite"]: 0 for r in rows}
        }
    saved = []
    for suffix, some in groups.items():
        for kind, panel in (("copy", _copy_panel), ("ratio", _ratio_panel)):
            file = folder / f"{stem}{suffix}-{kind}.png"
            _picture(document, some, panel, file)
            saved.append(file)
    return saved


def _providers(row: Data) -> list[Data]:
    return [*row.get("providers", {}).values()]


def _picture(document: Data, rows: list[Data], panel: Any, file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = [name for name in document["providers"] if any(key[2] == name for key in timed({"workloads": rows}))]
    height = 1.9 + len(rows) * (0.16 + 0.055 * len(names))
    figure, axes = plt.subplots(figsize=(8, height), layout="constrained")
    for position, name in enumerate(names):
        its = [(i, row["providers"].get(name, {})) for i, row in enumerate(rows)]
        offset = (position - (len(names) - 1) / 2) * 0.7 / len(names)
        points = [(i + offset, found) for i, found in its if "samples_s" in found]
        k = [*document["providers"]].index(name)
        style = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)], "label": name}
        panel(axes, points, style)
    for edge in range(len(rows) - 1):
        axes.axhline(edge + 0.5, color="0.9", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(rows)), [row["workload"] for row in rows], fontsize=8.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color="0.9")
    figure.suptitle(document["title"], fontsize=11)
    place = {"loc": "lower right", "bbox_to_anchor": (1, 1)}
    axes.legend(**place, ncols=len(names), fontsize=8.5, frameon=False, columnspacing=1.2, handletextpad=0.3)
    about = document["environment"]
    caption = f"{about['device']}, torch {about['torch']}, {about['kernels']}, commit {str(about['commit'])[:12]}"
    figure.supxlabel(caption, fontsize=7.5, color="0.35")
    figure.savefig(file, dpi=DPI)
    plt.close(figure)


def _copy_panel(axes: Any, points: list[tuple[float, Data]], style: Data) -> None:
    shown = [(y, 100 * its["of_copy"]) for y, its in points if its["of_copy"]]
    axes.plot([x for _, x in shown], [y for y, _ in shown], linestyle="", markersize=5, **style)
    axes.axvline(100, color="0.5", linewidth=1)
    axes.set_xlim(left=0)
    axes.set_xlabel("per cent of the copy bandwidth, more is better", fontsize=9)


def _ratio_panel(axes: Any, points: list[tuple[float, Data]], style: Data) -> None:
    from matplotlib import ticker

    shown = [(y, its["ratio"], its["ratio_quartiles"]) for y, its in points if its["ratio"]]
    low = [x - quartiles[0] for _, x, quartiles in shown]
    high = [quartiles[1] - x for _, x, quartiles in shown]
    middles = [x for _, x, _ in shown]
    axes.errorbar(middles, [y for y, _, _ in shown], xerr=(low, high), linestyle="", markersize=5, capsize=2, **style)
    axes.axvline(1, color="0.5", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel("time / stock's, with quartiles, less is better", fontsize=9)
