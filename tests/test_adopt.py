"""replace_embeddings on small modules: what is replaced, what is left alone and why, and the way back."""

import copy
import gc
import io
import re
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

import tembed
from tembed.adopt import Replacement

STOCK, OURS = nn.Embedding, tembed.Embedding


class Inherits(nn.Embedding):
    """A subclass that changes nothing of the lookup."""


class Scaled(nn.Embedding):
    """As BART's: a lookup and more."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * 4.0


class Own(tembed.Embedding):
    """Somebody's subclass of ours."""


class Model(nn.Module):
    """Tables alone, nested, and one in two places, beside what is none."""

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.words = nn.Embedding(6, 3, padding_idx=1, sparse=True, device=device)
        self.inner = nn.Sequential(nn.Embedding(6, 3, device=device), nn.Linear(3, 3, device=device))
        self.shared = self.words
        self.nothing = None
        self.bags = nn.EmbeddingBag(6, 3, device=device)

    def forward(self, input: Tensor) -> Tensor:
        return self.words(input) + self.shared(input) + self.inner(input)


NAMES = ("words", "shared", "inner.0")


@pytest.fixture
def indices(device: str) -> Tensor:
    return torch.tensor([[0, 2, 2], [5, 4, 5]], device=device)


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


def is_ours(module: nn.Module, input: Tensor) -> bool:
    """Whether a lookup is made by tembed, which says more of a bad index; this one is on the CPU or checked for."""
    with tembed.index_checks("immediate"), pytest.raises(IndexError) as raised:
        module(input + 1000)
    return "in a table of" in str(raised.value)


def kept(module: nn.Module) -> dict[str, Any]:
    """What a module holds, each by identity."""
    return {
        name: {key: id(x) for key, x in v.items()} if isinstance(v, dict) else v for name, v in vars(module).items()
    }


def test_every_plain_embedding_changes_its_class_and_nothing_else(device: str, indices: Tensor) -> None:
    model = Model(device).eval()
    model.inner.train()
    model.words.weight.requires_grad_(False)
    model.words.register_forward_hook(lambda *_: None)
    before = {name: (module, kept(module)) for name, module in model.named_modules()}
    state, out = model.state_dict(), model(indices)
    report = tembed.replace_embeddings(model)
    assert report == Replacement(NAMES, (), {})
    assert {name: (module, kept(module)) for name, module in model.named_modules()} == before
    assert [type(module) for module in (model.words, model.inner[0], model.bags)] == [OURS, OURS, nn.EmbeddingBag]
    assert model.shared is model.words
    assert list(model.state_dict()) == list(state)
    assert torch.equal(model(indices), out)
    assert is_ours(model.words, indices)
    assert is_ours(model.inner[0], indices)


def test_a_model_may_be_an_embedding_itself(device: str, indices: Tensor) -> None:
    module = nn.Embedding(6, 3, device=device)
    assert tembed.replace_embeddings(module).replaced == ("",)
    assert is_ours(module, indices)


def test_a_model_that_holds_itself_is_gone_through_once() -> None:
    model = Model()
    model.inner.append(model)
    assert tembed.replace_embeddings(model).replaced == NAMES


def test_gradients_are_ours(device: str, indices: Tensor) -> None:
    model = Model(device)
    tembed.replace_embeddings(model)
    model.words(indices).sum().backward()
    assert model.words.weight.grad is not None
    assert model.words.weight.grad.is_coalesced()


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_hooks_run_before_and_after(device: str, indices: Tensor) -> None:
    model, seen = Model(device), []
    model.words.register_forward_pre_hook(lambda module, args: seen.append("before"))
    model.words.register_forward_hook(lambda module, args, out: out * 2)
    model.words.register_full_backward_pre_hook(lambda *_: seen.append("backward"))
    expected = model.words(indices)
    tembed.replace_embeddings(model)
    out = model.words(indices)
    assert torch.equal(out, expected)
    out.sum().backward()
    assert seen == ["before", "before", "backward"]


@pytest.mark.parametrize("other", [nn.Linear(3, 3), nn.Sequential(), nn.LazyLinear(3), nn.EmbeddingBag(6, 3)], ids=str)
def test_a_model_without_embeddings_is_left(other: nn.Module) -> None:
    kind, before = type(other), kept(other)
    assert tembed.replace_embeddings(other) == Replacement((), (), {})
    assert type(other) is kind
    assert kept(other) == before


@pytest.mark.parametrize("wrong", [None, "gpt2", [nn.Embedding(2, 2)], nn.Embedding, {"a": 1}], ids=repr)
def test_what_is_no_module_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"model must be a torch.nn.Module, not {type(wrong).__name__}"):
        tembed.replace_embeddings(wrong)


