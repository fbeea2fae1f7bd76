"""Trains word vectors twice, with torch.nn.Embedding and with tembed.Embedding, and compares: `make demo`.

Exits with status 1 if a loss is not finite, did not go down, or differs by more than the tolerance.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace

import torch
from torch import nn

import tembed
from tembed.bench.corpus import Corpus, build_corpus
from tembed.bench.demo_model import Run, Setting, train
from tembed.bench.demo_report import (
    OURS,
    STOCK,
    TOLERANCE,
    curve_table,
    describe,
    draw,
    failures,
    neighbour_table,
)

ON_CPU = Setting(dim=64, window=4, noise=8, batch=512, steps=1200, lr=3e-3)
ON_GPU = Setting(dim=128, window=5, noise=16, batch=4096, steps=2000, lr=2e-3)
# In the interpreter the number of launches counts, not their size: few steps, but not tiny ones.
SMALL = Setting(dim=32, window=2, noise=5, batch=64, steps=30, lr=5e-2, keep=1.0)


def compare(
    corpus: Corpus,
    setting: Setting,
    seed: int,
    device: torch.device,
    classes: tuple[type[nn.Embedding], type[nn.Embedding]] = (nn.Embedding, tembed.Embedding),
) -> tuple[Run, Run]:
    """Trains with both classes; two steps of each come first, so that neither pays for the start."""
    for embedding in classes:
        train(embedding, corpus, replace(setting, steps=2), seed, device)
    stock, ours = classes
    return (
        train(stock, corpus, setting, seed, device, f"{STOCK:>18}"),
        train(ours, corpus, setting, seed, device, f"{OURS:>18}"),
    )


def demonstrate(corpus: Corpus, setting: Setting, seed: int, device: torch.device, picture: str, brief: bool) -> int:
    """One comparison, printed; returns the exit status."""
    path = tembed.path(device)
    print(describe(corpus, setting, seed, device, path), flush=True)
    stock, ours = compare(corpus, setting, seed, device)
    print(f"\n{curve_table(stock.losses, ours.losses, 4 if brief else 10)}")
    difference = (stock.losses - ours.losses).abs().max()
    print(f"\nLargest difference of all {setting.steps:,} steps: {difference:.1e} (tolerance {TOLERANCE:.0e})")
    print(f"Wall time: {stock.seconds:.2f} s with {STOCK}, {ours.seconds:.2f} s with {OURS} ({path})")
    print(f"Topics at max_norm after training: {stock.at_max_norm} and {ours.at_max_norm} of {len(corpus.topics)}")
    if not brief:
        print(f"\nNearest neighbours\n{neighbour_table(corpus, stock, ours)}")
    if picture:
        draw(stock.losses, ours.losses, f"Word vectors from the Python reference (tembed on {device}: {path})", picture)
        print(f"\nPicture: {picture}")
    wrong = failures(stock.losses, ours.losses)
    if os.environ.get("TRITON_INTERPRET") == "1" and not path.startswith("kernels"):
        wrong.append(f"TRITON_INTERPRET=1 asks for the kernels, but the path was: {path}")
    for line in wrong:
        print(f"FAILED: {line}", flush=True)
    return 1 if wrong else 0


def interpret(seed: int) -> int:
    """The small comparison with the kernels in Triton's interpreter, in a process of its own."""
    print("\n--- The kernels themselves, in Triton's interpreter (slow, so a small model) ---", flush=True)
    if importlib.util.find_spec("triton") is None:
        print("Skipped: Triton is not installed.")
        return 0
    command = [sys.executable, "-m", "tembed.bench.demo", "--small", "--device", "cpu", "--seed", str(seed)]
    status = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}).returncode
    if status:
        print(f"FAILED: the part in the interpreter ended with status {status}", flush=True)
    return 1 if status else 0


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tembed.bench.demo", description=__doc__)
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, help="steps of each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", help="where the loss curves are drawn (default: demo.png; none with --small)")
    parser.add_argument("--small", action="store_true", help="the small model that the interpreter can train")
    args = parser.parse_args(arguments)
    if args.steps is not None and args.steps < 10:
        parser.error("--steps must be at least 10")
    on_cpu = args.device.type == "cpu"
    if on_cpu and not args.small and os.environ.get("TRITON_INTERPRET") == "1":
        parser.error("TRITON_INTERPRET=1 is set and would take hours: add --small, or unset it")

    setting = SMALL if args.small else ON_CPU if on_cpu else ON_GPU
    setting = replace(setting, steps=args.steps or setting.steps)
    corpus = build_corpus(min_count=100 if args.small else 4)
    picture = args.picture or ("" if args.small else "demo.png")
    status = demonstrate(corpus, setting, args.seed, args.device, picture, brief=args.small)
    if on_cpu and not args.small:
        status |= interpret(args.seed)
        print("\nThe demo FAILED." if status else "\nThe demo passed.")
    return status


if __name__ == "__main__":
    sys.exit(main())
