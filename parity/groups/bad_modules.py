"""errors: what is changed wrongly in a module after it was made."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..bad_inputs import declare
from ..rows import Row
from ..scene import Act, Scene


def of_module(change: Callable[[Any], object], **options: Any) -> Callable[[Scene], Act]:
    """A lookup of a module that was changed."""

    def prepare(s: Scene) -> Act:
        module, input = s.module(**options), s.indices()
        change(module)
        return lambda: module(input)

    return prepare


def to_module(change: Callable[[Any], object], **options: Any) -> Callable[[Scene], Act]:
    """The change of a module itself."""

    def prepare(s: Scene) -> Act:
        module = s.module(**options)
        return lambda: change(module)

    return prepare


def setting(**attributes: Any) -> Callable[[Any], None]:
    """Sets attributes."""

    def change(module: Any) -> None:
        for name, value in attributes.items():
            setattr(module, name, value)

    return change


declare(
    "module-attributes",
    "An attribute of a module that is set wrongly is an error at the lookup, by the words for that argument.",
    Row(
        "weight deleted",
        of_module(lambda m: delattr(m, "weight")),
        AttributeError,
        "'Embedding' object has no attribute 'weight'",
    ),
    Row(
        "weight None", of_module(setting(weight=None)), TypeError, "'weight' (position 1) must be Tensor, not NoneType"
    ),
    Row(
        "weight 1-D",
        of_module(lambda m: setattr(m, "weight", nn.Parameter(m.weight[0].detach()))),
        RuntimeError,
        "'weight' must be 2-D",
        ", got shape [3]",
        bare=True,
    ),
    Row("max_norm str", of_module(setting(max_norm="1")), TypeError, "'max_norm' (position 3) must be float, not str"),
    Row(
        "norm_type None",
        of_module(setting(max_norm=1.0, norm_type=None)),
        TypeError,
        "'norm_type' (position 4) must be float, not NoneType",
    ),
    Row("sparse int", of_module(setting(sparse=1)), TypeError, "'sparse' (position 5) must be bool, not int"),
    Row(
        "scale_grad_by_freq None",
        of_module(setting(scale_grad_by_freq=None)),
        TypeError,
        "'scale_grad_by_freq' (position 4) must be bool, not NoneType",
    ),
    Row(
        "padding_idx float",
        of_module(setting(padding_idx=1.0)),
        TypeError,
        "'padding_idx' (position 3) must be int, not float",
    ),
    Row(
        "max_norm str, by the constructor",
        of_module(lambda m: None, max_norm="1"),
        TypeError,
        "'max_norm' (position 3) must be float, not str",
    ),
    Row(
        "sparse int, by the constructor",
        of_module(lambda m: None, sparse=1),
        TypeError,
        "'sparse' (position 5) must be bool, not int",
    ),
)
declare(
    "module-changes",
    "A change that a module refuses leaves it as it is.",
    Row(
        "weight a tensor",
        to_module(setting(weight=torch.ones(4, 3))),
        TypeError,
        "cannot assign 'torch.FloatTensor' as parameter 'weight' (torch.nn.Parameter or None",
    ),
    Row(
        "weight a list",
        to_module(setting(weight=[[1.0]])),
        TypeError,
        "cannot assign 'list' as parameter 'weight' (torch.nn.Parameter or None expected)",
    ),
    Row(
        "to int64",
        to_module(lambda m: m.to(torch.int64)),
        TypeError,
        "nn.Module.to only accepts floating point or complex dtypes, but got desired",
    ),
    Row(
        "to two dtypes",
        to_module(lambda m: m.to(torch.float16, torch.float32)),
        TypeError,
        "to() received an invalid combination of arguments - got (torch.dtype, torch.dtype), but",
    ),
    Row(
        "no input",
        to_module(lambda m: m()),
        TypeError,
        "Embedding.forward() missing 1 required positional argument: 'input'",
    ),
    Row(
        "two inputs",
        to_module(lambda m: m(torch.tensor([1]), torch.tensor([1]))),
        TypeError,
        "Embedding.forward() takes 2 positional arguments but 3 were given",
    ),
    Row(
        "gradient of other shape",
        to_module(lambda m: setattr(m.weight, "grad", torch.ones(5, 3))),
        RuntimeError,
        "attempting to assign a gradient of size '[5, 3]' to a tensor of size '[4, 3]'. Please",
    ),
    Row(
        "gradient of other dtype",
        to_module(lambda m: setattr(m.weight, "grad", torch.ones(4, 3).double())),
        RuntimeError,
        "attempting to assign a gradient with dtype 'double' to a tensor with grad_dtype 'Float'.",
    ),
    Row(
        "gradient a list",
        to_module(lambda m: setattr(m.weight, "grad", [1.0])),
        TypeError,
        "assigned grad expected to be a Tensor or None but got grad of type list",
    ),
    cpu_only=True,
)
