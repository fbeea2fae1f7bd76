"""replace_embeddings on models as people have them: transformers' and PEFT's, small, random and never downloaded."""

import copy
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tembed
from tembed.parity import oracle

# read when transformers is imported, which the tests do and collecting them does not
os.environ["HF_HUB_OFFLINE"] = "1"

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

V, D, PAD = 48, 32, 0
EAGER: dict[str, Any] = {"attn_implementation": "eager"}  # whose gradients are the same from run to run on a GPU too
STEPS, RATE = 10, 1e-3
# In float64 two sums of fewer than 40 terms, whose sizes add up to about 1 at most, differ by less than 1e-14: such are
# the gradients of these tables. AdamW divides by the root of the second moment plus 1e-8, so that a step is off by
# less than RATE * 1e-14 / 1e-8.
TRACKED = STEPS * RATE * 1e-14 / 1e-8


def transformers() -> Any:
    module = pytest.importorskip("transformers", reason="needs transformers, which is among the extra 'dev'")
    module.logging.set_verbosity_error()
    module.logging.disable_progress_bar()
    return module


def peft() -> Any:
    transformers()
    return pytest.importorskip("peft", reason="needs peft, which is among the extra 'dev'")


def gpt2() -> Any:
    """Its output layer has the table of words for its weight."""
    hf = transformers()
    ends = {"bos_token_id": 1, "eos_token_id": 1}
    return hf.GPT2LMHeadModel(
        hf.GPT2Config(vocab_size=V, n_positions=8, n_embd=D, n_layer=2, n_head=2, **ends, **EAGER)
    )


def bert() -> Any:
    """Three tables, of which the words have a padding row; tied to its output layer."""
    hf = transformers()
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 2 * D}
    config = hf.BertConfig(vocab_size=V, hidden_size=D, max_position_embeddings=8, pad_token_id=PAD, **layers, **EAGER)
    return hf.BertForMaskedLM(config)


def llama() -> Any:
    """One table with a padding row, and an output layer of its own."""
    hf = transformers()
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 2 * D}
    config = hf.LlamaConfig(vocab_size=V, hidden_size=D, max_position_embeddings=8, pad_token_id=PAD, **layers, **EAGER)
    return hf.LlamaForCausalLM(config)


