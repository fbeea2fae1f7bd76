"""Files of runs and calls whose times are written here, and the names of targets, for tests of `bench targets`."""

from dataclasses import asdict
from typing import Any

from tembed.bench.summary import summary
from tembed.bench.workloads import SUITES

ABOUT = {"device": "Great GPU", "gpu": {}, "driver": "1", "torch": "2", "kernels": "triton 3", "commit": "abc"}
WORKLOADS = {w.name: w for suite in SUITES.values() for w in suite}
GPT2, TEXT, HOT = "llm/gpt2/N=64/fp32/text", "llm/llama3/N=8192/bf16/text", "llm/llama3/N=8192/bf16/hot"
LONG, TYPES = "tritonbench/131072x4096/N=16384/fp32/uniform", "bert/token types/N=16384/bf16/uniform"
NONE, ALL = (f"kg/40k x 128/N=65536/fp32/uniform/{over} over" for over in ("none", "all"))

FORWARD, FORWARD_MEAN = "forward, no max_norm: time / stock's", "forward, no max_norm: time / stock's, mean"
FORWARD_COPY = "forward, outputs from 256 MB on: of the copy bandwidth"
OVER_NONE, OVER_ALL = (f"max_norm, {rows} over: time / stock's" for rows in ("no row", "all rows"))
FUNCTION, MODULE = (f"call for 8 lookups, {form}: wall clock / stock's" for form in ("function", "module"))
COMPILED = "compiled forward, but for the look at indices: time / compiled stock's"
COMPILED_ALL = "compiled forward, the look at indices with it: time / compiled stock's"
BACKWARD, BACKWARD_MEAN = "dense backward: time / stock's", "dense backward: time / stock's, mean"
FEW_ROWS = "dense backward, hot row or at most 16 rows: time / stock deterministic's"
BACKWARD_COPY = "dense backward, gradients from 256 MB on: of the copy bandwidth"
NARROW = "dense backward, 16 bits: time / compiled stock's"
SGD, ADAM, ADAGRAD = (f"sparse step of training, {name}: time / stock's" for name in ("SGD", "SparseAdam", "Adagrad"))
REPORTS = "reports of bad indices, forward: time / without"
REPORTS_CALL = "reports of bad indices: wall clock added to a call"

Row = dict[str, Any]


def row(workload: str, operation: str = "forward", of_copy: float = 0.5, **microseconds: float | list[float]) -> Row:
    """A row of times in microseconds, by provider, with _ for a space."""
    found: dict[str, Any] = {}
    for name, times in microseconds.items():
        samples = [1e-6 * time for time in (times if isinstance(times, list) else [times] * 3)]
        its = {"gate": "passed", "method": "graph", "peak_bytes": None, "samples_s": samples, **summary(samples, None)}
        found[name.replace("_", " ")] = {**its, "bytes_per_s": 1e12, "of_copy": of_copy}
    about = {"workload": workload, "operation": operation, **asdict(WORKLOADS[workload])}
    return {**about, "providers": found}


def run(*rows: Row, about: dict[str, Any] = ABOUT, **more: Any) -> dict[str, Any]:
    head = {"title": "Time", "environment": about, "device": "cuda:0", "scale": 1.0, "floor": None, "providers": {}}
    return {**head, "copy": {"bytes_per_s": 2e12}, "interrupted": False, "workloads": [*rows], **more}


def calls(results: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    """A file of calls: pairs of microseconds, the second over the first."""
    found: dict[str, Any] = {}
    for name, pairs in results.items():
        samples = [[1e-6 * time for time in pair] for pair in pairs]
        ratio = summary([b for _, b in samples], [a for a, _ in samples])["ratio"]
        found[name] = {"ratio": ratio, "samples_s": samples}
    return {"environment": ABOUT, "results": found}
