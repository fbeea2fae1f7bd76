"""The variations of the table of tiles, and workloads of which each is launched otherwise at one, for their tests."""

from tembed.bench.variations import variations
from tembed.bench.workloads import SUITES, Workload

VARIATIONS = variations()
FULL = [*SUITES["quick"], *(Workload("mine", "few", 50_257, 768, (N,), "fp32", "uniform") for N in (2048, 4096))]
