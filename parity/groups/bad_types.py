"""errors: options of wrong types."""

from fractions import Fraction
from functools import partial

import numpy as np
import torch

from ..bad_inputs import declare
from ..rows import Row
from ..scene import lookup

declare(
    "option-type",
    "An option of a wrong type is a TypeError which names it; a bool is not an int here, nor an int a bool.",
    Row("padding_idx float", lookup(padding_idx=1.0), TypeError, "'padding_idx' (position 3) must be int, not float"),
    Row(
        "padding_idx float negative",
        lookup(padding_idx=-1.0),
        TypeError,
        "'padding_idx' (position 3) must be int, not float",
    ),
    Row("padding_idx bool", lookup(padding_idx=True), TypeError, "'padding_idx' (position 3) must be int, not bool"),
    Row(
        "padding_idx str", lookup(padding_idx="1"), TypeError, "'>' not supported between instances of 'str' and 'int'"
    ),
    Row(
        "padding_idx list",
        lookup(padding_idx=[1]),
        TypeError,
        "'>' not supported between instances of 'list' and 'int'",
    ),
    Row(
        "padding_idx tensor of two",
        lookup(padding_idx=torch.tensor([1, 2])),
        RuntimeError,
        "Boolean value of Tensor with more than one value is ambiguous",
    ),
    Row(
        "padding_idx NaN",
        lookup(padding_idx=float("nan")),
        TypeError,
        "'padding_idx' (position 3) must be int, not float",
    ),
    Row(
        "scale int", lookup(scale_grad_by_freq=1), TypeError, "'scale_grad_by_freq' (position 4) must be bool, not int"
    ),
    Row(
        "scale None",
        lookup(scale_grad_by_freq=None),
        TypeError,
        "'scale_grad_by_freq' (position 4) must be bool, not NoneType",
    ),
    Row(
        "scale str",
        lookup(scale_grad_by_freq="mean"),
        TypeError,
        "'scale_grad_by_freq' (position 4) must be bool, not str",
    ),
    Row(
        "scale tensor",
        lookup(scale_grad_by_freq=torch.tensor(True)),
        TypeError,
        "'scale_grad_by_freq' (position 4) must be bool, not Tensor",
    ),
    Row("sparse int", lookup(sparse=1), TypeError, "'sparse' (position 5) must be bool, not int"),
    Row("sparse None", lookup(sparse=None), TypeError, "'sparse' (position 5) must be bool, not NoneType"),
    Row("sparse str", lookup(sparse="yes"), TypeError, "'sparse' (position 5) must be bool, not str"),
    Row(
        "sparse numpy bool",
        lookup(sparse=np.bool_(True)),
        TypeError,
        "'sparse' (position 5) must be bool, not numpy.bool",
    ),
    Row("max_norm str", lookup(max_norm="1"), TypeError, "'max_norm' (position 3) must be float, not str"),
    Row("max_norm list", lookup(max_norm=[1.0]), TypeError, "'max_norm' (position 3) must be float, not list"),
    Row("max_norm complex", lookup(max_norm=1j), TypeError, "'max_norm' (position 3) must be float, not complex"),
    Row(
        "max_norm fraction",
        lookup(max_norm=Fraction(1, 2)),
        TypeError,
        "'max_norm' (position 3) must be float, not Fraction",
    ),
    Row(
        "max_norm of each row",
        lookup(max_norm=torch.ones(4)),
        TypeError,
        "'max_norm' (position 3) must be float, not Tensor",
    ),
    Row("max_norm past a double", lookup(max_norm=10**400), OverflowError, "int too large to convert to float"),
    Row(
        "norm_type str",
        lookup(max_norm=1.0, norm_type="2"),
        TypeError,
        "'norm_type' (position 4) must be float, not str",
    ),
    Row(
        "norm_type 'fro'",
        lookup(max_norm=1.0, norm_type="fro"),
        TypeError,
        "'norm_type' (position 4) must be float, not str",
    ),
    Row(
        "norm_type None",
        lookup(max_norm=1.0, norm_type=None),
        TypeError,
        "'norm_type' (position 4) must be float, not NoneType",
    ),
    Row(
        "norm_type list",
        lookup(max_norm=1.0, norm_type=[2.0]),
        TypeError,
        "'norm_type' (position 4) must be float, not list",
    ),
    Row(
        "norm_type tensor of two",
        lookup(max_norm=1.0, norm_type=torch.ones(2)),
        TypeError,
        "'norm_type' (position 4) must be float, not Tensor",
    ),
    Row(
        "unknown option",
        lambda s: partial(s.subject.function, s.indices(), s.table(), mode="mean"),
        TypeError,
        "embedding() got an unexpected keyword argument 'mode'",
    ),
)
