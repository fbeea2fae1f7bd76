"""replace_embeddings among what wraps modules: sharding, replication, parametrizations and compilers."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from adopted import INDICES, NAMES, OURS, STOCK, Model, is_ours
from torch import Tensor, nn
from torch.nn.utils import parametrize

import tembed


@pytest.fixture
def indices(device: str) -> Tensor:
    return INDICES.to(device)


@pytest.fixture
def mesh(device: str) -> Iterator[Any]:
    """Two ranks, one of them pretended."""
    if not dist.is_available() or dist.is_initialized():
        pytest.skip("torch.distributed is not there, or in use")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        yield init_device_mesh(device, (2,))
    finally:
        dist.destroy_process_group()


def test_a_sharded_embedding_is_left_and_one_replaced_before_is_ours(mesh: Any, device: str) -> None:
    from torch.distributed.fsdp import fully_shard

    model = nn.Sequential(nn.Embedding(6, 3, device=device), nn.Embedding(6, 3, device=device))
    fully_shard(model[0], mesh=mesh)
    report = tembed.replace_embeddings(model)
    assert report.replaced == ("1",)
    assert report.left == {"0": "sharded by fully_shard: replace before that"}
    fully_shard(model[1], mesh=mesh)
    assert tembed.replace_embeddings(model).already == ("1",)
    with pytest.raises(RuntimeError, match=r"no longer plain tembed\.Embedding, .*'1' \(FSDPEmbedding\)"):
        report.revert()


def test_a_table_that_its_wrapper_shards_is_replaced(mesh: Any, device: str) -> None:
    from torch.distributed.fsdp import fully_shard

    model = nn.Sequential(nn.Embedding(6, 3, device=device), nn.Linear(3, 3, device=device))
    fully_shard(model, mesh=mesh)
    weight = model[0].weight
    assert tembed.replace_embeddings(model).replaced == ("0",)
    assert model[0].weight is weight


def test_a_replicated_model_is_reached_into(mesh: Any, indices: Tensor) -> None:
    model = nn.parallel.DistributedDataParallel(Model(str(indices.device)))
    assert tembed.replace_embeddings(model).replaced == tuple(f"module.{name}" for name in NAMES)


def test_what_wraps_a_module_afterwards_wraps_ours(device: str, indices: Tensor) -> None:
    module = nn.Embedding(6, 3, device=device)
    report = tembed.replace_embeddings(module)
    parametrize.register_parametrization(module, "weight", nn.Tanh())
    assert torch.equal(module(indices), module.weight[indices])
    assert is_ours(module, indices)
    assert tembed.replace_embeddings(module).already == ("",)
    with pytest.raises(RuntimeError, match=r"undo first what changed them: '' \(ParametrizedEmbedding\)"):
        report.revert()
    parametrize.remove_parametrizations(module, "weight")
    report.revert()
    assert type(module) is STOCK


@pytest.mark.parametrize("called", [False, True], ids=["fresh", "called before"])
@pytest.mark.parametrize("way", ["torch.compile", "in place"])
def test_compiled_models_are_replaced_and_compiled_anew(way: str, called: bool, device: str, indices: Tensor) -> None:
    torch._dynamo.reset()
    model = Model(device)
    expected = model(indices)
    if way == "in place":
        model.compile(backend="eager")
        compiled: Any = model
    else:
        compiled = torch.compile(model, backend="eager")
    if called:
        compiled(indices)
    prefix = "" if way == "in place" else "_orig_mod."
    assert tembed.replace_embeddings(compiled).replaced == tuple(prefix + name for name in NAMES)
    assert torch.equal(compiled(indices), expected)
    assert type(model.words) is OURS
