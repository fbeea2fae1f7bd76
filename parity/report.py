"""A results document as a page to open in a browser, and as a table for the README."""

import shlex
from collections import Counter
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from .judge import OUTCOMES

Data = dict[str, Any]

# Colour never stands alone: an outcome has its sign and its word too. Letters name it in classes and for the filters.
SIGNS = {"pass": "✓", "as stock": "=", "missing": "○", "skip": "–", "fail": "×", "crash": "■"}
LETTERS = {outcome: outcome[0] for outcome in OUTCOMES}
RANKS = {outcome: rank for rank, outcome in enumerate(OUTCOMES)}
COUNTED = {"as stock": "as stock", "missing": "missing", "fail": "failed", "crash": "crashed", "skip": "skipped"}
TAGS = {
    "exact": "bit for bit, or the very same attribute",
    "bound": "as near to float64 as its rounding allows, by a derived bound",
    "same error": "stock's type of exception, with a message that contains stock's",
    "deviation": "better than stock, on purpose; another implementation passes too if it does as stock does",
}


def _tally(results: list[Data]) -> Counter[str]:
    return Counter(result["outcome"] for result in results)


def _counts(tally: Counter[str]) -> list[str]:
    """Passed / judged, then what else there was. What the device cannot show is not judged."""
    judged = tally.total() - tally["skip"]
    ratio = f"{tally['pass'] + tally['as stock']} / {judged}" if judged else ""
    return [ratio, *(f"{tally[outcome]} {word}" for outcome, word in COUNTED.items() if tally[outcome])]


def _tallies(data: Data) -> list[tuple[str, list[Counter[str]]]]:
    """A tally for each implementation: group by group, then of all groups if they are several."""
    columns = [column["results"] for column in data["implementations"]]
    names = dict.fromkeys(item["group"] for items in (data["features"], *columns) for item in items)
    rows = [(name, [_tally([r for r in results if r["group"] == name]) for results in columns]) for name in names]
    rows = [row for row in rows if any(row[1])]
    return rows if len(rows) == 1 else [*rows, ("all", [_tally(results) for results in columns])]


