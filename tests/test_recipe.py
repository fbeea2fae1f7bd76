"""The recipe for training with sparse and dense parameters: two of torch's own optimizers, each with its group."""

import copy
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import tembed

Batch = tuple[Tensor, Tensor]
WORDS, TOPICS, LENGTH, D, STEPS, RATE = 28, 3, 4, 8, 12, 0.1
# In float64 two sums of fewer than 40 terms, whose sizes add up to about 1 at most, differ by less than 1e-14: such are
# the gradients here. Both optimizers divide by the root of the second moment plus 1e-8, so that a step is off by
# less than RATE * 1e-14 / 1e-8.
TRACKED = STEPS * RATE * 1e-14 / 1e-8


def train(model: nn.Module, batches: Iterable[Batch], lr: float) -> list[float]:
    """SparseAdam for the tables with sparse gradients, AdamW for the rest; returns the loss of each step."""
    tables = dict.fromkeys(m.weight for m in model.modules() if isinstance(m, nn.Embedding) and m.sparse)
    rest = [parameter for parameter in model.parameters() if parameter not in tables]
    optimizers = [torch.optim.SparseAdam(list(tables), lr=lr), torch.optim.AdamW(rest, lr=lr)]
    losses = []
    for input, target in batches:
        loss = F.cross_entropy(model(input), target)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    return losses


class Topics(nn.Module):
    """The topic of a few words: a large table with sparse gradients, a small dense one, and a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, D, sparse=True)
        self.places = nn.Embedding(LENGTH, D)
        self.out = nn.Linear(D, TOPICS)

    def forward(self, input: Tensor) -> Tensor:
        places = torch.arange(LENGTH, device=input.device)
        return self.out((self.words(input) + self.places(places)).mean(-2))


@pytest.fixture
def models(device: str) -> tuple[Topics, Topics]:
    """The same model, as torch has it and replaced."""
    stock = Topics().to(device, torch.float64)
    ours = copy.deepcopy(stock)
    assert tembed.replace_embeddings(ours).replaced == ("words", "places")
    return stock, ours


@pytest.fixture
def batches(device: str) -> list[Batch]:
    """Words that come up often and seldom, all from one topic; the last ten of all words come up never."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(STEPS):
        topic = torch.randint(TOPICS, (4, 1), generator=generator)
        rank = torch.rand(4, LENGTH, generator=generator).square().mul((WORDS - 10) // TOPICS).long()
        found.append(((rank * TOPICS + topic).to(device), topic.flatten().to(device)))
    return found


def test_the_recipe_trains_and_tracks_stock(models: tuple[Topics, Topics], batches: list[Batch]) -> None:
    before = copy.deepcopy(models[0].state_dict())
    losses = torch.tensor([train(model, batches, RATE) for model in models], dtype=torch.float64)
    assert (losses[:, -3:].mean(1) < losses[:, :3].mean(1) / 2).all(), losses
    torch.testing.assert_close(losses[1], losses[0], rtol=0, atol=TRACKED)
    stock, ours = (model.state_dict() for model in models)
    for name, learnt in stock.items():
        torch.testing.assert_close(
            ours[name], learnt, rtol=0, atol=TRACKED, msg=lambda text, name=name: f"{name}: {text}"
        )
        assert float((learnt - before[name]).abs().max()) > RATE
    looked_up = torch.cat([input.flatten() for input, _ in batches]).unique()
    moved = (ours["words.weight"] != before["words.weight"]).any(1).nonzero().flatten()
    assert torch.equal(moved, looked_up)
    assert 0 < len(looked_up) <= WORDS - 10


def test_gradients_are_sparse_and_coalesced_where_asked_for(
    models: tuple[Topics, Topics], batches: list[Batch]
) -> None:
    input, target = batches[0]
    model = models[1]
    F.cross_entropy(model(input), target).backward()
    words, places = model.words.weight.grad, model.places.weight.grad
    assert words is not None
    assert places is not None
    assert words.is_coalesced()
    assert torch.equal(words.indices()[0], input.unique())
    assert places.layout == torch.strided


def test_one_optimizer_for_both_is_refused_as_with_stock(models: tuple[Topics, Topics], batches: list[Batch]) -> None:
    input, target = batches[0]
    for model in models:
        F.cross_entropy(model(input), target).backward()
        with pytest.raises(RuntimeError, match="does not support sparse gradients"):
            torch.optim.AdamW(model.parameters()).step()
        with pytest.raises(RuntimeError, match="does not support dense gradients"):
            torch.optim.SparseAdam(model.parameters()).step()
