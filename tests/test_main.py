import os
import re
import subprocess
import sys

import pytest
import torch

import tembed
from tembed import kernels
from tembed.bench.call_time import measure, pairs


def test_main_reports_versions_paths_and_a_check_of_each_kernel(device: str) -> None:
    run = subprocess.run([sys.executable, "-m", "tembed"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"tembed {tembed.__version__}, torch {torch.__version__}" in run.stdout
    assert re.search(rf"{device}\S* +{re.escape(tembed.path(device))}", run.stdout)
    assert "bad indices: at the call on cpu, on accelerators deferred\n" in run.stdout
    for name in ("gather", "reports", "max_norm", "sorted runs", "segmented sum", "module"):
        assert re.search(rf"^  {name} +ok$", run.stdout, re.M), run.stdout


def test_main_fails_when_a_kernel_does() -> None:
    """A kernel that writes nothing, by way of a launcher that a start-up file replaces."""
    startup = (
        "import tembed.kernels.gather as g\n"
        "g.gather_rows = lambda *a, **k: None\n"
        "from tembed.__main__ import main\n"
        "raise SystemExit(main())\n"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    run = subprocess.run([sys.executable, "-c", startup], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    assert re.search(r"gather +FAILED: wrong result", run.stdout)


@pytest.mark.skipif(kernels.drives("cpu"), reason="times the torch reference, which this lane does not run")
def test_a_plain_call_on_the_cpu_costs_at_most_15_per_cent_more_than_stocks() -> None:
    """Taking turns in one run; a machine with other work gets five tries."""
    for name, (stock, ours) in pairs("cpu").items():
        ratios = []
        while len(ratios) < 5 and (not ratios or min(ratios) > 1.15):
            ratios.append(measure(stock, ours, "cpu", calls=300, blocks=80)["ratio"])
        assert min(ratios) <= 1.15, (name, ratios)


def test_call_time_refuses_to_time_a_wrong_result() -> None:
    with pytest.raises(RuntimeError, match="the results differ"):
        measure(lambda: torch.zeros(2), lambda: torch.ones(2), "cpu", calls=1, blocks=1)
