"""Faults put in on purpose, each of which the suite has to notice: `make mutants`.

Every fault is one replacement in a copy of the sources, under which the named tests must fail.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Mutant:
    """In `file`, `old` becomes `new`; a group of parity cases, or a file of tests, must fail in one lane."""

    name: str
    file: str
    old: str
    new: str
    tests: str
    interpreted: bool = True


# Groups of the parity suite, where a fault shows there; files of tests of the kernels themselves, where it does not.
FORWARD, GRADIENT, NORM, ERRORS = "forward", "dense-gradient", "max_norm", "errors"
SPARSE, SUM, RUNS, GATHER, RENORM, PARTS, PROCESSES, REPORTS, ONCE = (
    "sparse-gradient",
    "test_kernels_reduce.py",
    "test_kernels_runs.py",
    "test_kernels_gather.py",
    "test_kernels_renorm.py",
    "test_dtensor.py",
    "test_distributed.py",
    "test_kernels_reports.py",
    "test_deferred_once.py",
)
MUTANTS = (
    Mutant("padding ignored among many", "kernels/runs.py", " | (index == padding_idx)", "", RUNS),
    Mutant("padding ignored, reference", "tembed/reference.py", "keep = (rows != padding_idx - (first or 0)) & ", "keep = ", GRADIENT, False),
    Mutant("wrong scale", "kernels/merge.py", "tl.maximum(length, 1)", "tl.maximum(length - 1, 1)", GRADIENT),
    Mutant("scale ignored, reference", "tembed/reference.py", "len(rows), -1, scale)", "len(rows), -1, False)", GRADIENT, False),
    Mutant("length lost between chunks", "kernels/merge.py", "length += tl.load(length_ptr + child * 2, ", "length = tl.load(length_ptr + child * 2, ", SUM),
    Mutant("a duplicate dropped", "kernels/chunks.py", "acc += value.to(ACC)", "acc = tl.where((length == 1)[:, None], acc, acc + value.to(ACC))", GRADIENT),
    Mutant("a run dropped", "kernels/chunks.py", "final = (key < V) & ends & inside", "final = (key < V) & ends & inside & (key > 0)", GRADIENT),
    Mutant("a chunk counted twice", "kernels/merge.py", "acc = tl.where(through[:, None], acc, 0.0)", "acc = tl.where(through[:, None], acc + acc, 0.0)", SUM),
    Mutant("heads mixed up with tails", "kernels/chunks.py", "slot = chunk * 2 + inside.to(tl.int64)", "slot = chunk * 2", SUM),
    Mutant("gradient row shifted", "kernels/chunks.py", "row = tl.load(order_ptr + at,", "row = tl.load(order_ptr + at + 1,", GRADIENT),
    Mutant("sums in the narrow type", "kernels/chunks.py", "acc += value.to(ACC)", "acc = (acc + value.to(ACC)).to(value.dtype).to(ACC)", GRADIENT),
    Mutant("partials not scaled", "kernels/merge.py", "store_sum(out_ptr, first, acc, length, d, closes & inside, mask_d, D, SCALE)", "store_sum(out_ptr, first, acc, length, d, closes & inside, mask_d, D, False)", SUM),
    Mutant("a walked run not scaled", "kernels/merge.py", "store_sum(out_ptr, whole + row, acc, length, d, whole == 0, mask_d, D, SCALE)", "store_sum(out_ptr, whole + row, acc, length, d, whole == 0, mask_d, D, False)", GRADIENT),
    Mutant("index cut to 16 bits", "kernels/gather.py", "mask=mask_n, other=-1).to(tl.int64)", "mask=mask_n, other=-1).to(tl.int16).to(tl.int64)", FORWARD),
    Mutant("key cut to 16 bits", "kernels/runs.py", "(torch.int8, torch.int16, torch.int32, torch.int64) if torch.iinfo(dtype).max >= V", "(torch.int8, torch.int16) if torch.iinfo(dtype).max >= V or dtype == torch.int16", GRADIENT),
    Mutant("mask of the last columns missing", "kernels/gather.py", "mask=mask_n[:, None] & mask_d, cache", "mask=mask_n[:, None], cache", FORWARD),
    Mutant("mask of the last lookups missing", "kernels/gather.py", "mask=mask_n[:, None] & mask_d, cache", "mask=mask_d, cache", FORWARD),
    Mutant("gradient's strides ignored", "kernels/chunks.py", "base = row * stride_inner", "base = row * D", GRADIENT),
    Mutant("last chunk left out", "kernels/chunks.py", "wanted = (key < V) & (at < end)", "wanted = (key < V) & (at < end) & ((end <= N) | (at < 1))", GRADIENT),
    Mutant("the end of a run left out of the walk", "kernels/merge.py", "newest = last\n", "newest = last - 1\n", SUM),
    Mutant("the walk reads past the keys", "kernels/merge.py", "mask=(child >= 0) & (border + span < N), other=-1", "mask=child >= 0, other=-1", "test_kernels_instruments.py"),
    Mutant("the walk ends early", "kernels/merge.py", "mine = (child >= 0) & (came | follows)", "mine = (child >= 0) & came", SUM),
    Mutant("an untouched row not filled", "kernels/fill.py", "(touched == 0) & (v < V)", "(touched == 0) & (v + 1 < V)", SUM),
    Mutant("a touched row filled", "kernels/fill.py", "(touched == 0) & (v < V)", "v < V", SUM),
    Mutant("places of equal lookups mixed up", "kernels/rank.py", "other[None, :] < mine[:, None]", "(other // MOST)[None, :] < (mine // MOST)[:, None]", RUNS),
    Mutant("padding ignored among few", "kernels/rank.py", " & (index != padding_idx)", "", RUNS),
    Mutant("runs before a block of chunks not counted", "kernels/number.py", "runs_before(begins_ptr, tl.min(at, axis=0)) + ", "", RUNS),
    Mutant("runs of other chunks not counted", "kernels/number.py", "tl.cumsum(own, axis=0) - own", "0", RUNS),
    Mutant("a walked run numbered as the next", "kernels/merge.py", "runs_before(begins_ptr, begin + 1).to(tl.int64) - 1", "runs_before(begins_ptr, begin + 1).to(tl.int64)", RUNS),
    Mutant("a dropped run among the rows", "kernels/rank.py", "(equal == 0) & (key < V)", "equal == 0", RUNS),
    Mutant("renorm applied twice", "kernels/renorm.py", "factor = (limit / (norm + 1e-7))", "factor = (limit / (norm + 1e-7)) * (limit / (norm + 1e-7))", NORM),
    Mutant("renorm applied twice, reference", "tembed/ops.py", "            reference.renorm_(weight, indices, max_norm, norm_type, first)", "            reference.renorm_(weight, indices, max_norm, norm_type, first), reference.renorm_(weight, indices, max_norm * 0.99, norm_type, first)", NORM, False),
    Mutant("renormed rows not written back", "kernels/renorm.py", "if tl.max(firsts, axis=0) > NONE:", "if tl.max(firsts, axis=0) > KEPT:", NORM),
    Mutant("one row of a tile not written back", "kernels/renorm.py", "mask = (target >= 0)[:, None]", "mask = (target > 0)[:, None]", NORM),
    Mutant("NaN taken for a small norm", "kernels/norms.py", 'axis=1) > 0, float("nan"), norm)', 'axis=1) > 0, float("inf"), norm)', NORM),
    Mutant("the larger of two pieces of a row lost", "kernels/norms.py", 'float("nan"), tl.maximum(a, b))', 'float("nan"), a)', RENORM),
    Mutant("only the first block written back", "kernels/renorm.py", "for k in range(0, blocks):", "for k in range(0, 1):", RENORM),
    Mutant("targets left out of a block with some over", "kernels/renorm.py", "mask=mask_n & (tl.where(lane == 0, 1, most) > 0)", "mask=mask_n & (lane == 0)", NORM),
    Mutant("the end of a long row not scaled", "kernels/renorm.py", "_store_rows(out_ptr, x, n, mask_n, start + d, over, factor, D, ACC)", "_store_rows(out_ptr, x, n, mask_n, start + d, over & (D < 0), factor, D, ACC)", RENORM),
    Mutant("version not counted", "tembed/ops.py", "torch.autograd.graph.increment_version(weight)", "pass", NORM),
    Mutant("table stride ignored", "kernels/gather.py", "row_stride = D if PACKED else stride_weight_v", "row_stride = D", GATHER),
    Mutant("negative index not masked", "kernels/gather.py", "(index >= first) & ", "", GATHER),
    Mutant("the first row of a part ignored by max_norm", "kernels/renorm.py", "row = index - first", "row = index", RENORM),
    Mutant("the first row of a part ignored among many", "kernels/runs.py", "row = index - first", "row = index", RUNS),
    Mutant("the first row of a part ignored among few", "kernels/rank.py", "row = index - first", "row = index", RUNS),
    Mutant("a table cut in parts that are too small", "tembed/placements.py", "most = -(-rows // size)", "most = rows // size", PARTS, False),
    Mutant("lookups of one process counted", "tembed/parts.py", "lookup.shape[:1]), summed(terms))", "lookup.shape[:1]), terms)", PROCESSES, False),
    Mutant("max_norm for lookups of one process", "tembed/sharded.py", "(layout.apart or layout.by_columns)", "layout.by_columns", PROCESSES, False),
    Mutant("gradients of several processes not added up", "tembed/parts.py", "    if layout.apart:\n", "    if layout.apart and scale:\n", PROCESSES, False),
    Mutant("unstable order", "kernels/runs.py", "torch.sort(keys, stable=True)", "torch.sort(keys.flip(0), stable=True)", RUNS),
    Mutant("zero gradient", "tembed/ops.py", "launch.sum_runs(keys, order, _rows_of(grad_output), out, scale, fill)", "out.zero_()", GRADIENT),
    Mutant("counts left out of double backward", "tembed/ops.py", "if not scale or not out.numel():", "if True:", GRADIENT, False),
    Mutant("coalesced said of a sum", "tembed/autograd.py", "or found._nnz() != nnz:\n            return\n        for same in (True, False):  # looked at once more: another thread's backward may have added to it meanwhile\n            if (found._indices().untyped_storage().data_ptr() == indices.data_ptr()) is same:\n                found._coalesced_(same)", "or nnz < 0:\n            return\n        found._coalesced_(True)", SPARSE, False),
    Mutant("table changed before the index is checked", "tembed/functional.py", "report = reports.check(input, weight.shape[0], weight)", "report = None", ERRORS),
    Mutant("not the first bad index reported", "kernels/reports.py", "if earlier == 0:", "if begin >= 0:", REPORTS),
    Mutant("bad indices of a block not reported", "kernels/reports.py", "tl.min(tl.where(bad, n, tl.max(n, axis=0)), axis=0)", "begin", REPORTS),
    Mutant("rows of other parts taken for bad", "kernels/gather.py", "mask_n & is_bad(index, rows)", "mask_n & is_bad(index, V)", REPORTS),
    Mutant("bad indices above the table not reported by max_norm", "kernels/renorm.py", "bad = mask_n & is_bad(index, rows)", "bad = mask_n & (index < 0)", REPORTS),
    Mutant("a report raised twice", "tembed/slots.py", "                    self.view[1 + slot * WORDS] = 0", "                    pass", ONCE),
    Mutant("reports of slots that went round told first", "tembed/slots.py", "[*range(latest, SLOTS), *range(latest), ", "[*range(SLOTS), ", ONCE),
    Mutant("a tangent reports once more", "tembed/transformable.py", "        if not call.reported:\n            batches", "        if True:\n            batches", "test_deferred_compiled.py"),
    Mutant("rows of bad indices not masked in compiled code", "tembed/compiled.py", ".masked_fill((indices < 0).unsqueeze(-1), 0)", "", "test_deferred_compiled.py"),
)  # fmt: skip


def survives(mutant: Mutant) -> bool:
    """Whether the tests pass all the same."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        for name in ("tembed", "kernels", "parity", "bench", "tests", "pyproject.toml"):
            subprocess.run(["cp", "-a", str(ROOT / name), str(copy / name)], check=True)
        source = (copy / mutant.file).read_text()
        if source.count(mutant.old) != 1:
            raise SystemExit(f"{mutant.name}: {source.count(mutant.old)} places in {mutant.file} have {mutant.old!r}")
        (copy / mutant.file).write_text(source.replace(mutant.old, mutant.new))
        environment = {**os.environ, "PYTHONPATH": directory, "TRITON_INTERPRET": str(int(mutant.interpreted))}
        where = subprocess.run(
            [sys.executable, "-c", "import tembed; print(tembed.__file__)"],
            env=environment, cwd=copy, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert where.startswith(directory), where
        chosen = [mutant.tests] if mutant.tests.endswith(".py") else ["test_parity.py", "-k", f"[{mutant.tests}/"]
        command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", f"tests/{chosen[0]}", *chosen[1:]]
        run = subprocess.run(command, env=environment, cwd=copy, capture_output=True, text=True, check=False)
        crashed = run.returncode < 0  # an access out of bounds, say
        if run.returncode not in (0, 1) and not crashed:
            raise SystemExit(f"{mutant.name}: pytest ended with {run.returncode}\n{run.stdout[-2000:]}")
        return run.returncode == 0


def main() -> int:
    """Prints a line for each mutant; 1 if one survived."""
    chosen = [mutant for mutant in MUTANTS if all(word in mutant.name for word in sys.argv[1:])]
    survivors = 0
    with ThreadPool(os.cpu_count()) as pool:
        verdicts = pool.imap(survives, chosen)
        for mutant, alive in zip(chosen, tqdm(verdicts, total=len(chosen), unit="mutant", disable=None), strict=True):
            survivors += alive
            tqdm.write(f"{'SURVIVED' if alive else 'killed  '}  {mutant.name}  ({mutant.tests})")
    print(f"{len(chosen) - survivors} of {len(chosen)} killed")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
