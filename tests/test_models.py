"""replace_embeddings on models as people have them: what it replaces, logits, gradients and training."""

import copy
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from pretrained import MODELS, every_model, pair, run
from torch import Tensor, nn

import tembed
from tembed import kernels
from tembed.parity import oracle

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

# the interpreter takes a second for ten
STEPS, RATE = 4 if kernels.interpreted() else 10, 1e-3
# In float64 two sums of fewer than 40 terms, whose sizes add up to about 1 at most, differ by less than 1e-14: such are
# the gradients of these tables. AdamW divides by the root of the second moment plus 1e-8, so that a step is off by
# less than RATE * 1e-14 / 1e-8.
TRACKED = STEPS * RATE * 1e-14 / 1e-8


class Part(NamedTuple):
    """One use's share of the gradient of a table, its bound, and the sum of the sizes of what is summed."""

    value: oracle.Array
    bound: oracle.Array
    size: oracle.Array


def array(tensor: Tensor) -> oracle.Array:
    return np.asarray(tensor.detach().cpu().double().numpy())


def part(module: nn.Embedding | nn.Linear, input: Tensor, grad_output: Tensor) -> Part:
    """In float64; for the product of a tied output layer any order of its sums is allowed too."""
    grad = array(grad_output)
    if isinstance(module, nn.Embedding):
        args = input.cpu().numpy(), module.num_embeddings, module.padding_idx, False, "float32"
        return Part(*oracle.gradient(grad, *args), oracle.gradient(np.abs(grad), *args).value)
    grad, x = grad.reshape(-1, module.out_features), array(input).reshape(-1, module.in_features)
    size = np.abs(grad).T @ np.abs(x)
    return Part(grad.T @ x, len(x) * oracle.ROUNDOFF["float32"] * 1.01 * size, size)


def watch(model: nn.Module) -> dict[Tensor, list[Part]]:
    """What the next backward adds to each table, by all modules that use it."""
    tables = {module.weight for module in model.modules() if isinstance(module, nn.Embedding)}
    parts: dict[Tensor, list[Part]] = defaultdict(list)

    def record(module: Any, args: tuple[Tensor], out: Tensor) -> None:
        if module.weight.requires_grad:
            out.register_hook(lambda grad: parts[module.weight].append(part(module, args[0], grad)))

    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.Linear) and module.weight in tables:
            module.register_forward_hook(record)
    return parts


@every_model
def test_one_line_replaces_every_table(build: Callable[[], Any], device: str) -> None:
    model = build().to(device)
    parameters, state = dict(model.named_parameters()), list(model.state_dict())
    report = tembed.replace_embeddings(model)
    assert (report.replaced, report.already, report.left) == (MODELS[build], (), {})
    after = dict(model.named_parameters())
    assert list(after) == list(parameters)
    assert all(after[name] is parameter for name, parameter in parameters.items())
    assert list(model.state_dict()) == state


@every_model
def test_logits_and_loss_are_stocks_bits(build: Callable[[], Any], device: str) -> None:
    for training in (True, False):
        stock, ours = (run(model.train(training), device) for model in pair(build, device))
        assert torch.equal(ours.logits, stock.logits)
        assert torch.equal(ours.loss, stock.loss)


@every_model
def test_gradients_of_tables_are_within_rounding_and_others_stocks_bits(build: Callable[[], Any], device: str) -> None:
    stock, ours = pair(build, device)
    parts = watch(ours)
    for model in (stock, ours):
        run(model, device).loss.backward()
    trained = [parameter for parameter in ours.parameters() if parameter.requires_grad]
    assert trained
    theirs = dict(stock.named_parameters())
    for name, parameter in ours.named_parameters():
        expected = theirs[name].grad
        if parameter not in parts:
            assert (parameter.grad is None) == (expected is None), name
            assert expected is None or torch.equal(parameter.grad, expected), name
            continue
        uses = parts.pop(parameter)
        size = sum(use.size for use in uses)
        additions = (len(uses) - 1) * oracle.ROUNDOFF["float32"] * 1.01 * size
        off = np.abs(array(parameter.grad) - sum(use.value for use in uses))
        assert (off <= sum(use.bound for use in uses) + additions).all(), name
    assert not parts


@every_model
def test_steps_of_adamw_track_stocks(build: Callable[[], Any], device: str) -> None:
    models = pair(build, device, torch.float64)
    before = copy.deepcopy(models[0].state_dict())
    losses: list[list[float]] = []
    for model in models:
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE)
        losses.append([])
        for step in range(STEPS):
            optimizer.zero_grad()
            loss = run(model, device, seed=step).loss
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=TRACKED)
    moved = 0.0
    ours = models[1].state_dict()
    for name, theirs in models[0].state_dict().items():
        torch.testing.assert_close(
            ours[name], theirs, rtol=0, atol=TRACKED, msg=lambda text, name=name: f"{name}: {text}"
        )
        moved = max(moved, float((theirs - before[name]).abs().max()))
    assert moved > STEPS * RATE / 2
