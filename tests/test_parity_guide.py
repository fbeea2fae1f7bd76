"""The guide's example does what the guide says."""

import re
import shlex
from pathlib import Path

import pytest

from tembed import kernels
from tembed.parity import cli
from tembed.parity.instruments import INSTRUMENTS
from tembed.parity.judge import OUTCOMES

GUIDE = (Path(__file__).parents[1] / "parity" / "README.md").read_text()

pytestmark = pytest.mark.skipif(kernels.interpreted(), reason="processes of their own: the other lane has them")


def test_the_guides_example_is_judged_as_the_guide_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    lines = [line for line in GUIDE.splitlines() if line.startswith("python -m tembed.parity run")]
    whole, one = (shlex.split(line)[3:] for line in lines)
    assert cli.main(one) == 1
    assert "FAIL  dense-gradient/values/float32,zipf,padding_idx=3" in capfd.readouterr().out
    assert cli.main([*whole, "--group", "dense-gradient"]) == 1
    assert "missing" in capfd.readouterr().out
    assert "mine:Embedding" in (tmp_path / "mine.html").read_text()


def test_the_guide_names_every_option_instrument_and_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}
    assert {"--impl", "--fuzz", "--under"} <= options
    assert [word for word in (*options, *INSTRUMENTS, *OUTCOMES) if word not in GUIDE] == []
