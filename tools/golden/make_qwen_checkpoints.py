#!/usr/bin/env python3
"""Make the tiny Qwen2-VL checkpoints under tests/golden/models/qwen2-vl*.

Oracle: Hugging Face transformers (Qwen2VLForConditionalGeneration, its Pillow image processor, eager attention, CPU)
on random parameters. fixture.safetensors holds, for prompts with pictures of many shapes, the pictures, token ids,
positions, logits and greedy tokens; for one prompt every stage between. The pruned runs restate the rules on the same
modules, with a cache of their own: rows are gathered with their three positions before the language model (scores of
the caller, or the attention that patches receive in the encoder's last block), before layer 2 (FastV: attention of the last row in the layer before) or taken out of every layer's cache
after prefill. With nothing pruned the same code must give the logits and tokens of transformers, else the script stops.

    python tools/golden/make_qwen_checkpoints.py [tests/golden/models]

Needs torch, transformers, safetensors, pillow, scikit-image.
"""

import json
import os
import shutil
import sys

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data as photographs
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

try:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil as Processor
except ImportError:
    from transformers import Qwen2VLImageProcessor as Processor

IMAGE, VIDEO, VISION_START, VISION_END, EOS = 100, 101, 102, 103, [2, 1]
STEPS, LAYER = 16, 2
MIN_PIXELS, MAX_PIXELS = 56 * 56, 28 * 28 * 40
# Text between pictures, pictures as (height, width): near one token, exact and inexact sizes, larger than the bound,
# and so far behind the start that angles in f32 are not those of exact arithmetic.
CASES = {
    "square": [4, (112, 112), 9],
    "wide": [1, (60, 170), 5],
    "tall": [6, (200, 45), 7],
    "tiny": [2, (20, 33), 8],
    "large": [3, (300, 460), 6],
    "pair": [3, (84, 140), 5, (170, 58), 9],
    "three": [2, (56, 56), 1, (100, 130), 2, (90, 60), 4],
    "text": [12],
    "far": [2600, (60, 90), 9],
}
STAGES = "pair"
VARIANTS = {
    "qwen2-vl": dict(hidden=64, inter=96, layers=4, heads=4, kv=2, tie=False, names="runtime", seed=7),
    "qwen2-vl-tied": dict(hidden=48, inter=80, layers=3, heads=3, kv=1, tie=True, names="hub", seed=7,
                          cases=["wide", "three"]),
    "qwen2-vl-bf16": dict(hidden=64, inter=96, layers=3, heads=4, kv=4, tie=False, names="hub", seed=7,
                          cases=["square", "pair"], dtype=torch.bfloat16),
}


def make_model(spec):
    head = spec["hidden"] // spec["heads"]
    assert head == 16
    config = Qwen2VLConfig(
        text_config=dict(
            vocab_size=128, hidden_size=spec["hidden"], intermediate_size=spec["inter"],
            num_hidden_layers=spec["layers"], num_attention_heads=spec["heads"], num_key_value_heads=spec["kv"],
            rms_norm_eps=1e-6, max_position_embeddings=4096, use_sliding_window=False, bos_token_id=1,
            eos_token_id=EOS[0], tie_word_embeddings=spec["tie"],
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [2, 3, 3]}),
        vision_config=dict(
            depth=3, embed_dim=32, hidden_size=spec["hidden"], num_heads=2, mlp_ratio=2, patch_size=14,
            spatial_merge_size=2, temporal_patch_size=2),
        image_token_id=IMAGE, video_token_id=VIDEO, vision_start_token_id=VISION_START,
        vision_end_token_id=VISION_END, tie_word_embeddings=spec["tie"])
    for part in (config, config.text_config, config.vision_config):
        part._attn_implementation = "eager"
    model = Qwen2VLForConditionalGeneration(config).eval()
    generator = torch.Generator().manual_seed(spec["seed"])
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        is_norm = ("norm" in name or "ln_q" in name) and name.endswith("weight")
        parameter.copy_(1 + 0.1 * noise if is_norm else 0.08 * noise)
    return model


