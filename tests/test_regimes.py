from tembed.kernels import rank
from tembed.kernels.regimes import pick_regime
from tembed.kernels.tiles import CHUNKS, FAN_IN, FEW, LONGEST_CHUNK, SPARSE_ROWS, WALKED, Tile

THREE = 3  # launches


def test_a_gradient_of_few_takes_three_launches_at_most_whatever_the_table() -> None:
    for N in (1, 2, CHUNKS[0][1], CHUNKS[0][1] + 1, FEW - 1, FEW):
        for V in (1, 2, 512, 128_256, 10_000_000):
            for D in (1, 16, 128, 768, 4096, 16_384):
                its = pick_regime(N, V, D, 2)
                assert its.ranked
                assert its.dense_launches <= THREE
                assert its.sparse_launches <= THREE
    assert not pick_regime(FEW + 1, 512, 768, 2).ranked
    assert not pick_regime(FEW, rank.MOST_ROWS, 768, 2).ranked


def test_zeros_go_to_untouched_rows_where_lookups_are_much_of_the_table() -> None:
    for N in (CHUNKS[0][1] + 1, FEW, 1 << 20):
        assert pick_regime(N, SPARSE_ROWS * N - 1, 64, 4).fill
        assert not pick_regime(N, SPARSE_ROWS * N, 64, 4).fill
    assert not pick_regime(CHUNKS[0][1], 1, 64, 4).fill, "a single chunk has no launch after it"


def test_merges_are_logarithmic() -> None:
    chunk, limit = CHUNKS[0][1], CHUNKS[0][0]
    steps = {1: (0, False), chunk: (0, False), chunk + 1: (0, True), chunk * WALKED: (0, True)}
    steps |= {chunk * WALKED + 1: (1, True), limit: (2, True)}
    most = LONGEST_CHUNK * WALKED * FAN_IN**2
    steps |= {most: (2, True), most + 1: (3, True)}
    for N, expected in steps.items():
        its = pick_regime(N, 1000, 64, 4)
        assert (its.levels, its.walks) == expected, N
    assert pick_regime(1 << 31, 1000, 64, 4).levels == 4


def test_a_dense_gradient_of_many_takes_four_launches_or_five_up_to_a_million() -> None:
    for N, launched in ((FEW + 1, 4), (131_072, 4), (131_073, 5), (262_145, 5), (1 << 20, 5)):
        for V in (1, N, SPARSE_ROWS * N):
            assert pick_regime(N, V, 64, 4).dense_launches == launched, (N, V)


def test_a_regime_is_of_the_sizes_the_type_and_the_device_alone() -> None:
    assert pick_regime(70, 5, 64, 4) == pick_regime(70, 5, 64, 4)
    assert pick_regime(70, 5, 64, 4).tile == Tile(8, 64)
    assert pick_regime(70, 5, 64, 2).tile == Tile(16, 64)
    assert pick_regime(70, 5, 64, 4, lanes=64).tile == Tile(16, 64)
