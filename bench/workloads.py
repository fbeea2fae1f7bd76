"""The workloads, as data: whose tables, how many lookups, and how those are distributed.

Sources of the sizes: `tritonbench` is the embedding operator of the public suite of that name; `llm` the token tables
of GPT-2, Llama 3, Qwen3 and Gemma 3; `bert` BERT's token types and positions; `recsys` tables of the sizes that
recommendation benchmarks have; `kg` entities of a knowledge graph, whose training keeps norms at most 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import prod

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
DISTRIBUTIONS = ("uniform", "zipf", "text", "hot", "sorted")
OVER = ("none", "all")


@dataclass(frozen=True)
class Workload:
    """One table and one batch of lookups in it.

    Args:
        suite: the suite that it is of.
        table: the table's name.
        V, D: rows and columns of the table.
        shape: of the indices; N is their number.
        dtype: a name of DTYPES.
        distribution: a name of DISTRIBUTIONS.
        max_norm: 1 for suites that renormalize.
        over: how many rows are over max_norm before the call: a name of OVER.
    """

    suite: str
    table: str
    V: int
    D: int
    shape: tuple[int, ...]
    dtype: str
    distribution: str
    max_norm: float | None = None
    over: str = "none"

    @property
    def N(self) -> int:
        """Lookups."""
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return DTYPES[self.dtype].itemsize

    @property
    def name(self) -> str:
        """suite/table/N/dtype/distribution, and what is over."""
        renorm = "" if self.max_norm is None else f"/{self.over} over"
        return f"{self.suite}/{self.table}/N={self.N}/{self.dtype}/{self.distribution}{renorm}"

    def bytes(self, unique: int | None = None) -> int:
        """The least that a lookup moves: indices, each row that is looked up, the output.

        A row counts as often as it is looked up, or `unique` rows once each.
        """
        return self.N * 8 + (self.N if unique is None else unique) * self.D * self.itemsize + self.output_bytes

    @property
    def output_bytes(self) -> int:
        """Size of the output."""
        return self.N * self.D * self.itemsize

    def scaled(self, factor: float) -> "Workload":
        """The same with so many times fewer lookups and rows; as many columns."""
        N = max(1, round(self.N / factor))
        return replace(self, V=max(2, round(self.V / factor)), shape=(N,))


def _tritonbench() -> Iterator[Workload]:
    for B, T, D in ((32, 512, 768), (8, 2048, 4096)):
        for exponent in range(10, 18):
            for dtype in DTYPES:
                yield Workload("tritonbench", f"{1 << exponent}x{D}", 1 << exponent, D, (B, T), dtype, "uniform")


LLM = {"gpt2": (50_257, 768), "llama3": (128_256, 4096), "qwen3": (151_936, 1024), "gemma3": (262_144, 1152)}


def _llm() -> Iterator[Workload]:
    for table, (V, D) in LLM.items():
        for shape in ((1,), (64,), (1, 2048), (4, 2048), (32, 2048)):
            # every distribution at one size, natural text at all
            for distribution in DISTRIBUTIONS if prod(shape) == 8192 else ("text",):
                for dtype in DTYPES:
                    yield Workload("llm", table, V, D, shape, dtype, distribution)


def _bert() -> Iterator[Workload]:
    for table, V in (("token types", 2), ("positions", 512)):
        for distribution in ("uniform", "sorted", "hot"):
            for dtype in DTYPES:
                yield Workload("bert", table, V, 768, (32, 512), dtype, distribution)


def _recsys() -> Iterator[Workload]:
    for table, V, D in (("10M x 16", 10_000_000, 16), ("1M x 64", 1_000_000, 64), ("10M x 128", 10_000_000, 128)):
        for N in (65_536, 1 << 20):
            for distribution in ("uniform", "zipf"):
                for dtype in DTYPES:
                    yield Workload("recsys", table, V, D, (N,), dtype, distribution)


def _kg() -> Iterator[Workload]:
    for N in (4096, 65_536):
        for distribution in ("uniform", "zipf"):
            for dtype in DTYPES:
                for over in OVER:
                    yield Workload("kg", "40k x 128", 40_000, 128, (N,), dtype, distribution, 1.0, over)


def _suites() -> dict[str, tuple[Workload, ...]]:
    suites = {f.__name__.lstrip("_"): tuple(f()) for f in (_tritonbench, _llm, _bert, _recsys, _kg)}
    every = {workload.name: workload for suite in suites.values() for workload in suite}
    return {**suites, "quick": tuple(every[name] for name in QUICK)}


# One of each kind: launch bound and bandwidth bound, short rows and long, table in the cache and not, hot and not.
QUICK = (
    "tritonbench/1024x768/N=16384/fp32/uniform",
    "tritonbench/131072x768/N=16384/bf16/uniform",
    "tritonbench/131072x4096/N=16384/fp32/uniform",
    "llm/gpt2/N=64/fp32/text",
    "llm/llama3/N=8192/bf16/text",
    "llm/llama3/N=8192/bf16/hot",
    "llm/gemma3/N=65536/bf16/text",
    "bert/token types/N=16384/bf16/uniform",
    "recsys/10M x 16/N=1048576/fp32/zipf",
    "recsys/1M x 64/N=65536/bf16/uniform",
    "kg/40k x 128/N=65536/fp32/uniform/none over",
    "kg/40k x 128/N=65536/fp32/uniform/all over",
)
SUITES = _suites()


def select(suites: list[str], patterns: list[str]) -> list[Workload]:
    """The workloads of these suites (all but `quick` when none is named) whose name is like one of the patterns.

    Each once, in order. A pattern has * and ? for what may stand there; none means every name.
    """
    named = suites or [suite for suite in SUITES if suite != "quick"]
    every = {workload.name: workload for suite in named for workload in SUITES[suite]}
    return [w for name, w in every.items() if not patterns or any(fnmatchcase(name, p) for p in patterns)]