def t5() -> Any:
    """One table in three modules and in the output layer, and one of attention's biases for each stack."""
    hf = transformers()
    layers = {"num_layers": 2, "num_heads": 2, "d_kv": D // 2, "d_ff": 2 * D, "relative_attention_num_buckets": 8}
    config = hf.T5Config(vocab_size=V, d_model=D, decoder_start_token_id=PAD, pad_token_id=PAD, **layers, **EAGER)
    return hf.T5ForConditionalGeneration(config)


def lora() -> Any:
    """PEFT's LoRA around the table, which is frozen; what LoRA adds it looks up by torch's function itself."""
    pf = peft()
    config = pf.LoraConfig(r=4, target_modules=["embed_tokens", "q_proj"], init_lora_weights=False)
    return pf.get_peft_model(llama(), config)


def saved_with_lora() -> Any:
    """PEFT's copy of a table, trained in full next to LoRA."""
    pf = peft()
    return pf.get_peft_model(llama(), pf.LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"]))


T5_BIAS = "block.0.layer.0.SelfAttention.relative_attention_bias"
# What is replaced, by name.
TRANSFORMERS: dict[Callable[[], Any], tuple[str, ...]] = {
    gpt2: ("transformer.wte", "transformer.wpe"),
    bert: tuple(f"bert.embeddings.{name}_embeddings" for name in ("word", "position", "token_type")),
    llama: ("model.embed_tokens",),
    t5: ("shared", "encoder.embed_tokens", f"encoder.{T5_BIAS}", "decoder.embed_tokens", f"decoder.{T5_BIAS}"),
}
WRAPPED = "base_model.model.model.embed_tokens"
PEFT: dict[Callable[[], Any], tuple[str, ...]] = {
    lora: (f"{WRAPPED}.base_layer",),
    saved_with_lora: (f"{WRAPPED}.original_module", f"{WRAPPED}.modules_to_save.default"),
}
MODELS = TRANSFORMERS | PEFT
every_model = pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
every_transformer = pytest.mark.parametrize("build", TRANSFORMERS, ids=lambda build: build.__name__)


def pair(build: Callable[[], Any], device: str, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """A model in training mode, and a copy of it whose embeddings are replaced."""
    torch.manual_seed(0)
    stock = build().to(device, dtype).train()
    ours = copy.deepcopy(stock)
    tembed.replace_embeddings(ours)
    return stock, ours


def batch(device: str) -> dict[str, Tensor]:
    """Two sentences of tokens that repeat, the first padded."""
    ids = torch.tensor([[7, 9, PAD, PAD], [5, 7, 5, 2]], device=device)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long(), "labels": ids.masked_fill(ids == PAD, -100)}


def run(model: Any, device: str, seed: int = 0) -> Any:
    """The model's output; dropout as the seed has it."""
    torch.manual_seed(seed)
    return model(**batch(device))


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
def test_ten_steps_of_adamw_track_stocks(build: Callable[[], Any], device: str) -> None:
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


@every_transformer
def test_a_saved_model_is_stocks_file_and_loads_either_way(
    build: Callable[[], Any], device: str, tmp_path: Path
) -> None:
    stock, ours = pair(build, device)
    stock.save_pretrained(tmp_path / "stock")
    ours.save_pretrained(tmp_path / "ours")
    files = sorted(path.name for path in (tmp_path / "stock").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "ours").iterdir())
    assert "model.safetensors" in files
    assert [
        name for name in files if (tmp_path / "ours" / name).read_bytes() != (tmp_path / "stock" / name).read_bytes()
    ] == []
    loaded = type(stock).from_pretrained(tmp_path / "ours", **EAGER).to(device)
    state = loaded.state_dict()
    assert list(state) == list(ours.state_dict())
    assert all(torch.equal(state[name], value) for name, value in ours.state_dict().items())
    expected = run(ours.eval(), device).logits
    assert torch.equal(run(loaded, device).logits, expected)
    assert tembed.replace_embeddings(loaded).replaced == MODELS[build]
    assert torch.equal(run(loaded, device).logits, expected)


@every_transformer
@pytest.mark.parametrize("rows", [V + 8, V - 8], ids=["more", "fewer"])
def test_a_resized_table_stays_ours(build: Callable[[], Any], rows: int, device: str) -> None:
    models = pair(build, device)
    for model in models:
        torch.manual_seed(1)
        model.resize_token_embeddings(rows)
    ours = models[1]
    report = tembed.replace_embeddings(ours)
    assert (report.replaced, set(report.already), report.left) == ((), set(MODELS[build]), {})
    assert ours.get_input_embeddings().weight.shape == (rows, D)
    outs = [run(model, device) for model in models]
    assert outs[0].logits.shape[-1] == rows
    assert torch.equal(outs[1].logits, outs[0].logits)
    outs[1].loss.backward()
    assert ours.get_input_embeddings().weight.grad.shape == (rows, D)


@pytest.mark.parametrize("first", ["replaced", "wrapped"])
def test_lora_wraps_a_replaced_table_and_a_wrapped_one_is_replaced(first: str, device: str, tmp_path: Path) -> None:
    pf = peft()
    torch.manual_seed(0)
    base = llama().to(device)
    stock, ours = copy.deepcopy(base), copy.deepcopy(base)
    config = pf.LoraConfig(r=4, target_modules=["embed_tokens", "q_proj"], init_lora_weights=False)
    wrapped = []
    for model in (stock, ours):
        if model is ours and first == "replaced":
            tembed.replace_embeddings(model)
        torch.manual_seed(1)
        wrapped.append(pf.get_peft_model(model, config).eval())
    if first == "wrapped":
        tembed.replace_embeddings(wrapped[1])
    assert tembed.replace_embeddings(wrapped[1]).already == MODELS[lora]
    expected = run(wrapped[0], device).logits
    assert torch.equal(run(wrapped[1], device).logits, expected)

    wrapped[1].save_pretrained(tmp_path, save_embedding_layers=False)
    fresh = copy.deepcopy(base)
    tembed.replace_embeddings(fresh)
    assert torch.equal(run(pf.PeftModel.from_pretrained(fresh, tmp_path).eval(), device).logits, expected)

    merged = [model.merge_and_unload() for model in wrapped]
    assert tembed.replace_embeddings(merged[1]).already == MODELS[llama]
    assert torch.equal(run(merged[1], device).logits, run(merged[0], device).logits)
