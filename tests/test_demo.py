import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import tembed
from tembed.bench import demo
from tembed.bench.corpus import PAD, UNK, Corpus, build_corpus, words
from tembed.bench.demo_model import Batch, Run, Setting, SkipGram, batches, train, windows
from tembed.bench.demo_report import TOLERANCE, draw, failures, neighbours

CPU = torch.device("cpu")
TINY = Setting(dim=8, window=2, noise=2, batch=16, steps=4, lr=0.05, keep=1.0)


@pytest.fixture(scope="module")
def reference() -> Corpus:
    return build_corpus(min_count=100)


class IgnoresMaxNorm(nn.Embedding):
    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx, None, 2.0, self.scale_grad_by_freq, self.sparse)


class IgnoresScale(nn.Embedding):
    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx, self.max_norm, 2.0, False, self.sparse)


def test_words_are_lower_case_words_and_identifiers() -> None:
    assert words("The class’s __init__() takes *args, x_1 or NotImplemented.") == [
        "the", "class", "s", "__init__", "takes", "args", "x_", "or", "notimplemented",
    ]  # fmt: skip


def test_corpus_of_a_known_text() -> None:
    corpus = build_corpus({"one": "a b a", "two": "", "three": "a b c\n\na b a"}, min_count=2)
    assert corpus.vocabulary == ("<pad>", "<unk>", "a", "b")
    assert corpus.topics == ("one", "three")
    assert corpus.tokens.tolist() == [2, 3, 2, 2, 3, UNK]
    assert corpus.topic_of.tolist() == [0, 0, 0, 1, 1, 1]


def test_corpus_is_deterministic(reference: Corpus) -> None:
    again = build_corpus(min_count=100)
    assert (again.vocabulary, again.topics) == (reference.vocabulary, reference.topics)
    assert torch.equal(again.tokens, reference.tokens)
    assert torch.equal(again.topic_of, reference.topic_of)


def test_corpus_ids_round_trip(reference: Corpus) -> None:
    assert len(reference.ids) == len(reference.vocabulary)
    assert all(reference.vocabulary[i] == word for word, i in reference.ids.items())
    assert reference.tokens.dtype == reference.topic_of.dtype == torch.int64
    assert int(reference.tokens.max()) < len(reference.vocabulary)
    assert reference.topic_of.unique().tolist() == list(range(len(reference.topics)))


def test_corpus_never_holds_padding(reference: Corpus) -> None:
    assert PAD not in reference.tokens
    assert reference.counts[PAD] == 0


def test_corpus_has_natural_skew() -> None:
    counts = build_corpus(min_count=5).counts[2:].double()
    assert (counts.diff() <= 0).all()
    assert counts[:10].sum() > 0.2 * counts.sum()
    middle = torch.arange(10, 500, dtype=torch.float64)
    slope = torch.linalg.lstsq(torch.stack([middle.log(), middle * 0 + 1], 1), counts[10:500, None].log()).solution[0]
    assert -1.3 < slope.item() < -0.7


def test_windows_are_padded_where_a_topic_ends() -> None:
    around = windows(torch.tensor([5, 6, 7, 8, 9]), torch.tensor([0, 0, 0, 1, 1]), 2)
    assert around.tolist() == [[0, 0, 6, 7], [0, 5, 7, 0], [5, 6, 0, 0], [0, 0, 9, 0], [0, 8, 0, 0]]


def test_batches_depend_on_the_seed_alone(reference: Corpus) -> None:
    def first(seed: int) -> Batch:
        return next(batches(reference, TINY, torch.Generator().manual_seed(seed)))

    a, b, c = first(0), first(0), first(1)
    assert torch.equal(a.window, b.window)
    assert torch.equal(a.topic, b.topic)
    assert torch.equal(a.target, b.target)
    assert not torch.equal(a.target, c.target)


