"""The public surface as a user's code has it, which pyright accepts in strict mode: `make pyright`."""

import torch

import tembed

table = tembed.Embedding(10, 4, padding_idx=1, max_norm=2.0, norm_type=1.0, sparse=True, device="cpu")
pretrained = tembed.Embedding.from_pretrained(torch.zeros(10, 4), freeze=False)
stock: torch.nn.Embedding = table
out: torch.Tensor = table(torch.tensor([1]))
same: torch.Tensor = tembed.embedding(torch.tensor([1]), table.weight, padding_idx=1, scale_grad_by_freq=True)
where: str = tembed.path("cpu")
version: str = tembed.__version__
tembed.set_index_checks("off")
with tembed.index_checks("immediate"):
    tembed.embedding(torch.tensor([1]), table.weight)
tembed.check_indices()
named: dict[str, torch.nn.Module] = tembed.name_embeddings(table, prefix="model")
done = tembed.replace_embeddings(torch.nn.Sequential(torch.nn.Embedding(3, 2)), dry_run=True)
names: tuple[str, ...] = done.replaced + done.already
reasons: dict[str, str] = done.left
done.revert()
