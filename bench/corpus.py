"""Real text that every Python carries: the language reference, as a stream of word ids."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

PAD, UNK = 0, 1

_WORD = re.compile(r"_*[a-z]+(?:_+[a-z]+)*_*")


@dataclass(frozen=True)
class Corpus:
    """A text as word ids, topic after topic.

    `vocabulary[i]` is the word of id i: `<pad>`, `<unk>`, then words from the most frequent to the rarest.
    `tokens` (N,) int64 are the word ids, `topic_of` (N,) int64 the topic of each token.
    """

    vocabulary: tuple[str, ...]
    topics: tuple[str, ...]
    tokens: Tensor
    topic_of: Tensor

    @cached_property
    def ids(self) -> dict[str, int]:
        """Word to id."""
        return {word: i for i, word in enumerate(self.vocabulary)}

    @cached_property
    def counts(self) -> Tensor:
        """How often each id occurs, (V,) int64."""
        return torch.bincount(self.tokens, minlength=len(self.vocabulary))


def words(text: str) -> list[str]:
    """The lower-case words and identifiers of a text, in order."""
    return _WORD.findall(text.lower())


def python_reference() -> dict[str, str]:
    """Topic to text, from `pydoc_data.topics` (what `help("TOPIC")` prints)."""
    from pydoc_data.topics import topics

    return dict(sorted(topics.items()))


def build_corpus(texts: Mapping[str, str] | None = None, min_count: int = 5) -> Corpus:
    """The corpus of some texts (the Python language reference when None); rarer words become `<unk>`.

    Several topics quote the same paragraphs: each paragraph counts where it stands first.
    """
    texts = python_reference() if texts is None else texts
    streams = {topic: parts for topic, parts in _first_paragraphs(texts) if parts}
    counts = Counter(word for stream in streams.values() for word in stream)
    kept = sorted((word for word, n in counts.items() if n >= min_count), key=lambda word: (-counts[word], word))
    vocabulary = ("<pad>", "<unk>", *kept)
    ids = {word: i for i, word in enumerate(vocabulary)}
    tokens = [ids.get(word, UNK) for stream in streams.values() for word in stream]
    lengths = torch.tensor([len(stream) for stream in streams.values()], dtype=torch.int64)
    return Corpus(
        vocabulary=vocabulary,
        topics=tuple(streams),
        tokens=torch.tensor(tokens, dtype=torch.int64),
        topic_of=torch.repeat_interleave(torch.arange(len(streams)), lengths),
    )


def _first_paragraphs(texts: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    seen: set[str] = set()
    for topic, text in texts.items():
        stream: list[str] = []
        for paragraph in text.split("\n\n"):
            if paragraph not in seen:
                seen.add(paragraph)
                stream += words(paragraph)
        yield topic, stream