@pytest.mark.parametrize("embedding", [nn.Embedding, tembed.Embedding])
def test_model_trains_every_table_and_no_padding(embedding: type[nn.Embedding], reference: Corpus) -> None:
    model = SkipGram(embedding, reference, TINY, torch.Generator().manual_seed(0))
    window = torch.tensor([[PAD, 5, 6, 5], [6, 7, PAD, PAD]])
    model(Batch(window, torch.tensor([3, 3]), torch.tensor([[7, 8, 8], [9, 7, 10]]))).backward()
    grad = model.words.weight.grad
    assert grad is not None
    assert grad.is_sparse
    assert grad.coalesce().indices().tolist() == [[5, 6, 7]]
    for weight, rows in ((model.topics.weight, [3]), (model.outputs.weight, [7, 8, 9, 10])):
        assert weight.grad is not None
        assert weight.grad.any(1).nonzero().flatten().tolist() == rows


def test_train_agrees_with_stock(reference: Corpus) -> None:
    stock, ours = demo.compare(reference, TINY, 0, CPU)
    torch.testing.assert_close(ours.losses, stock.losses, rtol=0, atol=TOLERANCE)
    assert ours.at_max_norm == stock.at_max_norm > 0


@pytest.mark.parametrize("wrong", [IgnoresMaxNorm, IgnoresScale])
def test_train_tells_a_forgotten_option(wrong: type[nn.Embedding], reference: Corpus) -> None:
    stock, ours = (train(embedding, reference, TINY, 0, CPU) for embedding in (nn.Embedding, wrong))
    assert (stock.losses - ours.losses).abs().max() > 100 * TOLERANCE


def test_neighbours_leave_out_the_word_itself_and_rare_ones() -> None:
    corpus = build_corpus({"one": "a a a b b b c c d d d"}, min_count=1)
    vectors = torch.tensor([[0.0, 0.0], [1, 0], [1, 0], [1, 0.2], [1, 0.1], [0, 1]])
    assert [corpus.vocabulary[i] for i in (2, 3, 4, 5)] == ["a", "b", "d", "c"]
    assert neighbours(corpus, vectors, "a", k=2, min_count=3) == ["d", "b"]


CURVE = torch.linspace(6, 2, 50)
PAIRS = {
    "tolerance": (CURVE, CURVE + 2 * TOLERANCE * (torch.arange(50) == 30), "differ by 2.0e-05 at step 31"),
    "went_up": (CURVE.flip(0), CURVE.flip(0), "did not go down"),
    "flat": (CURVE, CURVE * 0 + 4, "did not go down"),
    "nan": (CURVE, CURVE.where(torch.arange(50) != 20, torch.nan), "the loss is nan at step 21"),
    "infinite": (CURVE.where(torch.arange(50) != 0, torch.inf), CURVE, "the loss is inf at step 1"),
}


@pytest.mark.parametrize(("stock", "ours", "message"), PAIRS.values(), ids=PAIRS.keys())
def test_demo_fails_loudly(
    stock: Tensor,
    ours: Tensor,
    message: str,
    reference: Corpus,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert any(message in line for line in failures(stock, ours))
    runs = tuple(Run(losses, torch.zeros(1), 1, 1.0) for losses in (stock, ours))
    monkeypatch.setattr(demo, "compare", lambda *_: runs)
    setting = replace(TINY, steps=50)
    assert demo.demonstrate(reference, setting, 0, CPU, picture="", brief=True) == 1
    assert message in capsys.readouterr().out


def test_demo_accepts_equal_curves_that_go_down() -> None:
    assert failures(CURVE, CURVE + TOLERANCE / 2) == []


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="too slow in the interpreter; make demo runs it")
def test_demo_small_succeeds_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "demo.png"
    assert demo.main(["--small", "--device", "cpu", "--picture", str(picture)]) == 0
    assert "FAILED" not in capsys.readouterr().out
    assert picture.stat().st_size > 0


@pytest.mark.parametrize(("stock", "ours", "message"), [*PAIRS.values(), (CURVE, CURVE, "")])
def test_draw_takes_any_pair(stock: Tensor, ours: Tensor, message: str, tmp_path: Path) -> None:
    picture = tmp_path / "curves.png"
    draw(stock, ours, message, str(picture))
    assert picture.stat().st_size > 0
