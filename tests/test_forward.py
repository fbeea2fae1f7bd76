import pytest
import torch

import tembed
from tembed.parity.cases import DISTRIBUTIONS, LAYOUTS, SHAPES, make_indices

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
NAMES = (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
    "complex32", "complex64", "complex128",
    "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2",
)  # fmt: skip
OTHERS = tuple(getattr(torch, name) for name in NAMES if hasattr(torch, name))  # not every torch has every float8
GENERATOR = torch.Generator()


def random_bits(V: int, D: int, dtype: torch.dtype, device: str) -> torch.Tensor:
    """A table of arbitrary bits: NaN with payloads, infinities, denormals and negative zeros among them."""
    if dtype == torch.bool:
        return torch.rand(V, D, generator=GENERATOR.manual_seed(V)).lt(0.5).to(device)
    size = D * dtype.itemsize
    return (
        torch.randint(0, 256, (V, size), dtype=torch.uint8, generator=GENERATOR.manual_seed(V)).to(device).view(dtype)
    )


def bits(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous().view(torch.uint8) if x.dim() else x.reshape(1).view(torch.uint8)


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("dtype", FLOATS + OTHERS, ids=str)
def test_embedding_copies_every_dtype_bit_for_bit(dtype: torch.dtype, device: str) -> None:
    if "float4" in str(dtype):
        torch.use_deterministic_algorithms(False)  # torch cannot poison it
    weight = random_bits(9, 6, dtype, device)
    indices = make_indices("uniform", (3, 5), 9, GENERATOR).to(device)
    out = tembed.embedding(indices, weight)
    assert out.dtype == dtype
    assert out.shape == (3, 5, 6)
    rows = bits(weight).view(9, -1)
    assert torch.equal(bits(out).view(15, -1), rows[indices.view(-1)])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("options", [{}, {"sparse": True}, {"max_norm": 100.0}], ids=str)
def test_embedding_shape_is_that_of_input_and_D(
    shape: tuple[int, ...], index_dtype: torch.dtype, options: dict[str, object], device: str
) -> None:
    weight = torch.randn(11, 5, device=device, requires_grad=True)
    indices = make_indices("uniform", shape, 11, GENERATOR).to(device, index_dtype)
    out = tembed.embedding(indices, weight, **options)  # type: ignore[arg-type]
    assert torch.equal(out, weight[indices.long()])
    assert out.shape == (*shape, 5)
    assert out.is_contiguous()
    assert out._base is None


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.complex64, torch.complex128], ids=str)
def test_embedding_reads_a_strided_table_in_place(layout: str, dtype: torch.dtype, device: str) -> None:
    weight = LAYOUTS[layout](torch.randn(7, 12).to(device, dtype))
    indices = make_indices("zipf", (4, 3), 7, GENERATOR).to(device)
    out = tembed.embedding(indices, weight)
    assert torch.equal(out, weight[indices])
    assert out.is_contiguous()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_embedding_reads_strided_indices(layout: str, distribution: str, device: str) -> None:
    weight = torch.randn(7, 3, device=device)
    indices = LAYOUTS[layout](make_indices(distribution, (4, 6), 7, GENERATOR).to(device))
    assert torch.equal(tembed.embedding(indices, weight), weight[indices])


def test_embedding_reads_expanded_indices_and_tables(device: str) -> None:
    weight = torch.randn(1, 6, device=device).expand(50, 6)
    indices = torch.tensor(49, device=device).expand(3, 2, 4)
    assert torch.equal(tembed.embedding(indices, weight), weight[0].expand(3, 2, 4, 6))
    column = torch.randn(5, 1, device=device).expand(5, 8)
    assert torch.equal(tembed.embedding(indices % 5, column), column[4].expand(3, 2, 4, 8))


@pytest.mark.parametrize(("V", "D"), [(1, 1), (1, 7), (6, 1), (5, 0), (3, 257), (300, 2)])
@pytest.mark.parametrize("grad", [False, True])
def test_embedding_of_every_table_size(V: int, D: int, grad: bool, device: str) -> None:
    weight = torch.randn(V, D, device=device, requires_grad=grad)
    indices = make_indices("uniform", (10,), V, GENERATOR).to(device)
    out = tembed.embedding(indices, weight)
    assert torch.equal(out, weight[indices])
    assert out.requires_grad is grad


def test_embedding_of_nothing_in_an_empty_table(device: str) -> None:
    weight = torch.empty(0, 4, device=device, requires_grad=True)
    out = tembed.embedding(torch.empty(2, 0, dtype=torch.int64, device=device), weight)
    assert out.shape == (2, 0, 4)
    out.sum().backward()
    assert weight.grad is not None
    assert weight.grad.shape == (0, 4)


@pytest.mark.parametrize("lazy", [torch.conj, torch._neg_view], ids=["conj", "neg"])
def test_embedding_resolves_lazy_bits(lazy: object, device: str) -> None:
    weight = lazy(torch.randn(5, 4, dtype=torch.complex64, device=device))  # type: ignore[operator]
    indices = torch.tensor([4, 0, 4], device=device)
    assert torch.equal(tembed.embedding(indices, weight), weight.resolve_conj().resolve_neg()[indices])


@pytest.mark.parametrize("options", [{}, {"sparse": True}, {"scale_grad_by_freq": True}, {"max_norm": 9.0}], ids=str)
def test_embedding_is_a_leaf_where_nothing_is_recorded(options: dict[str, object], device: str) -> None:
    weight = torch.randn(5, 4, device=device, requires_grad=True)
    indices = torch.tensor([1, 2], device=device)
    with torch.no_grad():
        out = tembed.embedding(indices, weight, **options)  # type: ignore[arg-type]
    frozen = tembed.embedding(indices, weight.detach(), **options)  # type: ignore[arg-type]
    with torch.inference_mode():
        inferred = tembed.embedding(indices, weight, **options)  # type: ignore[arg-type]
    for result in (out, frozen, inferred):
        assert not result.requires_grad
        assert result.is_leaf
        assert torch.equal(result, weight[indices])


@pytest.mark.parametrize("sparse", [False, True])
def test_embedding_is_known_to_autograd_by_stocks_name(sparse: bool, device: str) -> None:
    weight = torch.randn(5, 4, device=device, requires_grad=True)
    out = tembed.embedding(torch.tensor([1], device=device), weight, sparse=sparse)
    assert out.grad_fn is not None
    assert out.grad_fn.name() == type(out.grad_fn).__name__ == "EmbeddingBackward0"
    functions = [type(function).__name__ for function, _ in out.grad_fn.next_functions]
    assert functions[0] == "AccumulateGrad"
    assert set(functions[1:]) <= {"NoneType"}


def test_embedding_keeps_the_tables_dtype_under_autocast(device: str) -> None:
    weight = torch.randn(5, 4, device=device, requires_grad=True)
    with torch.autocast(device, dtype=torch.bfloat16):
        assert tembed.embedding(torch.tensor([1], device=device), weight, sparse=True).dtype == torch.float32
