#!/usr/bin/env python3
"""Write a checkpoint with the shapes of LLaVA-1.5-7B and random weights.

Latency does not depend on what the weights are, so this is enough to measure
it: Hugging Face layout, bf16, sharded safetensors, a made-up tokenizer of
32000 pieces. It is written as it is made, so little memory is needed; the
numbers come from one block of random ones, each tensor from another place.

    python tools/make_shape_checkpoint.py DIR [--layers N]

Needs numpy. 14.1 GB with all 32 layers; 1.5 GB with two.
"""

import argparse
import itertools
import json
import os
import string
import struct

import numpy as np

POOL_VALUES = 1 << 25
STD = 0.02


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("directory")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--vision-layers", type=int, default=24)
    parser.add_argument("--hidden", type=int, default=4096)
    parser.add_argument("--intermediate", type=int, default=11008)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, default=32)
    parser.add_argument("--shard-gb", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


# --- what there is ----------------------------------------------------------


VISION = dict(hidden=1024, inter=4096, heads=16, image=336, patch=14)
VOCAB = 32064
PIECES = 32000


def vision_tensors(layers):
    d, f, p = VISION["hidden"], VISION["inter"], VISION["patch"]
    tokens = (VISION["image"] // p) ** 2 + 1
    root = "vision_tower.vision_model."
    yield root + "embeddings.class_embedding", (d,)
    yield root + "embeddings.patch_embedding.weight", (d, 3, p, p)
    yield root + "embeddings.position_embedding.weight", (tokens, d)
    for name in ("pre_layrnorm", "post_layernorm"):
        yield f"{root}{name}.weight", (d,)
        yield f"{root}{name}.bias", (d,)
    for i in range(layers):
        layer = f"{root}encoder.layers.{i}."
        for name in ("layer_norm1", "layer_norm2"):
            yield f"{layer}{name}.weight", (d,)
            yield f"{layer}{name}.bias", (d,)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{layer}self_attn.{name}.weight", (d, d)
            yield f"{layer}self_attn.{name}.bias", (d,)
        for name, rows, columns in (("fc1", f, d), ("fc2", d, f)):
            yield f"{layer}mlp.{name}.weight", (rows, columns)
            yield f"{layer}mlp.{name}.bias", (rows,)


def projector_tensors(hidden):
    root = "multi_modal_projector.linear_"
    for name, columns in (("1", VISION["hidden"]), ("2", hidden)):
        yield f"{root}{name}.weight", (hidden, columns)
        yield f"{root}{name}.bias", (hidden,)


def text_tensors(args):
    d, f = args.hidden, args.intermediate
    kv = d // args.heads * args.kv_heads
    root = "language_model.model."
    yield root + "embed_tokens.weight", (VOCAB, d)
    for i in range(args.layers):
        layer = f"{root}layers.{i}."
        yield layer + "input_layernorm.weight", (d,)
        for name, rows in (("q", d), ("k", kv), ("v", kv), ("o", d)):
            yield f"{layer}self_attn.{name}_proj.weight", (rows, d)
        yield layer + "post_attention_layernorm.weight", (d,)
        yield layer + "mlp.gate_proj.weight", (f, d)
        yield layer + "mlp.up_proj.weight", (f, d)
        yield layer + "mlp.down_proj.weight", (d, f)
    yield root + "norm.weight", (d,)
    yield "language_model.lm_head.weight", (VOCAB, d)


def all_tensors(args):
    return list(itertools.chain(
        vision_tensors(args.vision_layers), projector_tensors(args.hidden),
        text_tensors(args)))


# --- weights ----------------------------------------------------------------


def to_bf16(values):
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


class RandomBlock:
    """bf16 values; each tensor begins somewhere else."""

    def __init__(self, seed):
        generator = np.random.default_rng(seed)
        self.pool = to_bf16(
            STD * generator.standard_normal(POOL_VALUES, dtype=np.float32))
        self.at = 0

    def write(self, file, count):
        while count > 0:
            part = self.pool[self.at:self.at + count]
            file.write(part.tobytes())
            count -= len(part)
            self.at = (self.at + len(part)) % POOL_VALUES
        self.at = (self.at + 7919) % POOL_VALUES


def is_norm_weight(name):
    return name.endswith("weight") and ("norm" in name or "ln_q" in name)


def count_of(shape):
    return int(np.prod(shape))


def write_shard(path, tensors, block):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        size = 2 * count_of(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape),
                        "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 64 + 56)  # data begin at a multiple of 64
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name, shape in tensors:
            if is_norm_weight(name):
                ones = to_bf16(np.ones(count_of(shape)))
                file.write(ones.tobytes())
            else:
                block.write(file, count_of(shape))
    return at


def split(tensors, limit):
    shards, size = [[]], 0
    for name, shape in tensors:
        bytes_ = 2 * count_of(shape)
        if shards[-1] and size + bytes_ > limit:
            shards.append([])
            size = 0
        shards[-1].append((name, shape))
        size += bytes_
    return shards


def write_weights(args, tensors):
    block = RandomBlock(args.seed)
    shards = split(tensors, args.shard_gb * 1e9)
    index = {"metadata": {"total_size": 0}, "weight_map": {}}
    for i, tensors in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        index["metadata"]["total_size"] += write_shard(
            os.path.join(args.directory, file), tensors, block)
        index["weight_map"].update({name: file for name, _ in tensors})
        print(f"{file}: {len(tensors)} tensors")
    write_json(args.directory, "model.safetensors.index.json", index)
    return index["metadata"]["total_size"]


# --- tokenizer --------------------------------------------------------------


def words():
    """Strings of letters, shortest first: every one is a letter more than one
    before it, so two pieces make it."""
    for length in itertools.count(2):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            yield "".join(letters)


def make_vocabulary():
    pieces = ["<unk>", "<s>", "</s>"]
    pieces += [f"<0x{byte:02X}>" for byte in range(256)]
    pieces.append("\u2581")
    pieces += [c for c in map(chr, range(33, 127))]
    merges = []
    for letter in string.ascii_lowercase:
        merges.append(f"\u2581 {letter}")
        pieces.append("\u2581" + letter)
    for word in words():
        if len(pieces) == PIECES:
            return pieces, merges
        merges.append(f"{word[:-1]} {word[-1]}")
        pieces.append(word)


def special(identifier, content):
    return {"id": identifier, "content": content, "single_word": False,
            "lstrip": False, "rstrip": False, "normalized": False,
            "special": True}


def make_tokenizer():
    pieces, merges = make_vocabulary()
    mark = "\u2581"
    begin = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            special(0, "<unk>"), special(1, "<s>"), special(2, "</s>"),
            special(32000, "<image>"), special(32001, "<pad>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": mark},
            {"type": "Replace", "pattern": {"String": " "},
             "content": mark}]},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [begin, {"Sequence": {"id": "A", "type_id": 0}},
                     begin, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                "<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": mark}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>",
            "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
            "vocab": {piece: i for i, piece in enumerate(pieces)},
            "merges": merges},
    }