def forward_on_the_instance() -> nn.Module:
    module: Any = nn.Embedding(6, 3)
    old = module.forward
    module.forward = lambda input: old(input) + 1
    return module


def hooked_by_accelerate() -> nn.Module:
    hooks = pytest.importorskip("accelerate.hooks", reason="needs accelerate, which peft brings")
    return hooks.add_hook_to_module(nn.Embedding(6, 3), hooks.ModelHook())


def quantization_aware() -> nn.Module:
    config = torch.ao.quantization.float_qparams_weight_only_qconfig
    return torch.ao.nn.qat.Embedding(6, 3, qconfig=config)


LEFT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "own forward": (lambda: Scaled(6, 3), r"a subclass with its own forward, \S*test_adopt\.Scaled"),
    "no forward": (lambda: Inherits(6, 3), r"a subclass, \S*test_adopt\.Inherits: derive it from tembed\.Embedding"),
    "parametrized": (lambda: parametrizations.orthogonal(nn.Embedding(6, 3)), "parametrized: replace before that"),
    "instance": (forward_on_the_instance, "its forward was set on the instance"),
    "accelerate": (hooked_by_accelerate, "its forward was set on the instance"),
    "scripted": (lambda: torch.jit.script(nn.Embedding(6, 3)), "compiled by TorchScript"),
    "traced": (lambda: torch.jit.trace(nn.Embedding(6, 3), torch.tensor([1])), "compiled by TorchScript"),
    "qat": (quantization_aware, r"a subclass with its own forward, torch\.ao\.nn\.qat\S*\.Embedding"),
}


@pytest.mark.parametrize("case", LEFT)
def test_others_are_left_alone_and_listed(case: str) -> None:
    build, reason = LEFT[case]
    module = build()
    model = nn.ModuleDict({"other": module, "plain": nn.Embedding(6, 3), "again": module})
    kind, input = type(module), torch.tensor([[1, 3], [3, 0]])
    out = module(input)
    report = tembed.replace_embeddings(model)
    assert report.replaced == ("plain",)
    assert list(report.left) == ["other", "again"]
    assert re.match(reason, report.left["other"]), report
    assert type(module) is kind
    assert torch.equal(module(input), out)
    report.revert()
    assert type(module) is kind


def test_a_scripted_model_lists_its_embeddings_alone() -> None:
    model = torch.jit.script(nn.Sequential(nn.Embedding(6, 3), nn.Linear(3, 3)))
    assert list(tembed.replace_embeddings(model).left) == ["0"]


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


def test_dry_run_changes_nothing_and_reports_the_same(device: str) -> None:
    model = nn.ModuleDict({"model": Model(device), "own": Own(6, 3), "scaled": Scaled(6, 3)})
    kinds = [type(module) for module in model.modules()]
    dry = tembed.replace_embeddings(model, dry_run=True)
    assert [type(module) for module in model.modules()] == kinds
    dry.revert()
    assert [type(module) for module in model.modules()] == kinds
    done = tembed.replace_embeddings(model)
    assert dry == done
    assert (dry.dry_run, done.dry_run) == (True, False)
    dry.revert()
    assert type(model["model"].words) is OURS


def test_a_second_call_replaces_nothing_and_says_so() -> None:
    model = nn.Sequential(Model(), Own(6, 3))
    first, second = tembed.replace_embeddings(model), tembed.replace_embeddings(model)
    assert first.already == ("1",)
    assert second == Replacement((), (*first.replaced, "1"), {})
    second.revert()
    assert type(model[0].words) is OURS


def test_a_report_reads_as_a_list() -> None:
    model = nn.Sequential(nn.Embedding(6, 3), Own(6, 3), Scaled(6, 3))
    reason = f"a subclass with its own forward, {__name__}.Scaled"
    rest = f"already tembed.Embedding: 1\nleft alone:\n  2: {reason}"
    assert str(tembed.replace_embeddings(model, dry_run=True)) == f"would replace: 0\n{rest}"
    assert str(tembed.replace_embeddings(model)) == f"replaced: 0\n{rest}"
    assert (
        repr(tembed.replace_embeddings(model[0])) == "Replacement(replaced=(), already=('',), left={}, dry_run=False)"
    )
    assert str(tembed.replace_embeddings(model[2])) == f"replaced: none\nleft alone:\n  (the model itself): {reason}"


def test_revert_puts_back_what_this_call_replaced() -> None:
    model = nn.Sequential(nn.Embedding(6, 3))
    first = tembed.replace_embeddings(model)
    model.extend([nn.Embedding(6, 3), OURS(6, 3)])
    second = tembed.replace_embeddings(model)
    second.revert()
    assert [type(module) for module in model] == [OURS, STOCK, OURS]
    first.revert()
    assert [type(module) for module in model] == [STOCK, STOCK, OURS]


