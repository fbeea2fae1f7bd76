"""What the demo trains: the model with its three tables, the batches, the training loop."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from tqdm import tqdm

from tembed.bench.corpus import PAD, Corpus


@dataclass(frozen=True)
class Setting:
    """Sizes and rates of a training run."""

    dim: int  # columns of every table
    window: int  # words looked at on each side of a centre word
    noise: int  # noise words per centre word
    batch: int  # centre words per step
    steps: int
    lr: float
    max_norm: float = 1.0
    keep: float = 1e-3  # words more frequent than this are dropped at random


@dataclass(frozen=True, eq=False)
class Batch:
    """B centre words: the words around each, its topic, and the centre word followed by K noise words."""

    window: Tensor  # [B, 2 * window]
    topic: Tensor  # [B]
    target: Tensor  # [B, 1 + K]

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(self.window.to(device), self.topic.to(device), self.target.to(device))


@dataclass(frozen=True, eq=False)
class Run:
    """What a training run left behind."""

    losses: Tensor  # [steps]
    vectors: Tensor  # [V, dim]: both roles of a word, added
    at_max_norm: int  # topics whose vector has reached max_norm
    seconds: float


class SkipGram(nn.Module):
    """Skip-gram with negative sampling: a word of the window, plus its topic, tells the centre word from noise."""

    def __init__(
        self, embedding: type[nn.Embedding], corpus: Corpus, setting: Setting, generator: torch.Generator
    ) -> None:
        super().__init__()
        vocabulary, topics, dim = len(corpus.vocabulary), len(corpus.topics), setting.dim
        self.words = embedding(vocabulary, dim, padding_idx=PAD, sparse=True)
        self.topics = embedding(topics, dim, max_norm=setting.max_norm)
        self.outputs = embedding(vocabulary, dim, scale_grad_by_freq=True)
        with torch.no_grad():
            for table in (self.words, self.topics, self.outputs):
                table.weight.normal_(0, dim**-0.5, generator=generator)
            self.words.weight[PAD] = 0

    def forward(self, batch: Batch) -> Tensor:
        """The mean loss of a (window word, centre word) pair against its noise; padding is left out."""
        inputs = self.words(batch.window) + self.topics(batch.topic)[:, None]
        scores = inputs @ self.outputs(batch.target).transpose(1, 2)
        loss = softplus(-scores[..., 0]) + softplus(scores[..., 1:]).sum(-1)
        real = batch.window != PAD
        return (loss * real).sum() / real.sum()


def windows(tokens: Tensor, topic_of: Tensor, radius: int) -> Tensor:
    """The words around each token, [N, 2 * radius]; PAD where its topic has ended."""
    last = len(tokens) - 1
    here = torch.arange(len(tokens))
    columns = []
    for offset in (*range(-radius, 0), *range(1, radius + 1)):
        there = here + offset
        inside = (there >= 0) & (there <= last)
        there = there.clamp(0, last)
        columns.append(torch.where(inside & (topic_of[there] == topic_of), tokens[there], PAD))
    return torch.stack(columns, 1)


def batches(corpus: Corpus, setting: Setting, generator: torch.Generator) -> Iterator[Batch]:
    """Batches without end; each pass drops frequent words at random and shuffles. Noise is unigram^0.75."""
    frequency = corpus.counts.double() / len(corpus.tokens)
    keep = (setting.keep / frequency.clamp_min(1e-12)).sqrt()[corpus.tokens]
    noise = frequency**0.75
    while True:
        kept = torch.rand(len(keep), generator=generator) < keep
        tokens, topic_of = corpus.tokens[kept], corpus.topic_of[kept]
        around = windows(tokens, topic_of, setting.window)
        for rows in torch.randperm(len(tokens), generator=generator).split(setting.batch):
            drawn = torch.multinomial(noise, len(rows) * setting.noise, replacement=True, generator=generator)
            target = torch.cat([tokens[rows, None], drawn.view(len(rows), -1)], 1)
            yield Batch(around[rows], topic_of[rows], target)


def train(
    embedding: type[nn.Embedding], corpus: Corpus, setting: Setting, seed: int, device: torch.device, progress: str = ""
) -> Run:
    """One run. The seed alone decides weights, batches and noise, whatever the class of the tables.

    `progress` titles a progress bar; without it there is none.
    """
    generator = torch.Generator().manual_seed(seed)
    model = SkipGram(embedding, corpus, setting, generator).to(device)
    optimizers = (
        torch.optim.SparseAdam([model.words.weight], lr=setting.lr),
        torch.optim.Adam([model.topics.weight, model.outputs.weight], lr=setting.lr),
    )
    supply = batches(corpus, setting, generator)
    losses: list[Tensor] = []
    seldom = max(1, setting.steps // 20)  # reading a loss waits for the device
    start = time.perf_counter()
    with tqdm(total=setting.steps, desc=progress, unit="step", mininterval=1, disable=not progress) as bar:
        for step in range(setting.steps):
            loss = model(next(supply).to(device))
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss.detach())
            if (step + 1) % seldom == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            bar.update()
        curve = torch.stack(losses).cpu()
    seconds = time.perf_counter() - start
    norms = model.topics.weight.detach().norm(dim=1)
    return Run(
        losses=curve,
        vectors=(model.words.weight + model.outputs.weight).detach().cpu(),
        at_max_norm=int((norms > 0.999 * setting.max_norm).sum()),
        seconds=seconds,
    )
