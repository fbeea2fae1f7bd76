"""Trains a small model, with or without a batch of another vocabulary in between: `python mismatch.py [BAD_STEP]`.

On a GPU; without one, the CPU's interpreted kernels are taken for its. Prints losses, errors, and the weights' sum.
"""

import json
import sys

import torch
from torch import nn

import tembed
from tembed import modes

VOCABULARY, OTHERS, STEPS = 60, 90, 12


class Model(nn.Module):
    """Predicts the next token from the present one."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, 16)
        self.head = nn.Linear(16, VOCABULARY)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits."""
        out: torch.Tensor = self.head(self.tokens(tokens))
        return out


def main(bad_step: int | None, device: str) -> dict[str, object]:
    """Losses of all steps that were made, what was raised, and a checksum of what came of it."""
    torch.manual_seed(0)
    model = Model().to(device)
    tembed.replace_embeddings(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    batches = (torch.randint(0, VOCABULARY, (STEPS, 4, 1)) + torch.arange(9)) % VOCABULARY  # the next follows
    wrong = torch.randint(VOCABULARY, OTHERS, (4, 9))
    wrong[0, :3] = torch.tensor([1, 2, 3])
    losses: list[float] = []
    errors: list[str] = []

    def step(tokens: torch.Tensor) -> None:
        # of two dimensions: of more torch adds up by atomics on CUDA
        logits, targets = model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten() % VOCABULARY
        loss = nn.functional.cross_entropy(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        tembed.check_indices()  # before anything is changed
        optimizer.step()
        losses.append(loss.item())

    for number, batch in enumerate(batches):
        if number == bad_step:
            try:
                step(wrong.to(device))
            except IndexError as error:
                errors.append(str(error))
        step(batch.to(device))
    return {"losses": losses, "errors": errors, "sum": sum(p.double().sum().item() for p in model.parameters())}


if __name__ == "__main__":
    modes.CPU_RAISES = False
    where = "cuda" if torch.cuda.is_available() else "cpu"
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else None, where)))
