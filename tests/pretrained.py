"""Models as people have them, transformers' and PEFT's: small, random, never downloaded; stock and a replaced copy."""

import copy
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import tembed

# read when transformers is imported, which the tests do and collecting them does not
os.environ["HF_HUB_OFFLINE"] = "1"

V, D, PAD = 48, 32, 0
EAGER: dict[str, Any] = {"attn_implementation": "eager"}  # whose gradients are the same from run to run on a GPU too


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
