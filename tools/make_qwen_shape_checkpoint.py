#!/usr/bin/env python3
"""Write a checkpoint with the shapes of a Qwen2-VL model and random weights.

As make_shape_checkpoint.py, for Qwen2-VL: names and config.json as published,
bf16, sharded; a tokenizer of single bytes with the special tokens of Qwen2.

    python tools/make_qwen_shape_checkpoint.py DIR [--size 2b|7b|72b] [--layers N] [--vision-layers N]

Needs numpy. 4.4 GB for 2b with all layers, 16.6 GB for 7b, 147 GB for 72b.
"""

import argparse
import os

import make_shape_checkpoint as shape

SIZES = {
    "2b": dict(hidden=1536, inter=8960, layers=28, heads=12, kv=2, vocab=151936, tie=True),
    "7b": dict(hidden=3584, inter=18944, layers=28, heads=28, kv=4, vocab=152064, tie=False),
    "72b": dict(hidden=8192, inter=29568, layers=80, heads=64, kv=8, vocab=152064, tie=False),
}
VISION = dict(hidden=1280, inter=5120, layers=32, heads=16, patch=14)
FIRST_SPECIAL = 151643
SPECIAL = ["endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start", "box_end",
           "quad_start", "quad_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad"]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--size", choices=SIZES, default="2b")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--vision-layers", type=int, default=VISION["layers"])
    parser.add_argument("--shard-gb", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def with_bias(name, rows, columns):
    yield name + ".weight", (rows, columns)
    yield name + ".bias", (rows,)


def layer_norm(name, width):
    yield name + ".weight", (width,)
    yield name + ".bias", (width,)


def vision_tensors(layers, out):
    d, f = VISION["hidden"], VISION["inter"]
    yield "visual.patch_embed.proj.weight", (d, 3, 2, VISION["patch"], VISION["patch"])
    for i in range(layers):
        block = f"visual.blocks.{i}."
        yield from layer_norm(block + "norm1", d)
        yield from layer_norm(block + "norm2", d)
        yield from with_bias(block + "attn.qkv", 3 * d, d)
        yield from with_bias(block + "attn.proj", d, d)
        yield from with_bias(block + "mlp.fc1", f, d)
        yield from with_bias(block + "mlp.fc2", d, f)
    yield from layer_norm("visual.merger.ln_q", d)
    yield from with_bias("visual.merger.mlp.0", 4 * d, 4 * d)
    yield from with_bias("visual.merger.mlp.2", out, 4 * d)


def text_tensors(size, layers):
    d, f = size["hidden"], size["inter"]
    kv = d // size["heads"] * size["kv"]
    yield "model.embed_tokens.weight", (size["vocab"], d)
    for i in range(layers):
        layer = f"model.layers.{i}."
        yield layer + "input_layernorm.weight", (d,)
        for name, rows in (("q", d), ("k", kv), ("v", kv)):
            yield from with_bias(f"{layer}self_attn.{name}_proj", rows, d)
        yield layer + "self_attn.o_proj.weight", (d, d)
        yield layer + "post_attention_layernorm.weight", (d,)
        yield layer + "mlp.gate_proj.weight", (f, d)
        yield layer + "mlp.up_proj.weight", (f, d)
        yield layer + "mlp.down_proj.weight", (d, f)
    yield "model.norm.weight", (d,)
    if not size["tie"]:
        yield "lm_head.weight", (size["vocab"], d)


def make_config(args, size):
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl", "torch_dtype": "bfloat16",
        "bos_token_id": 151643, "eos_token_id": 151645, "vision_start_token_id": 151652,
        "vision_end_token_id": 151653, "vision_token_id": 151654, "image_token_id": 151655,
        "video_token_id": 151656, "hidden_act": "silu", "hidden_size": size["hidden"],
        "intermediate_size": size["inter"], "max_position_embeddings": 32768, "num_attention_heads": size["heads"],
        "num_hidden_layers": args.layers, "num_key_value_heads": size["kv"], "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 32768, "use_sliding_window": False,
        "tie_word_embeddings": size["tie"], "vocab_size": size["vocab"],
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "vision_config": {
            "depth": args.vision_layers, "embed_dim": VISION["hidden"], "mlp_ratio": 4,
            "num_heads": VISION["heads"], "in_chans": 3, "hidden_size": size["hidden"], "patch_size": 14,
            "spatial_merge_size": 2, "spatial_patch_size": 14, "temporal_patch_size": 2},
    }


PREPROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14,
    "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def byte_alphabet():
    """A printable character for each byte, as GPT-2 has them."""
    itself = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in itself else chr(next(others)) for b in range(256)]


def make_tokenizer():
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [shape.special(FIRST_SPECIAL + i, f"<|{name}|>") for i, name in enumerate(SPECIAL)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {piece: i for i, piece in enumerate(byte_alphabet())}, "merges": []},
    }


def main():
    args = parse_arguments()
    size = SIZES[args.size]
    args.layers = args.layers or size["layers"]
    os.makedirs(args.directory, exist_ok=True)
    shape.write_json(args.directory, "config.json", make_config(args, size))
    shape.write_json(args.directory, "generation_config.json", {
        "bos_token_id": 151643, "eos_token_id": [151645, 151643], "pad_token_id": 151643, "do_sample": True,
        "repetition_penalty": 1.0, "temperature": 0.01, "top_p": 0.001, "top_k": 1})
    shape.write_json(args.directory, "preprocessor_config.json", PREPROCESSOR)
    shape.write_json(args.directory, "tokenizer.json", make_tokenizer())
    tensors = [*vision_tensors(args.vision_layers, size["hidden"]), *text_tensors(size, args.layers)]
    total = shape.write_weights(args, tensors)
    print(f"{args.directory}: {total / 1e9:.2f} GB of weights")


if __name__ == "__main__":
    main()