def draw(shape, number):
    photo = [photographs.astronaut, photographs.coffee, photographs.chelsea][number % 3]()[..., :3]
    return np.asarray(Image.fromarray(photo).resize((shape[1], shape[0]), Image.BICUBIC)).copy()


def close(a, b, tolerance, what):
    worst = (a.float() - b.float()).abs().max().item()
    assert worst <= tolerance * b.float().abs().max().item(), f"{what}: off by {worst}"


# --- the language model, restated on the modules of transformers ---------------------------------------------------


def tables(config, positions):
    """cos and sin [n, d] of positions [3, n]: the sections follow time, height and width, the halves repeat."""
    d = config.hidden_size // config.num_attention_heads
    rope = config.rope_parameters
    inverse = 1.0 / rope["rope_theta"] ** (torch.arange(0, d, 2).float() / d)
    angles, at = [], 0
    for row, width in enumerate(rope["mrope_section"]):
        angles.append(positions[row, :, None].float() * inverse[at:at + width])
        at += width
    angles = torch.cat(angles + angles, 1)
    return angles.cos(), angles.sin()


def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos.to(x.dtype) + torch.cat([-b, a], -1) * sin.to(x.dtype)


def run_layer(model, index, x, positions, cache):
    """One layer on rows [n, D] behind those of its cache; gives output and probabilities [H, n, keys]."""
    layer = model.model.language_model.layers[index]
    config = model.config.text_config
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    n, attention = x.shape[0], layer.self_attn
    y = layer.input_layernorm(x)
    split = lambda t, count: t.view(n, count, -1).transpose(0, 1)
    cos, sin = tables(config, positions)
    q = turn(split(attention.q_proj(y), heads), cos, sin)
    k = turn(split(attention.k_proj(y), groups), cos, sin)
    v = split(attention.v_proj(y), groups)
    if cache[index] is not None:
        k, v = torch.cat([cache[index][0], k], 1), torch.cat([cache[index][1], v], 1)
    cache[index] = (k, v)
    scores = q @ k.repeat_interleave(heads // groups, 0).transpose(1, 2) * q.shape[-1] ** -0.5
    mask = torch.full((n, k.shape[1]), float("-inf")).triu(1 + k.shape[1] - n)
    probs = torch.softmax(scores + mask.to(scores.dtype), -1, dtype=torch.float32).to(q.dtype)
    mixed = (probs @ v.repeat_interleave(heads // groups, 0)).transpose(0, 1).reshape(n, -1)
    x = x + attention.o_proj(mixed)
    return x + layer.mlp(layer.post_attention_layernorm(x)), probs


def staying(rows, candidates, kept):
    """Places of the rows that stay: all but those candidates that are not kept."""
    dropped = set(candidates) - {candidates[i] for i in kept}
    return [i for i in range(rows) if i not in dropped]


def top(scores, keep):
    order = torch.sort(scores, descending=True, stable=True)
    gap = float((order.values[keep - 1] - order.values[keep]) / order.values[0].abs())
    return order.indices[:keep].sort().values, gap


def answer(model, embeds, positions, cut=None, record=lambda *_: None):
    """Prefill and greedy decoding. cut = dict(at="before"|"layer"|"cache", candidates, keep, scores); gives tokens,
    the logits of the first, the smallest margin, and for a cut what was kept."""
    layers = len(model.model.language_model.layers)
    cache, x, place = [None] * layers, embeds, positions
    following = int(positions.max()) + 1
    cut = cut or {"at": None}
    if cut["at"] == "before":
        cut["kept"], cut["gap"] = top(cut["scores"], cut["keep"])
        rows = staying(x.shape[0], cut["candidates"], cut["kept"].tolist())
        x, place = x[rows], place[:, rows]
    for index in range(layers):
        if cut["at"] == "layer" and index == LAYER:
            cut["kept"], cut["gap"] = top(probs[:, -1, cut["candidates"]].float().mean(0), cut["keep"])
            rows = staying(x.shape[0], cut["candidates"], cut["kept"].tolist())
            x, place = x[rows], place[:, rows]
        x, probs = run_layer(model, index, x, place, cache)
        record(f"llm.layer.{index}", x)
    if cut["at"] == "cache":
        cut["kept"], cut["gap"] = top(cut["scores"], cut["keep"])
        rows = staying(x.shape[0], cut["candidates"], cut["kept"].tolist())
        cache = [(k[:, rows], v[:, rows]) for k, v in cache]
    table, norm = model.model.language_model.embed_tokens, model.model.language_model.norm
    tokens, margins, first = [], [], None
    for step in range(STEPS):
        logits = model.lm_head(norm(x))[-1].float()
        first = logits if first is None else first
        best = logits.topk(2)
        tokens.append(int(best.indices[0]))
        margins.append(float(best.values[0] - best.values[1]))
        x = table(best.indices[:1])
        for index in range(layers):
            x, _ = run_layer(model, index, x, torch.full((3, 1), following + step), cache)
    return tokens, first, min(margins)


# --- prompts --------------------------------------------------------------------------------------------------------


def make_prompt(parts, rng, processor):
    """Token ids, the pictures, what the processor makes of them."""
    ids, pictures, pixels, grids = [1], [], [], []
    for part in parts:
        if isinstance(part, int):
            ids += rng.integers(3, 100, part).tolist()
            continue
        pictures.append(draw(part, len(pictures)))
        made = processor(Image.fromarray(pictures[-1]), return_tensors="pt")
        pixels.append(made["pixel_values"])
        grids.append(made["image_grid_thw"])
        t, h, w = grids[-1][0].tolist()
        ids += [IMAGE] * (t * h * w // 4)
    join = lambda parts: torch.cat(parts) if parts else None
    return torch.tensor(ids), pictures, join(pixels), join(grids)


def list_positions(ids, grids):
    """The walk of models.md 6.2."""
    columns, c, i, grids = [], 0, 0, [] if grids is None else grids.tolist()
    while i < len(ids):
        if ids[i] != IMAGE:
            columns.append((c, c, c))
            c, i = c + 1, i + 1
            continue
        t, h, w = grids.pop(0)
        h, w = h // 2, w // 2
        columns += [(c + a, c + y, c + x) for a in range(t) for y in range(h) for x in range(w)]
        c, i = c + max(t, h, w), i + t * h * w
    return torch.tensor(columns).T.contiguous()


def turn_in_plane(x, rows, columns):
    """2-D rotary of [H, n, C]: half of the pairs by the row, half by the column."""
    c = x.shape[-1]
    inverse = 1.0 / 10000.0 ** (torch.arange(0, c // 2, 2).float() / (c // 2))
    angles = torch.cat([rows[:, None] * inverse, columns[:, None] * inverse], 1)
    angles = torch.cat([angles, angles], 1)
    return turn(x.float(), angles.cos(), angles.sin()).to(x.dtype)


def received(model, states, grids):
    """For each block: how much attention a token's patches receive in their picture, means over rows, heads and
    patches; and of the last block the means of the turned keys."""
    vision, out, keys = model.model.visual, [], []
    heads = vision.config.num_heads
    for block, x in zip(vision.blocks, states):
        q, k, _ = block.attn.qkv(block.norm1(x)).view(x.shape[0], 3, heads, -1).permute(1, 2, 0, 3)
        at, scores, keys = 0, [], []
        for t, h, w in grids.tolist():
            cells = [(y, x) for y in range(0, h, 2) for x in range(0, w, 2)]
            rows, columns = torch.tensor([(y + i, x + j) for y, x in cells for i in (0, 1) for j in (0, 1)]).T.float()
            mine, their = (turn_in_plane(z[:, at:at + h * w], rows, columns) for z in (q, k))
            probs = torch.softmax((mine.float() @ their.float().transpose(1, 2)) * q.shape[-1] ** -0.5, -1)
            scores.append(probs.mean((0, 1)).view(-1, 4).mean(1))
            keys.append(their.float().mean(0).view(len(cells), 4, -1).mean(1))
            at += h * w
        out.append(torch.cat(scores))
    return out, torch.cat(keys)


def look(model, pixels, grids, record):
    """The encoder's stages and its rows for the language model."""
    vision, seen = model.model.visual, {}
    hooks = [vision.patch_embed.register_forward_hook(lambda _m, _i, out: seen.update({"vision.patches": out})),
             vision.merger.ln_q.register_forward_hook(lambda _m, _i, out: seen.update({"vision.features": out}))]
    for i, block in enumerate(vision.blocks):
        hooks.append(block.register_forward_hook(lambda _m, _i, out, i=i: seen.update({f"vision.layer.{i}": out})))
    out = vision(pixels.to(model.dtype), grid_thw=grids)
    for hook in hooks:
        hook.remove()
    rows = getattr(out, "pooler_output", out)
    states = [seen["vision.patches"]] + [seen[f"vision.layer.{i}"] for i in range(len(vision.blocks) - 1)]
    columns, keys = received(model, states, grids)
    seen.update({"vision.keys": keys}, **{f"vision.received.{i}": c[:, None] for i, c in enumerate(columns)})
    seen["vision.features"] = seen["vision.features"].reshape(rows.shape[0], -1)
    seen["projector"] = rows
    for name, value in seen.items():
        record(name, value)
    return rows, columns[-1]


def record_case(model, name, parts, rng, processor, out):
    ids, pictures, pixels, grids = make_prompt(parts, rng, processor)
    keep_stage = lambda key, value: out.update({f"{name}.{key}": value.float().contiguous().clone()}) \
        if name == STAGES else None
    candidates = (ids == IMAGE).nonzero()[:, 0].tolist()
    embeds = model.model.language_model.embed_tokens(ids).clone()
    if candidates:
        rows, columns = look(model, pixels, grids, keep_stage)
        embeds[candidates] = rows.to(embeds.dtype)
    keep_stage("embeddings", embeds)
    positions = list_positions(ids, grids)
    kinds = (ids == IMAGE).int()[None]
    theirs, delta = model.model.get_rope_index(ids[None], mm_token_type_ids=kinds, image_grid_thw=grids)
    assert torch.equal(theirs[:, 0], positions), name
    assert int(positions.max()) + 1 == len(ids) + int(delta)
    tokens, logits, margin = answer(model, embeds, positions, record=keep_stage)
    whole = model(input_ids=ids[None], pixel_values=None if pixels is None else pixels.to(model.dtype),
                  image_grid_thw=grids, position_ids=positions[:, None], use_cache=False)
    tolerance = 1e-5 if model.dtype == torch.float32 else 3e-2
    close(logits, whole.logits[0, -1], tolerance, f"{name}: logits")
    forbidden = {*EOS, IMAGE, VIDEO}
    if model.dtype == torch.float32 and not forbidden & set(tokens):
        seen = {} if pixels is None else dict(pixel_values=pixels, image_grid_thw=grids, mm_token_type_ids=kinds)
        theirs = model.generate(
            input_ids=ids[None], **seen, attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=STEPS, min_new_tokens=STEPS, do_sample=False)[0, len(ids):].tolist()
        assert theirs == tokens, f"{name}: {theirs}, here {tokens}"
    drawn, gaps, margins = set(tokens), [], [margin]
    out.update({f"{name}.input_ids": ids.int(), f"{name}.positions": positions.int(),
                f"{name}.logits": logits[None].clone(), f"{name}.greedy_ids": torch.tensor(tokens).int()})
    for i, picture in enumerate(pictures):
        out[f"{name}.image_u8.{i}"] = torch.from_numpy(picture)
    out[f"{name}.scores"] = torch.from_numpy(rng.random(len(candidates), dtype=np.float32))
    for at in ("before", "layer", "cache", "received") if candidates else ():
        scores = columns if at == "received" else out[f"{name}.scores"]
        keep = len(candidates) // 3
        if at == "received":  # no seed moves these: cut where they are furthest apart
            keep = max(range(1, len(candidates) // 2 + 1), key=lambda count: top(columns, count)[1])
        cut = dict(at=at.replace("received", "before"), candidates=candidates, keep=keep, scores=scores)
        tokens, logits, margin = answer(model, embeds, positions, cut)
        drawn |= set(tokens)
        gaps.append(cut["gap"])
        margins.append(margin)
        out.update({f"{name}.{at}.kept": cut["kept"].int(), f"{name}.{at}.logits": logits[None].clone(),
                    f"{name}.{at}.greedy_ids": torch.tensor(tokens).int()})
    print(f"{name}: {len(ids)} rows, {len(candidates)} visual, margin {min(margins):.1e}, "
          f"gap {min(gaps, default=1.0):.1e}")
    clear = model.dtype != torch.float32 or min(margins) > 1e-3 and min(gaps, default=1.0) > 1e-3
    return clear and not drawn & forbidden


# --- files ----------------------------------------------------------------------------------------------------------


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def rename(name, names):
    """Names as in published files ("hub"), or as in memory since 4.52 ("runtime")."""
    short = name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
    if names == "hub" or short.startswith("lm_head."):
        return short
    return "model." + short if short.startswith("visual.") else short.replace("model.", "model.language_model.", 1)


def write_files(folder, spec, model):
    model.save_pretrained(folder)
    path = os.path.join(folder, "model.safetensors")
    weights = {rename(name, spec["names"]): value for name, value in load_file(path).items()}
    assert ("lm_head.weight" in weights) != spec["tie"]
    save_file(weights, path, metadata={"format": "pt"})
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    if spec["names"] == "hub":  # one level, as published
        text = config.pop("text_config")
        rope = text.pop("rope_parameters")
        text.update(model_type="qwen2_vl", rope_theta=rope["rope_theta"], sliding_window=32768,
                    rope_scaling={"type": "mrope", "mrope_section": rope["mrope_section"]})
        config["vision_config"].update(model_type="qwen2_vl", in_chans=3, spatial_patch_size=14)
        config = {**text, **{k: v for k, v in config.items() if k != "model_type"}}
    write_json(folder, "config.json", config)
    bounds = {"min_pixels": MIN_PIXELS, "max_pixels": MAX_PIXELS}
    if spec["names"] == "runtime":
        bounds = {"size": {"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS}}
    write_json(folder, "preprocessor_config.json", {
        **bounds, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessor"})
    write_json(folder, "generation_config.json", {
        "bos_token_id": 1, "do_sample": True, "eos_token_id": EOS, "pad_token_id": 0,
        "repetition_penalty": 1.0, "temperature": 0.01, "top_k": 1, "top_p": 0.001})


def make(folder, spec):
    shutil.rmtree(folder, ignore_errors=True)
    model = make_model(spec)
    if "dtype" in spec:
        inverse = {name: value.clone() for name, value in model.named_buffers()}
        model.to(spec["dtype"])
        for name, value in model.named_buffers():  # rotary speeds stay f32
            value.data = inverse[name]
    processor = Processor(size={"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS})
    names, out = spec.get("cases", list(CASES)), {}
    for number, name in enumerate(names):
        seed = 1000 * number  # of the words around the pictures: until no two tokens or scores are too close
        while not record_case(model, name, CASES[name], np.random.default_rng(seed), processor, out):
            seed += 1
            assert seed % 1000 < 100, f"{name}: no seed will do"
    out["image_u8"] = out[f"{names[0]}.image_u8.0"].clone()
    out["input_ids"] = out[f"{names[0]}.input_ids"].clone()
    os.makedirs(folder)
    write_files(folder, spec, model)
    save_file(out, os.path.join(folder, "fixture.safetensors"))


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/models"
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    with torch.no_grad():
        for name, spec in VARIANTS.items():
            make(os.path.join(root, name), spec)


if __name__ == "__main__":
    main()
