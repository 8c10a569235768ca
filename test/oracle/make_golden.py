"""Makes golden logits with Hugging Face transformers. See README.md beside this file."""

import argparse
import json
import platform
import shutil
from pathlib import Path

import numpy
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

TEST = Path(__file__).resolve().parent.parent
MODELS = TEST / "models"
GOLDEN = Path(__file__).resolve().parent / "golden"

VOCAB = 200
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0 + 0.05 * i for i in range(16)],
    "long_factor": [1.0 + 0.5 * i for i in range(16)],
    "factor": 2.0,
    "original_max_position_embeddings": 64,
}


def base(model_type, **changes):
    config = {
        "model_type": model_type,
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": VOCAB,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    config.update(changes)
    return config


# name: (config, dtype of the file, number of files)
VARIANTS = {
    # Ratios of query heads to KV heads: 1, 2 (most others), 4, 8. Head sizes 32, 64, 128.
    "llama-mha-tied-f32": (base("llama", num_key_value_heads=4, tie_word_embeddings=True), torch.float32, 1),
    "llama-gqa4-bf16": (base("llama", num_attention_heads=8, num_key_value_heads=2), torch.bfloat16, 1),
    "llama-gqa8-f16": (base("llama", num_attention_heads=8, num_key_value_heads=1, head_dim=64), torch.float16, 1),
    "llama-head128-bf16": (base("llama", num_attention_heads=2, num_key_value_heads=1, head_dim=128), torch.bfloat16, 1),
    "llama-biases-bf16": (base("llama", attention_bias=True, mlp_bias=True), torch.bfloat16, 1),
    "llama-linear-bf16": (base("llama", rope_scaling={"rope_type": "linear", "factor": 4.0}), torch.bfloat16, 1),
    "llama-dynamic-bf16": (base("llama", rope_scaling={"rope_type": "dynamic", "factor": 4.0}), torch.bfloat16, 1),
    "llama-llama3-bf16": (base("llama", rope_theta=500000.0, rope_scaling=LLAMA3), torch.bfloat16, 1),
    "llama-yarn-bf16": (base("llama", rope_scaling=YARN), torch.bfloat16, 1),
    "llama-longrope-bf16": (base("llama", rope_scaling=LONGROPE), torch.bfloat16, 1),
    "llama-sharded-bf16": (base("llama", num_hidden_layers=3), torch.bfloat16, 3),
    # A window shorter than the tokens, so that it shows.
    "mistral-window-bf16": (base("mistral", sliding_window=8), torch.bfloat16, 1),
    "qwen2-tied-bf16": (base("qwen2", tie_word_embeddings=True, rope_theta=1000000.0, rms_norm_eps=1e-6), torch.bfloat16, 1),
    "qwen2-window-f16": (base("qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=0), torch.float16, 1),
}


def make_model(folder, raw, dtype, files, seed):
    """Writes a random checkpoint, in the layout of Hugging Face."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(raw, indent=2) + "\n")
    generator = torch.Generator().manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
    tensors = {}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and raw["tie_word_embeddings"]:
            continue
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("norm.weight") or "layernorm" in name:
            drawn = 1 + 0.2 * noise
        elif name.endswith(".bias"):
            drawn = 0.3 * noise
        elif "embed_tokens" in name:
            drawn = 0.8 * noise
        else:
            # Twice the variance that keeps a layer's scale: attention is then far from uniform.
            drawn = noise * (2.0 / value.shape[1]) ** 0.5
        tensors[name] = drawn.to(dtype).contiguous()
    if files == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    weight_map, names = {}, list(tensors)
    for index in range(files):
        file = f"model-{index + 1:05d}-of-{files:05d}.safetensors"
        part = {name: tensors[name] for name in names[index::files]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map.update({name: file for name in part})
    total = sum(value.numel() * value.element_size() for value in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def make_golden(name, folder, tokens_count):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(0, model.config.vocab_size, (1, tokens_count), generator=generator)
    with torch.no_grad():
        logits = model(tokens).logits[0].float().numpy()
    spread = float(logits.max() - logits.min())
    top = numpy.sort(logits, axis=-1)
    print(f"{name}: range {spread:.3f}, smallest margin {float((top[:, -1] - top[:, -2]).min()):.2e}")
    (GOLDEN / f"{name}.f32").write_bytes(logits.astype("<f4").tobytes())
    facts = {
        "model": folder.name,
        "tokens": tokens[0].tolist(),
        "vocabSize": int(model.config.vocab_size),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    (GOLDEN / f"{name}.json").write_text(json.dumps(facts) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", action="store_true", help="make the random models anew, too")
    options = parser.parse_args()
    GOLDEN.mkdir(exist_ok=True)
    for seed, (name, (raw, dtype, files)) in enumerate(VARIANTS.items()):
        folder = MODELS / f"golden-{name}"
        if options.models or not folder.exists():
            make_model(folder, raw, dtype, files, seed)
        make_golden(name, folder, 48)
    make_golden("skein-tiny", MODELS / "skein-tiny", 48)


if __name__ == "__main__":
    main()
