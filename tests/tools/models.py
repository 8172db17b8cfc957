"""A tiny language model of every family that is tried, with weights and norms that are not the identity."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

D_MODEL, N_LAYERS, CONTEXT = 32, 2, 32
_GPT: dict[str, Any] = {"n_embd": D_MODEL, "n_layer": N_LAYERS, "n_head": 4, "n_positions": CONTEXT}
_WIDE: dict[str, Any] = {
    "hidden_size": D_MODEL,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}
_MLP: dict[str, Any] = {**_WIDE, "intermediate_size": 64}
_GROUPED: dict[str, Any] = {**_MLP, "num_key_value_heads": 2}
_HEADS: dict[str, Any] = {**_GROUPED, "head_dim": 8}
_GEMMA: dict[str, Any] = {**_HEADS, "query_pre_attn_scalar": 8, "sliding_window": 16}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", _GPT),
    "gpt_neox": ("GPTNeoX", _MLP),
    "gpt_neo": (
        "GPTNeo",
        {**_WIDE, "num_layers": N_LAYERS, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    ),
    "gptj": ("GPTJ", {**_GPT, "rotary_dim": 4}),
    "opt": ("OPT", {**_WIDE, "ffn_dim": 64, "word_embed_proj_dim": D_MODEL}),
    "bloom": ("Bloom", {"hidden_size": D_MODEL, "n_layer": N_LAYERS, "n_head": 4}),
    "falcon": ("Falcon", {**_WIDE, "new_decoder_architecture": False, "multi_query": True, "parallel_attn": True}),
    "llama": ("Llama", _GROUPED),
    "llama_tied": ("Llama", {**_GROUPED, "tie_word_embeddings": True}),
    "mistral": ("Mistral", _GROUPED),
    "qwen2": ("Qwen2", _GROUPED),
    "qwen3": ("Qwen3", _HEADS),
    "gemma": ("Gemma", _HEADS),
    "gemma2": ("Gemma2", _GEMMA),
    "gemma2_sharply_capped": ("Gemma2", {**_GEMMA, "final_logit_softcapping": 2.0}),
    "gemma3_text": ("Gemma3", {**_GEMMA, "layer_types": ["sliding_attention", "full_attention"]}),
    "phi": ("Phi", _MLP),
    "phi3": ("Phi3", {**_GROUPED, "pad_token_id": 0}),
    "olmo": ("Olmo", _GROUPED),
    "olmo2": ("Olmo2", _GROUPED),
    "olmo3": ("Olmo3", _GROUPED),
    "granite": (
        "Granite",
        {**_GROUPED, "logits_scaling": 8.0, "embedding_multiplier": 12.0, "residual_multiplier": 0.2},
    ),
    "stablelm": ("StableLm", _GROUPED),
    "smollm3": ("SmolLM3", {**_GROUPED, "pad_token_id": 0}),
    "starcoder2": ("Starcoder2", _GROUPED),
    "mpt": ("Mpt", {"d_model": D_MODEL, "n_layers": N_LAYERS, "n_heads": 4, "max_seq_len": CONTEXT}),
    "glm": ("Glm", {**_HEADS, "pad_token_id": 0}),
    "exaone4": ("Exaone4", _GROUPED),
    "nemotron": ("Nemotron", _GROUPED),
    "gpt_bigcode": ("GPTBigCode", _GPT),
    "xglm": (
        "XGLM",
        {
            "d_model": D_MODEL,
            "ffn_dim": 64,
            "num_layers": N_LAYERS,
            "attention_heads": 4,
            "max_position_embeddings": CONTEXT,
        },
    ),
    "nanochat": ("NanoChat", _HEADS),
    "granite_moe": (
        "GraniteMoe",
        {**_GROUPED, "num_local_experts": 2, "num_experts_per_tok": 1, "logits_scaling": 6.0},
    ),
    "mixtral": ("Mixtral", {**_GROUPED, "num_local_experts": 2}),
}
"""Name -> the class's first part in transformers, and its configuration."""
MISREAD: dict[str, tuple[str, dict[str, Any]]] = {
    "cohere": ("Cohere", {**_GROUPED, "logit_scale": 0.0625}),
    "cohere2": ("Cohere2", {**_HEADS, "sliding_window": 16}),
    "openai_gpt": ("OpenAIGPT", _GPT),
    "codegen": ("CodeGen", {**_GPT, "rotary_dim": 4}),
    "opt_with_projections": ("OPT", {**_WIDE, "ffn_dim": 64, "word_embed_proj_dim": 16, "do_layer_norm_before": False}),
}
"""Families that the bridge, or the bench, does not read rightly."""


def build_model(family: str, d_vocab: int, seed: int = 0, **settings: Any) -> Any:
    """A model of a family with random weights; its norms' weights and biases are no ones and zeros."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

    name, own = {**FAMILIES, **MISREAD}[family]
    configure = getattr(transformers, f"{name}TextConfig", None) or getattr(transformers, f"{name}Config")
    made = getattr(transformers, f"{name}ForCausalLM", None) or getattr(transformers, f"{name}LMHeadModel")
    torch.manual_seed(seed)
    model = made(configure(**{"vocab_size": d_vocab, "bos_token_id": 0, "eos_token_id": 0, **own, **settings}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
            else:
                parameter.mul_(4)
    return model.float().eval()


def save_model(folder: Path, family: str, tokenizer: Path, d_vocab: int, **settings: Any) -> Path:
    """Save one, with the tokenizer that lies in another folder."""
    build_model(family, d_vocab, **settings).save_pretrained(folder)
    for file in tokenizer.glob("token*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder
