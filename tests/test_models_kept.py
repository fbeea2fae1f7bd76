"""Models whose embeddings are replaced are saved, loaded, resized, wrapped and merged as stock's are."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pretrained import EAGER, MODELS, D, V, every_transformer, llama, lora, pair, peft, run

import tembed

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


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
