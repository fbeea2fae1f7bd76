import pytest
import torch
from pairs import pairwise

from tembed.kernels import number, rank, tiles
from tembed.kernels.reduce import sum_runs
from tembed.kernels.runs import BLOCK, find_runs, key_dtype, number_runs, sort_indices
from tembed.parity.instruments.launches import launches


def test_few_are_no_more_than_a_pair_of_row_and_position_has_room_for() -> None:
    assert rank.MOST.value >= tiles.FEW
    assert rank.MOST_ROWS * rank.MOST.value < 2**63
    assert (2**15 + 1) * rank.MOST.value < 2**31


WAYS = ["few", "few, in blocks as compiled", "many"]


@pytest.fixture(params=WAYS)
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether as many lookups as a test has are few."""
    if "compiled" in request.param:
        monkeypatch.setattr(rank, "BLOCK_N", rank.COMPILED[0])
        monkeypatch.setattr(rank, "BLOCK_M", rank.COMPILED[1])
    if request.param == "many":
        monkeypatch.setattr(tiles, "FEW", 0)
    return request.param != "many"


def test_key_dtype_is_the_narrowest_that_holds_V() -> None:
    for dtype, wider in ((torch.int8, torch.int16), (torch.int16, torch.int32), (torch.int32, torch.int64)):
        highest = torch.iinfo(dtype).max
        assert key_dtype(highest) == dtype
        assert key_dtype(highest + 1) == wider


ROWS = [1, 127, 128, 32767, 32768, 2**31 - 1, 2**31, rank.MOST_ROWS - 1, rank.MOST_ROWS]
LENGTHS = [0, 1, 2, rank.COMPILED[0], rank.COMPILED[0] + 1, rank.COMPILED[1], rank.COMPILED[1] + 1, BLOCK + 1]


@pytest.mark.parametrize(("N", "V", "few"), pairwise(LENGTHS, ROWS, WAYS), indirect=["few"])
def test_sort_indices_orders_stably_and_drops_padding_and_bad_indices(N: int, V: int, few: bool, device: str) -> None:
    indices = torch.randint(0, min(V, 40), (N,), device=device) * max(1, V // 40) % V
    indices[::7] = -1
    indices[3::11] = V
    padding = int(indices[1]) if N > 1 else -1
    keys, order = sort_indices(indices, V, padding)
    dropped = (indices < 0) | (indices >= V) | (indices == padding)
    expected, stable = torch.where(dropped, V, indices).sort(stable=True)
    assert torch.equal(keys.long(), expected)
    assert order.dtype == (torch.int32 if few and N and V < rank.MOST_ROWS else torch.int64)
    assert torch.equal(order.long(), stable)


@pytest.mark.parametrize(
    ("dtype", "first"),
    [(torch.int32, 0), (torch.int32, 2**31 - 60), (torch.int64, 1), (torch.int64, 2**31 - 30), (torch.int64, 2**40)],
)
def test_indices_of_a_part_are_sorted_by_its_rows(dtype: torch.dtype, first: int, few: bool, device: str) -> None:
    """Of the lowest indices, the difference from the first row wraps around."""
    V, info = 40, torch.iinfo(dtype)
    indices = torch.randint(-5, 50, (90,)) + first
    indices[:6] = torch.tensor([info.min, info.min + 1, -1, 0, min(info.min + first, info.max), info.max])
    indices = indices.to(device, dtype)
    for padding in (-1, int(indices[7]), first - 1, first + V):
        rows = indices.long() - first
        dropped = (indices < first) | (rows >= V) | (indices == padding)
        expected, stable = torch.where(dropped, V, rows).sort(stable=True)
        keys, order = sort_indices(indices, V, padding, first=first)
        assert torch.equal(keys.long(), expected)
        assert torch.equal(order.long(), stable)
        assert len(find_runs(indices, V, padding, first).rows) == len(expected[expected < V].unique())


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_sort_indices_reads_strided_indices(dtype: torch.dtype, device: str) -> None:
    indices = torch.randint(0, 9, (40,), dtype=dtype, device=device)[::3]
    keys, order = sort_indices(indices, 9, -1)
    assert torch.equal(keys.to(dtype), indices[order.long()])


@pytest.mark.parametrize("past", [-1, 0, 1])
def test_few_are_ranked_up_to_the_threshold(past: int, device: str) -> None:
    N = tiles.FEW + past
    indices = torch.randint(-1, 300, (N,), device=device)
    with launches() as found:
        keys, order = sort_indices(indices, 299, 7)
    assert [launched.kernel for launched in found] == ["encode_keys_kernel" if past > 0 else "rank_lookups_kernel"]
    dropped = (indices < 0) | (indices == 299) | (indices == 7)
    expected, stable = torch.where(dropped, 299, indices).sort(stable=True)
    assert torch.equal(keys.long(), expected)
    assert torch.equal(order.long(), stable)


@pytest.mark.parametrize("N", [0, 5, 90])
@pytest.mark.parametrize("size", [1, rank.BLOCK - 1, rank.BLOCK + 1])
def test_sort_indices_sets_an_output_to_zero(N: int, size: int, few: bool, device: str) -> None:
    memory = torch.full((size + 2,), float("nan"), device=device)
    sort_indices(torch.zeros(N, dtype=torch.int64, device=device), 3, -1, memory[1:-1])
    assert not memory[1:-1].any()
    assert memory[[0, -1]].isnan().all()


@pytest.mark.parametrize("tail", [0, 1, 5])
@pytest.mark.parametrize("N", [1, 2, 90, BLOCK, BLOCK + 3])
def test_number_runs_counts_runs_and_leaves_the_dropped_tail_out(N: int, tail: int, device: str) -> None:
    V = 50
    keys = torch.cat([torch.randint(0, V, (N,)).sort().values, torch.full((tail,), V)]).to(device, torch.int8)
    ids, unique = number_runs(keys, V)
    expected, inverse = keys.unique(return_inverse=True)
    assert torch.equal(ids.long(), inverse)
    assert torch.equal(unique, expected[expected < V].long())


GRADIENTS = [(0, 3), (1, 1), (32, 700), (33, 5), (90, 1), (number.BLOCK.value + 70, 40)]


@pytest.mark.parametrize(("shape", "V", "few"), pairwise(GRADIENTS, [1, 2, 50, 3000], WAYS), indirect=["few"], ids=str)
def test_runs_are_numbered_as_they_are_summed(shape: tuple[int, int], V: int, few: bool, device: str) -> None:
    N, D = shape
    indices = torch.randint(-1, V, (N,), device=device)
    indices[::3] = V // 2  # a run over many chunks
    grad = torch.randint(-8, 8, (N, D), device=device).float()
    runs = find_runs(indices, V, padding_idx=0)
    kept = (indices > 0) & (indices < V)
    rows, counts = indices[kept].unique(return_counts=True)
    assert (runs.begins is not None) == (few and N > 0)
    memory = torch.full((len(runs.rows) + 2, D), torch.nan, device=device)
    sum_runs(runs.keys, runs.order, grad, memory[1:-1], scale=True, runs=runs)
    assert torch.equal(runs.rows, rows)
    sums = torch.zeros(V, D, device=device).index_add_(0, indices[kept], grad[kept])[rows]
    assert torch.equal(memory[1:-1], sums / counts[:, None])
    assert memory[[0, -1]].isnan().all()


def test_nothing_but_dropped_lookups_has_no_run(few: bool, device: str) -> None:
    runs = find_runs(torch.full((6,), 3, device=device), 3, -1)
    assert runs.rows.shape == (0,)


def test_few_are_merged_by_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tiles.is_few(tiles.FEW)
    monkeypatch.setattr(tiles, "WALKED", 2)
    chunk = tiles.pick_chunk(0)
    assert tiles.is_few(2 * chunk)
    assert not tiles.is_few(2 * chunk + 1)
