"""replace_embeddings: puts tembed.Embedding in the place of torch.nn.Embedding in a model that is there already."""

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from torch import nn
from torch.jit import ScriptModule
from torch.nn import Embedding as StockEmbedding  # kept here: a program may well assign to torch.nn.Embedding
from torch.nn.utils.parametrize import is_parametrized

from .module import Embedding
from .names import forget, name_nameless

# Names in the model, the modules, and the names that errors have for them because of this call.
Found = list[tuple[str, "weakref.ref[nn.Module]", str | None]]


@dataclass(frozen=True)
class Replacement:
    """What `replace_embeddings` did to a model, or with `dry_run` would do; printed, it reads as a list.

    Modules stand here by their names in `model.named_modules()`, one that the model holds in several places under
    each of its names. The modules themselves are held weakly: a report does not keep a model in memory.

    Attributes:
        replaced: were torch.nn.Embedding, are tembed.Embedding.
        already: were tembed.Embedding before, or a subclass of it.
        left: embeddings that stay as they are, with the reason.
        dry_run: whether nothing was changed. Takes no part in comparisons.
    """

    replaced: tuple[str, ...]
    already: tuple[str, ...]
    left: dict[str, str]
    dry_run: bool = field(default=False, compare=False)
    _changed: Found = field(default_factory=list, repr=False, compare=False)

    def revert(self) -> None:
        """Makes the modules that this call replaced torch.nn.Embedding again, wherever in a model they are by now.

        Parameters keep what training has done to them. A second time there is nothing left to do, nor is there
        after `dry_run`.

        Raises:
            RuntimeError: a module has become something else since, as by parametrizing or sharding. None is changed.
        """
        found = [(name, module) for name, ref, _ in self._changed if (module := ref()) is not None]
        modules = [(name, module) for name, module in found if type(module) is not StockEmbedding]
        others = [
            f"{name!r} ({'a forward of its own' if 'forward' in vars(module) else type(module).__name__})"
            for name, module in modules
            if type(module) is not Embedding or "forward" in vars(module)
        ]
        if others:
            raise RuntimeError(f"no longer plain tembed.Embedding, undo first what changed them: {', '.join(others)}")
        _become(StockEmbedding, [module for _, module in modules])
        for _, ref, given in self._changed:
            if (module := ref()) is not None:
                forget(module, given)
        self._changed.clear()

    def __str__(self) -> str:
        lines = [f"{'would replace' if self.dry_run else 'replaced'}: {_listed(self.replaced)}"]
        if self.already:
            lines.append(f"already tembed.Embedding: {_listed(self.already)}")
        if self.left:
            lines.append("left alone:")
        return "\n".join([*lines, *(f"  {_listed([name])}: {reason}" for name, reason in self.left.items())])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name or "(the model itself)" for name in names) or "none"


def replace_embeddings(model: nn.Module, *, dry_run: bool = False) -> Replacement:
    """Makes every plain torch.nn.Embedding in `model` a tembed.Embedding, in place.

    The modules stay the objects that they are and only change their class: parameters, ties, hooks, device, dtype,
    training mode and `state_dict` are untouched, and so are optimizers and whatever else holds them. Plain are those
    whose class is torch.nn.Embedding itself. Left alone, and listed with the reason, are other subclasses of it
    (whether or not they have a forward of their own: derive them from tembed.Embedding), and modules that have been
    parametrized or wrapped by `fully_shard` (replace before that), compiled by TorchScript, or given a `forward` on
    the instance, as by accelerate's hooks. Models wrapped by torch.compile, DDP or PEFT are reached into.

    Args:
        model: any module, on any device, the meta device included; it may be an embedding itself, by the name "".
        dry_run: changes nothing, and returns the same report.

    Returns:
        A `Replacement`: the names in `replaced`, `already` and `left`; `revert()` undoes the change. A second call
        replaces nothing and has the modules in `already`.

    Raises:
        TypeError: `model` is not a torch.nn.Module.

    A model that is pickled whole names tembed.Embedding from then on; `state_dict` and `save_pretrained` do not.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    replaced: list[str] = []
    already: list[str] = []
    left: dict[str, str] = {}
    changed: dict[nn.Module, str] = {}
    for module, names in _named(model):
        if isinstance(module, Embedding):
            already += names
        elif reason := _reason(module):
            left |= dict.fromkeys(names, reason)
        elif type(module) is StockEmbedding:
            replaced += names
            changed[module] = names[0]
    if dry_run:
        return Replacement(tuple(replaced), tuple(already), left, True)
    _become(Embedding, [*changed])
    given = name_nameless(model)
    found = [(name, weakref.ref(module), given.get(module)) for module, name in changed.items()]
    return Replacement(tuple(replaced), tuple(already), left, False, found)


def _named(model: nn.Module) -> Iterator[tuple[nn.Module, list[str]]]:
    """Each module once, in the order of named_modules, with every name that a parent has for it."""
    names: dict[nn.Module, list[str]] = {model: [""]}
    for prefix, parent in model.named_modules():
        for name, child in parent._modules.items():
            if child is not None:
                names.setdefault(child, []).append(f"{prefix}.{name}" if prefix else name)
    return ((module, names.get(module, [name])) for name, module in model.named_modules())


def _reason(module: nn.Module) -> str | None:
    """Why an embedding of torch's kind is to be left alone; None for plain ones, and for other modules."""
    kind = type(module)
    if isinstance(module, ScriptModule):
        compiled = "compiled by TorchScript, which has torch's own lookup in it"
        return compiled if module.original_name == "Embedding" else None
    if not issubclass(kind, StockEmbedding):
        return None
    if any(base.__name__ == "FSDPModule" for base in kind.__mro__):
        return "sharded by fully_shard: replace before that"
    if is_parametrized(module):
        return "parametrized: replace before that"
    if "forward" in vars(module):
        return "its forward was set on the instance, as accelerate's hooks do, and is called instead of its class's"
    if kind is StockEmbedding:
        return None
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.forward is StockEmbedding.forward:
        return f"a subclass, {name}: derive it from tembed.Embedding"
    return f"a subclass with its own forward, {name}"


def _become(kind: type[nn.Module], modules: list[nn.Module]) -> None:
    """Changes the class of all, or, should that be interrupted, of none."""
    before: list[tuple[nn.Module, type[nn.Module]]] = []
    try:
        for module in modules:
            before.append((module, type(module)))
            module.__class__ = kind
    except BaseException:
        for module, its in before:
            module.__class__ = its
        raise