# --- side files -------------------------------------------------------------


def make_config(args):
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava", "dtype": "bfloat16",
        "image_token_index": 32000, "image_seq_length": 576,
        "projector_hidden_act": "gelu", "multimodal_projector_bias": True,
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "tie_word_embeddings": False,
        "text_config": {
            "model_type": "llama", "hidden_size": args.hidden,
            "intermediate_size": args.intermediate,
            "num_hidden_layers": args.layers,
            "num_attention_heads": args.heads,
            "num_key_value_heads": args.kv_heads,
            "max_position_embeddings": 4096, "rms_norm_eps": 1e-05,
            "vocab_size": VOCAB, "hidden_act": "silu",
            "rope_theta": 10000.0},
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": VISION["hidden"],
            "intermediate_size": VISION["inter"],
            "num_hidden_layers": args.vision_layers,
            "num_attention_heads": VISION["heads"],
            "image_size": VISION["image"], "patch_size": VISION["patch"]},
    }


PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor", "do_resize": True,
    "do_center_crop": True, "do_rescale": True, "do_normalize": True,
    "do_convert_rgb": True, "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336},
}


def write_json(directory, name, value):
    with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False)
        file.write("\n")


def main():
    args = parse_arguments()
    os.makedirs(args.directory, exist_ok=True)
    write_json(args.directory, "config.json", make_config(args))
    write_json(args.directory, "generation_config.json",
               {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 32001})
    write_json(args.directory, "preprocessor_config.json", PREPROCESSOR)
    write_json(args.directory, "tokenizer.json", make_tokenizer())
    total = write_weights(args, all_tensors(args))
    print(f"{args.directory}: {total / 1e9:.2f} GB of weights")


if __name__ == "__main__":
    main()
