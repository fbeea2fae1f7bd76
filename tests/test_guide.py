"""The guide's code does what the guide says: every block of it is run, one after the other."""

import re
import subprocess
import sys
from pathlib import Path

import compatibility
import pytest

from tembed import kernels

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "tembed" / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)

pytestmark = pytest.mark.skipif(kernels.interpreted(), reason="a process of its own: the other lane has it")


def test_the_guides_code_runs(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    assert len(BLOCKS) == len(re.findall("^```python$", GUIDE, re.MULTILINE)) >= 6
    (tmp_path / "guide.py").write_text("\n\n".join(BLOCKS))
    done = subprocess.run(
        [sys.executable, "guide.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not compatibility.RESULTS.exists(), reason="nothing was recorded yet")
def test_the_guide_says_what_was_tried() -> None:
    assert compatibility.table() in GUIDE
    pairs = {(row["torch"].split("+")[0], row["triton"]) for row in compatibility.rows() if row["lanes"]}
    assert len(pairs) >= 2
    assert not any(its["failed"] for row in compatibility.rows() for its in row["lanes"].values())
    assert all(its["passed"] > 500 for row in compatibility.rows() for its in row["lanes"].values())
