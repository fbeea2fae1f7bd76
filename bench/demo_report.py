"""What the demo shows of two runs, and what makes it fail."""

import torch
from torch import Tensor

from tembed.bench.corpus import UNK, Corpus
from tembed.bench.demo_model import Run, Setting

WORDS = ("class", "string", "import", "exception", "loop", "list", "float", "generator")
STOCK, OURS = "torch.nn.Embedding", "tembed.Embedding"

# A lookup is exact, so the runs differ only by the order in which a row's float32 gradients are summed: by a few
# 2^-24 of the gradient, of random sign. Adam moves a weight by about lr, hence by no more than that fraction of lr
# amiss, and such errors average out. Stock against itself, every batch shuffled, differs by 1e-6 in 1,500 steps: two
# units in the last place of a loss near 6. Ten times that is allowed. A table that forgets max_norm or
# scale_grad_by_freq is out by 1e-2 and more.
TOLERANCE = 1e-5


def describe(corpus: Corpus, setting: Setting, seed: int, device: torch.device, path: str) -> str:
    """What is trained, on what, and where."""
    V, T, D = len(corpus.vocabulary), len(corpus.topics), setting.dim
    per_step = setting.batch * (2 * setting.window + 1 + 1 + setting.noise)
    return f"""\
Skip-gram word vectors, learnt from the Python language reference (pydoc_data.topics)
  text      {len(corpus.tokens):,} words in {T} topics, a vocabulary of {V:,}
  tables    words    {V:>5,} x {D}   padding_idx=0, sparse=True     SparseAdam
            topics   {T:>5,} x {D}   max_norm={setting.max_norm}                   Adam
            outputs  {V:>5,} x {D}   scale_grad_by_freq=True        Adam
  training  {setting.steps:,} steps of {setting.batch:,} centre words, {setting.window} words on each side, \
{setting.noise} noise words: {per_step:,} lookups a step
  twice     with {STOCK} and with {OURS}, both from seed {seed}
  path      tembed on {device}: {path}"""


def curve_table(stock: Tensor, ours: Tensor, rows: int) -> str:
    """Both loss curves, as means over stretches of steps, with the largest difference of one step in each."""
    lines = [f"{'steps':>13}  {STOCK:>18}  {OURS:>18}  largest difference"]
    first = 0
    for a, b in zip(stock.tensor_split(rows), ours.tensor_split(rows), strict=True):
        span = f"{first + 1}-{first + len(a)}"
        lines.append(f"{span:>13}  {a.mean():18.6f}  {b.mean():18.6f}  {(a - b).abs().max():18.1e}")
        first += len(a)
    return "\n".join(lines)


def neighbours(corpus: Corpus, vectors: Tensor, word: str, k: int = 5, min_count: int = 15) -> list[str]:
    """The k words nearest to `word` by cosine, among those seen at least min_count times."""
    unit = torch.nn.functional.normalize(vectors, dim=1)
    cosine = unit @ unit[corpus.ids[word]]
    cosine[corpus.counts < min_count] = -2
    cosine[[UNK, corpus.ids[word]]] = -2
    return [corpus.vocabulary[i] for i in cosine.topk(k).indices.tolist()]


def neighbour_table(corpus: Corpus, stock: Run, ours: Run) -> str:
    """The nearest neighbours of a few words in both runs."""
    lines = []
    for word in filter(corpus.ids.__contains__, WORDS):
        theirs, mine = (", ".join(neighbours(corpus, run.vectors, word)) for run in (stock, ours))
        lines.append(f"  {word:10} {STOCK:18}  {theirs}")
        lines.append(f"  {'':10} {OURS:18}  {'the same' if mine == theirs else mine}")
    return "\n".join(lines)


def failures(stock: Tensor, ours: Tensor, tolerance: float = TOLERANCE) -> list[str]:
    """Everything that is wrong with a pair of loss curves; empty when they agree and went down."""
    found = []
    tenth = max(1, len(stock) // 10)
    for name, losses in ((STOCK, stock), (OURS, ours)):
        bad = (~losses.isfinite()).nonzero()
        if len(bad):
            found.append(f"{name}: the loss is {losses[bad[0]].item()} at step {bad[0].item() + 1}")
        before, after = losses[:tenth].mean().item(), losses[-tenth:].mean().item()
        if not after < 0.9 * before:
            found.append(f"{name}: the loss did not go down by a tenth: from {before:.4f} to {after:.4f}")
    difference = (stock - ours).abs()
    worst = int(difference.argmax())
    if not difference[worst] <= tolerance:
        found.append(f"the losses differ by {difference[worst]:.1e} at step {worst + 1}, more than {tolerance:.0e}")
    return found


def draw(stock: Tensor, ours: Tensor, title: str, file: str) -> None:
    """Saves a picture of both curves, and below them of their difference."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    steps = range(1, len(stock) + 1)
    figure, (upper, lower) = plt.subplots(
        2, 1, sharex=True, figsize=(8, 5.5), height_ratios=(3, 1), layout="constrained"
    )
    # wide and pale under thin and dark: both stay visible where they coincide
    upper.plot(steps, stock, color="tab:orange", alpha=0.45, linewidth=5, label=STOCK)
    upper.plot(steps, ours, color="tab:blue", linewidth=0.8, label=OURS)
    upper.set(ylabel="loss", title=title)
    upper.legend()
    difference = (stock - ours).abs()
    highest = difference.nan_to_num(0, 0).max().item()
    lower.set(xlabel="step", ylabel="difference", yscale="log", ylim=(1e-9, max(1e-3, 2 * highest)))
    lower.plot(steps, difference.where(difference > 0, torch.nan), ".", markersize=3, color="tab:blue")
    lower.axhline(TOLERANCE, color="tab:red", linewidth=1)
    lower.text(1, TOLERANCE, " tolerance", color="tab:red", va="bottom", fontsize="small")
    equal = int((difference == 0).sum())
    lower.text(1, 2e-9, f" not drawn: {equal:,} of {len(stock):,} steps without any difference", fontsize="small")
    figure.savefig(file, dpi=150)
    plt.close(figure)
