"""Tables that read well on a terminal and are Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], lines: Iterable[Iterable[str]], left: int = 1) -> str:
    """A Markdown table in columns; the first `left` of them, of words, go to the left, the others, of numbers, not."""
    cells = [[*head], *([*line] for line in lines)]
    widths = [max(3, *(len(line[k]) for line in cells)) for k in range(len(head))]

    def written(line: Sequence[str]) -> str:
        padded = (f"{text:{'<' if k < left else '>'}{widths[k]}}" for k, text in enumerate(line))
        return "| " + " | ".join(padded) + " |\n"

    rule = ["-" * w if k < left else "-" * (w - 1) + ":" for k, w in enumerate(widths)]
    return written(cells[0]) + written(rule) + "".join(map(written, cells[1:]))
