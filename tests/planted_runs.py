"""Runs of the benchmark over two small workloads, for tests of what comes of them."""

from collections.abc import Iterable
from typing import Any

import planted_lookups as planted
import pytest
import torch
from planted_lookups import RENORM, TINY

from tembed.bench import measure, runner
from tembed.bench.documents import new_document
from tembed.bench.providers import PROVIDERS, Provider
from tembed.bench.timed import chosen

ABOUT = {"device": "x86_64", "commit": "abc", "torch": "2", "kernels": "none"}


def ran(operations: list[str], providers: Iterable[Provider] = PROVIDERS.values()) -> dict[str, Any]:
    """The document of a run over TINY and one with max_norm; compiling generates no code."""
    compile_, its, providers = torch.compile, chosen(operations), [*providers]
    names = {provider.name: provider.says for provider in providers}
    document = new_document(ABOUT, "cpu", names, 1.0, ["mine"], [operation.name for operation in its])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "WARM_UP_SECONDS", 0)
        patch.setattr(torch, "compile", lambda function, **how: compile_(function, backend="eager", **how))
        workloads = [TINY, RENORM["all"]]
        runner.run(document, workloads, providers, planted.quick_timer(), 1, 1e9, lambda outcome: None, its)
    return document
