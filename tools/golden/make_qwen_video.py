#!/usr/bin/env python3
"""Make tests/golden/models/qwen2-vl-video: a tiny Qwen2-VL and videos for it.

Oracle: Hugging Face transformers (Qwen2VLForConditionalGeneration, eager
attention, CPU) on random parameters; frames as in make_patch_fixtures.py
(Pillow's pixels, the video processor's patches), positions by models.md 6.2,
given to the model as they are, since versions of transformers differ there.
fixture.safetensors holds, for prompts with videos and pictures, the frames,
token ids, positions, logits and greedy tokens.

    python tools/golden/make_qwen_video.py [tests/golden/models]

Needs torch, transformers, safetensors, pillow, scikit-image.
"""

import os
import shutil
import sys

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

import make_patch_fixtures as patches
import make_qwen_checkpoints as qwen

BOUNDS = (56 * 56, 28 * 28 * 12)
SPEC = dict(hidden=32, inter=48, layers=2, heads=2, kv=1, tie=True,
            names="hub", seed=11)
# Words, pictures as (height, width), videos as (height, width, frames).
CASES = {
    "clip": [3, (56, 84, 4), 6],
    "odd": [2, (84, 50, 3), 5],
    "still": [2, (70, 70, 1), 3],
    "long": [2, (56, 56, 11), 4],
    "mixed": [2, (60, 90), 3, (56, 112, 6), 2, (84, 84), 1, (100, 60, 2), 4],
}


def frames_of(shape, number):
    """A part of a photograph that moves from frame to frame."""
    height, width, count = shape
    large = qwen.draw((height + 40, width + 40), number)
    return [np.ascontiguousarray(large[4 * i % 40:4 * i % 40 + height,
                                       7 * i % 40:7 * i % 40 + width])
            for i in range(count)]


def make_prompt(parts, rng, cut):
    ids, shown, images, videos, grids = [1], {}, [], [], []
    for part in parts:
        if isinstance(part, int):
            ids += rng.integers(3, 100, part).tolist()
            continue
        video = len(part) == 3
        frames = frames_of(part if video else (*part, 1), len(grids))
        made = [Image.fromarray(frame) for frame in frames]
        grid, pixels = patches.video_case(cut, made, BOUNDS)
        grids.append((video, grid))
        known = videos if video else images
        name = f"video_u8.{len(videos)}" if video else f"image_u8.{len(images)}"
        shown[name] = torch.from_numpy(np.stack(frames) if video else frames[0])
        known.append((torch.from_numpy(pixels), torch.tensor([grid])))
        ids += [qwen.VIDEO if video else qwen.IMAGE] * (
            grid[0] * grid[1] * grid[2] // 4)
    return ids, shown, images, videos, grids


def list_positions(ids, grids):
    columns, c, i, grids = [], 0, 0, [grid for _, grid in grids]
    while i < len(ids):
        if ids[i] not in (qwen.IMAGE, qwen.VIDEO):
            columns.append((c, c, c))
            c, i = c + 1, i + 1
            continue
        t, h, w = grids.pop(0)
        h, w = h // 2, w // 2
        columns += [(c + a, c + y, c + x)
                    for a in range(t) for y in range(h) for x in range(w)]
        c, i = c + max(t, h, w), i + t * h * w
    return columns


def run(model, ids, columns, images, videos):
    join = lambda list_, i: torch.cat([x[i] for x in list_]) if list_ else None
    positions = torch.tensor(columns).T[:, None]
    return model(
        input_ids=torch.tensor([ids]), position_ids=positions, use_cache=False,
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        pixel_values=join(images, 0), image_grid_thw=join(images, 1),
        pixel_values_videos=join(videos, 0), video_grid_thw=join(videos, 1),
    ).logits[0, -1].float()


def record_case(model, name, rng, cut, out):
    ids, shown, images, videos, grids = make_prompt(CASES[name], rng, cut)
    columns = list_positions(ids, grids)
    out.update({f"{name}.{key}": value for key, value in shown.items()})
    out[f"{name}.input_ids"] = torch.tensor(ids).int()
    out[f"{name}.positions"] = torch.tensor(columns).T.int().contiguous()
    tokens, margin = [], 1.0
    after = max(max(column) for column in columns) + 1
    for step in range(qwen.STEPS):
        logits = run(model, ids + tokens, columns + [
            (after + k,) * 3 for k in range(step)], images, videos)
        if step == 0:
            out[f"{name}.logits"] = logits[None].clone()
        best = logits.topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        tokens.append(int(best.indices[0]))
        if tokens[-1] in (*qwen.EOS, qwen.IMAGE, qwen.VIDEO):
            return False
    out[f"{name}.greedy_ids"] = torch.tensor(tokens).int()
    print(f"{name}: {len(ids)} rows, margin {margin:.1e}")
    return margin > 1e-3


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/models"
    folder = os.path.join(root, "qwen2-vl-video")
    cut = patches.video_processor().patchify
    torch.set_num_threads(1)
    with torch.no_grad():
        shutil.rmtree(folder, ignore_errors=True)
        model, out = qwen.make_model(SPEC), {}
        for number, name in enumerate(CASES):
            seed = 1000 * number
            while not record_case(
                    model, name, np.random.default_rng(seed), cut, out):
                seed += 1
        # What every fixture begins with; the tests look at all of them alike.
        out["image_u8"] = out["mixed.image_u8.0"].clone()
        out["input_ids"] = out["mixed.input_ids"].clone()
        os.makedirs(folder)
        qwen.write_files(folder, SPEC, model)
        bounds = {"size": {"shortest_edge": BOUNDS[0],
                           "longest_edge": BOUNDS[1]}, "fps": 2}
        for file in ("preprocessor_config.json",
                     "video_preprocessor_config.json"):
            qwen.write_json(folder, file, bounds)
        save_file(out, os.path.join(folder, "fixture.safetensors"))


if __name__ == "__main__":
    main()