def test_revert_is_done_once() -> None:
    model = nn.Sequential(nn.Embedding(6, 3))
    first = tembed.replace_embeddings(model)
    first.revert()
    tembed.replace_embeddings(model)
    first.revert()
    assert type(model[0]) is OURS


def test_revert_finds_modules_that_moved_and_keeps_what_they_learnt(device: str, indices: Tensor) -> None:
    model = nn.ModuleDict({"a": nn.Embedding(6, 3, device=device), "b": nn.Embedding(6, 3, device=device)})
    report, (a, b) = tembed.replace_embeddings(model), model.values()
    elsewhere = nn.ModuleDict({"moved": model.pop("a")})
    optimizer = torch.optim.SGD(elsewhere.parameters(), lr=0.5)
    a(indices).sum().backward()
    optimizer.step()
    learnt = a.weight.detach().clone()
    b.__class__ = STOCK  # by hand; nothing is left to do for it
    report.revert()
    assert [type(a), type(b)] == [STOCK, STOCK]
    assert torch.equal(a.weight, learnt)


def test_revert_changes_all_or_none() -> None:
    model: Any = nn.Sequential(nn.Embedding(6, 3), nn.Embedding(6, 3))
    report = tembed.replace_embeddings(model)
    model[1].forward = model[1].forward
    with pytest.raises(RuntimeError, match=r"'1' \(a forward of its own\)"):
        report.revert()
    assert [type(module) for module in model] == [OURS, OURS]
    del model[1].forward
    report.revert()
    assert [type(module) for module in model] == [STOCK, STOCK]


def test_a_report_keeps_no_module_alive() -> None:
    model = nn.Sequential(nn.Embedding(6, 3), nn.Embedding(6, 3))
    report, (gone, here) = tembed.replace_embeddings(model), model
    ref = weakref.ref(gone)
    del model, gone
    gc.collect()
    assert ref() is None
    report.revert()
    assert type(here) is STOCK


def test_an_interruption_changes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(*(nn.Embedding(6, 3) for _ in range(3)))

    def interrupted(module: nn.Module, name: str, value: Any) -> None:
        if module is model[2] and value is OURS:
            raise KeyboardInterrupt
        nn.Module.__setattr__(module, name, value)

    monkeypatch.setattr(STOCK, "__setattr__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tembed.replace_embeddings(model)
    assert [type(module) for module in model] == [STOCK] * 3


def test_copies_and_pickles_of_a_replaced_model_are_ours(device: str, indices: Tensor) -> None:
    model = Model(device)
    report = tembed.replace_embeddings(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert torch.equal(other(indices), model(indices))
        assert other.shared is other.words
        assert tembed.replace_embeddings(other).already == NAMES
        report.revert()
        assert type(other.words) is OURS


def test_state_moves_between_stock_and_replaced_models(device: str, indices: Tensor) -> None:
    stock, ours = Model(device), Model(device)
    tembed.replace_embeddings(ours)
    for source, target in ((stock, ours), (ours, Model(device))):
        assert str(target.load_state_dict(source.state_dict())) == "<All keys matched successfully>"
        assert torch.equal(target(indices), stock(indices))


def test_a_model_on_the_meta_device_is_replaced(device: str, indices: Tensor) -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Embedding(6, 3), nn.Linear(3, 2))
    assert tembed.replace_embeddings(model).replaced == ("0",)
    assert model[0](torch.empty(2, 3, dtype=torch.int64, device="meta")).shape == (2, 3, 3)
    model.to_empty(device=device)
    assert is_ours(model[0], indices)


def test_a_lazy_model_is_replaced(device: str, indices: Tensor) -> None:
    model = nn.Sequential(nn.Embedding(6, 3, device=device), nn.LazyLinear(2, device=device))
    assert tembed.replace_embeddings(model).replaced == ("0",)
    assert model(indices).shape == (2, 3, 2)


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


def test_a_replicated_model_is_reached_into(mesh: Any, indices: Tensor) -> None:
    model = nn.parallel.DistributedDataParallel(Model(str(indices.device)))
    assert tembed.replace_embeddings(model).replaced == tuple(f"module.{name}" for name in NAMES)


def test_plain_is_torchs_own_class_whatever_its_name_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Embedding(6, 3), OURS(6, 3))
    monkeypatch.setattr(torch.nn, "Embedding", OURS)
    report = tembed.replace_embeddings(model)
    assert (report.replaced, report.already) == (("0",), ("1",))
    report.revert()
    assert [type(module) for module in model] == [STOCK, OURS]
