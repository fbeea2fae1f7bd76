"""Where a command writes what it found."""

import argparse
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def add_outputs(parser: argparse.ArgumentParser, stem: str, suffix: str = ".json") -> None:
    """--json, --markdown, and --write for the committed files."""
    parser.set_defaults(stem=stem, suffix=suffix)
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes all numbers there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="writes tables there")
    parser.add_argument("--write", action="store_true", help=f"writes {stem}{suffix} and {stem}.md in bench/results")


def write(arguments: argparse.Namespace, data: str, markdown: str) -> None:
    """Writes what was asked for."""
    default = RESULTS / arguments.stem if arguments.write else None
    if path := arguments.json or (default and default.with_suffix(arguments.suffix)):
        path.write_text(data)
    if path := arguments.markdown or (default and default.with_suffix(".md")):
        path.write_text(markdown)