def table(data: Data) -> str:
    """The results in Markdown: passed / judged for each group and implementation, then what else there was."""

    def cell(tally: Counter[str]) -> str:
        ratio, *others = _counts(tally)
        stock = f" ({others.pop(0)})" if tally["as stock"] else ""
        return ", ".join(filter(None, (ratio + stock, *others))) or "—"

    names = [column["name"].replace("|", "\\|") for column in data["implementations"]]
    rows = [["group", *names], ["---", *("---:" for _ in names)]]
    rows += [[name, *map(cell, tallies)] for name, tallies in _tallies(data)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _span(kind: str, text: object) -> str:
    return f'<span class="{kind}">{escape(str(text), quote=False)}</span>'


def _mark(outcome: str) -> str:
    return f'<b class="mark {LETTERS[outcome]}"><i>{SIGNS[outcome]}</i> {outcome}</b>'


def _summary(data: Data) -> str:
    """Groups × implementations, each with a bar."""
    lines = ['<tr><th scope="col">Group</th>']
    for i, column in enumerate(data["implementations"]):
        head = f"{_span('who', column['name'])} {_span('what', column['what'])}"
        lines.append(f'<th scope="col" data-i="{i}">{head}</th>')
    for name, tallies in _tallies(data):
        lines.append(f'</tr>\n<tr><th scope="row">{escape(name)}</th>')
        for i, tally in enumerate(tallies):
            ratio, *others = _counts(tally)
            bar = "".join(f'<i class="{LETTERS[o]}" style="flex:{tally[o]}"></i>' for o in OUTCOMES if tally[o])
            text = ", ".join(other.replace(" ", "\xa0") for other in others)
            lines += [f'<td data-i="{i}">', _span("ratio", ratio or "—"), " "]
            lines += [f'<span class="bar" aria-hidden="true">{bar}</span>', _span("what", text), "</td>"]
    return f'<table class="summary">{"".join(lines)}</tr></table>'


def command(spec: str, pattern: str, environment: Data) -> str:
    """What runs these cases again, where they were run."""
    path = environment.get("path")
    random = pattern.startswith("fuzz/") and "{" not in pattern  # of a seed, which has no name
    which = ["--group", "fuzz", "--fuzz", "500"] if random else ["--case", pattern]
    words = ["python", "-m", "tembed.parity", "run", "--impl", spec, *which]
    words += ["--device", "cuda"] if path == "kernels" else []
    return ("TRITON_INTERPRET=1 " if path == "kernels (interpreter)" else "") + shlex.join(words)


def _command(data: Data, column: Data, pattern: str) -> str:
    return f"<code>{escape(command(column['spec'], pattern, data['environment']), quote=False)}</code>"


def _names(stem: str, cases: list[str]) -> str:
    """The parameters of the cases of one feature."""
    return " · ".join(case.removeprefix(stem).lstrip("/") for case in cases)


def _cases(data: Data, column: Data, stem: str, results: list[Data], total: int) -> str:
    """One implementation's cases of a feature, worst first: each message once, with the cases that share it."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for result in sorted(results, key=lambda r: (RANKS[r["outcome"]], bool(r["note"])), reverse=True):
        alike.setdefault((result["outcome"], result["message"], result["note"]), []).append(result["case"])
    lines = []
    for key, cases in alike.items():
        outcome, message, note = key
        names = _names(stem, cases)
        if 1 < len(cases) == total:  # the names stand above
            names = f"all {total}"
        elif len(cases) > 1 and len(results) == total and key == ("pass", "", ""):
            names = f"the other {len(cases)}"
        lines += ["<li>", _mark(outcome), " ", _span("names", names)]
        lines += [f"<p>{escape(text, quote=False)}</p>" for text in (message, note and f"note: {note}") if text]
        lines += [_command(data, column, cases[0])] if outcome not in ("pass", "skip") else []
    if {outcome for outcome, *_ in alike} <= {"pass", "skip"}:
        lines.append(_command(data, column, f"{stem}/*" if len(results) > 1 else results[0]["case"]))
    return f"<ul>{''.join(lines)}</ul>"


def _row(data: Data, feature: Data, columns: list[list[Data]]) -> str:
    """A row that opens: the sentence and a cell for each implementation; under them the cases."""
    stem = f"{feature['group']}/{feature['name']}"
    cases = [*dict.fromkeys(result["case"] for results in columns for result in results)]
    lines = [f'<details class="row" id="{escape(stem)}"><summary class="line"><span class="says">']
    lines += [escape(feature["says"], quote=False), " ", _span("tag", feature["claim"])]
    if feature["deviation"] is not None:
        lines += [" ", _span("tag", f"deviation {feature['deviation']}"), " ", _span("what", feature["deviation_says"])]
    lines.append("</span>")
    panel = [f'</summary>\n<div class="panel"><p><b>{escape(stem)}</b> {_span("names", _names(stem, cases))}</p>']
    for i, (column, results) in enumerate(zip(data["implementations"], columns, strict=True)):
        tally, letters = _tally(results), {r["case"]: LETTERS[r["outcome"]] for r in results}
        seen, who = "".join(letters.get(case, "-") for case in cases), _span("who", column["name"])
        lines.append(f' <span class="cell" data-i="{i}" data-o="{seen}">{who} ')
        if results:
            # a skip counts as the worst only where nothing was judged
            worst = max(tally, key=lambda outcome: (outcome != "skip", RANKS[outcome]))
            lines += [_mark(worst), " ", _span("ratio", _counts(tally)[0])]
            counts = _span("what", ", ".join(filter(None, _counts(tally))))
            panel += [
                f'<div data-i="{i}"><h4>{who} {counts}</h4>',
                _cases(data, column, stem, results, len(cases)),
                "</div>",
            ]
        lines.append("</span>")
    return "".join([*lines, *panel, "</div></details>\n"])


def _matrix(data: Data) -> str:
    """Features × implementations, group by group."""
    found: dict[tuple[str, str], list[list[Data]]] = {}
    for i, column in enumerate(data["implementations"]):
        for result in column["results"]:
            empty: list[list[Data]] = [[] for _ in data["implementations"]]
            found.setdefault((result["group"], result["feature"]), empty)[i].append(result)
    sections: dict[str, list[str]] = {}
    for feature in data["features"]:
        if columns := found.pop((feature["group"], feature["name"]), None):
            sections.setdefault(feature["group"], []).append(_row(data, feature, columns))
    assert not found, f"results of features that the document does not describe: {list(found)}"
    return "".join(
        f'<section data-group="{escape(group)}"><h3>{escape(group)}</h3>\n{"".join(rows)}</section>\n'
        for group, rows in sections.items()
    )


def _told(value: object) -> str:
    return {"True": "yes", "False": "no", "None": "none"}.get(str(value), str(value))


def _terms(pairs: dict[str, str]) -> str:
    return "".join(f"<div><dt>{term}</dt> <dd>{escape(text)}</dd></div> " for term, text in pairs.items())


def write(data: Data, path: Path) -> None:
    """Writes one page that needs nothing else, no network either; without scripts only its filters are missing."""
    columns = data["implementations"]
    names = [escape(column["name"]) for column in columns]
    parts = {
        "title": escape(data["title"]),
        "command": escape(data["command"], quote=False),
        "count": len({result["case"] for column in columns for result in column["results"]}),
        "environment": _terms(
            {escape(name): _told(value) for name, value in data["environment"].items() if name != "command"}
        ),
        "summary": _summary(data),
        "outcomes": _terms({_mark(outcome): says for outcome, says in OUTCOMES.items()}),
        "tags": _terms({_span("tag", tag): says for tag, says in TAGS.items()}),
        "groups": "".join(f"<option>{escape(name)}</option>" for name, _ in _tallies(data) if name != "all"),
        "choice": "".join(f'<label><input type="checkbox" checked> {name}</label> ' for name in names),
        "several": "" if len(columns) > 1 else "hidden",
        "heads": "".join(f'<span class="cell" data-i="{i}">{name}</span> ' for i, name in enumerate(names)),
        "columns": len(columns),
        "matrix": _matrix(data),
    }
    template = Template(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
    path.write_text(template.substitute(parts), encoding="utf-8")
