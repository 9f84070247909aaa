#!/usr/bin/env python3
"""Write tests/golden/image/patches.txt: what Qwen2-VL makes of pictures.

Oracle: transformers, its Qwen2VLImageProcessorPil (the one that resizes with
Pillow) and smart_resize, run as they are. Videos: pixels of each frame are the
image processor's; how they are put together is Qwen2VLVideoProcessor.patchify,
run as it is (torchvision, which that file asks for, is not needed for it).

One case a line (fnv is FNV-1a, 64 bits, over the bytes):

    size   HEIGHT WIDTH MIN MAX NEW-HEIGHT NEW-WIDTH   (0 0: refused)
    noise  SEED HEIGHT WIDTH FRAMES MIN MAX T H W fnv(f32)
    file   NAME MIN MAX T H W fnv(f32)
    sample TOTAL FPS WANTED-FPS FRAMES LEAST MOST COUNT fnv(i64)  (0 0: refused)
    cap    HEIGHT WIDTH COUNT MIN MAX TOKENS NEW-HEIGHT NEW-WIDTH

sample and cap are Qwen2VLVideoProcessor's sample_frames and resize (with
cap_pixels_per_frame; what it hands on to torchvision is what is wanted).

A noise picture's byte i of frame k is the upper byte of
(i * 2654435761 + (SEED + k) * 40503) mod 2^32.

    python tools/golden/make_patch_fixtures.py [tests/golden/image]
"""

import importlib
import importlib.machinery
import os
import random
import sys
import types

import numpy as np
import torch
import transformers
from PIL import Image
from transformers.models.qwen2_vl import image_processing_pil_qwen2_vl as pil

SEED = 20261123
PUBLISHED = (3136, 12845056)


def video_processor():
    """The video processor, without what it resizes with."""
    names = ("torchvision", "torchvision.transforms",
             "torchvision.transforms.v2",
             "torchvision.transforms.v2.functional")
    for name in names:
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []
        module.InterpolationMode = types.SimpleNamespace(
            NEAREST=0, BOX=1, BILINEAR=2, HAMMING=3, BICUBIC=4, LANCZOS=5,
            NEAREST_EXACT=6)
        sys.modules[name] = module
        if "." in name:
            parent, child = name.rsplit(".", 1)
            setattr(sys.modules[parent], child, module)
    video = importlib.import_module(
        "transformers.models.qwen2_vl.video_processing_qwen2_vl")
    return video.Qwen2VLVideoProcessor


def fnv(data):
    value = 0xcbf29ce484222325
    for byte in bytes(data):
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return f"{value:016x}"


def noise(seed, height, width):
    i = np.arange(height * width * 3, dtype=np.uint64)
    value = (i * 2654435761 + seed * 40503) & 0xffffffff
    return Image.fromarray(
        (value >> 24).astype(np.uint8).reshape(height, width, 3))


def processor(bounds):
    return pil.Qwen2VLImageProcessorPil(
        size={"shortest_edge": bounds[0], "longest_edge": bounds[1]})


def image_case(picture, bounds):
    out = processor(bounds)(picture, return_tensors="np")
    pixels = np.ascontiguousarray(out["pixel_values"], dtype=np.float32)
    return out["image_grid_thw"][0].tolist(), pixels


def unpatched(pixels, grid):
    """Rows of a still image back to [3, height, width]."""
    _, h, w = grid
    cells = pixels.reshape(h // 2, w // 2, 2, 2, 3, 2, 14, 14)[:, :, :, :, :, 0]
    return cells.transpose(4, 0, 2, 5, 1, 3, 6).reshape(3, h * 14, w * 14)


def video_case(cut, frames, bounds):
    whole = [image_case(frame, bounds) for frame in frames]
    stacked = np.stack([unpatched(p, g) for g, p in whole])
    for (grid, pixels), frame in zip(whole, stacked):
        again, t, h, w = cut(
            None, torch.from_numpy(frame)[None, None], 14, 2, 2)
        assert [t, h, w] == grid and np.array_equal(again[0].numpy(), pixels)
    patches, t, h, w = cut(None, torch.from_numpy(stacked)[None], 14, 2, 2)
    return [t, h, w], patches[0].contiguous().numpy()


def size_case(height, width, bounds):
    try:
        new = pil.smart_resize(height, width, 28, *bounds)
    except ValueError:
        new = (0, 0)
    return f"size {height} {width} {bounds[0]} {bounds[1]} {new[0]} {new[1]}"


def sizes():
    rng = random.Random(SEED)
    fixed = [(336, 336), (480, 640), (1080, 1920), (4000, 6000), (14, 14),
             (42, 42), (70, 70), (98, 126), (13, 13), (1, 1), (1, 200),
             (1, 201), (201, 1), (5, 1000), (5, 1001), (28, 28), (13, 2000),
             (2000, 13), (20000, 150), (16384, 10000)]
    lines = [size_case(h, w, PUBLISHED) for h, w in fixed]
    for _ in range(1200):
        side = lambda: int(2 ** rng.uniform(0, 14))
        h = side()
        w = side() if rng.random() < 0.5 else max(
            1, int(h * 2 ** rng.uniform(-2, 2)))
        if rng.random() < 0.3:
            h = max(14, h // 14 * 14)
            w = max(14, w // 14 * 14)
        low = rng.choice([3136, 784, 128 * 784, rng.randint(1, 10 ** 6)])
        high = rng.choice([12845056, 1003520, 768 * 784, low,
                           low + rng.randint(0, 10 ** 6)])
        lines.append(size_case(h, w, (low, max(low, high))))
    return lines


def pictures(cut):
    rng = random.Random(SEED + 1)
    lines = []
    shapes = [(28, 28), (14, 14), (1, 1), (42, 70), (56, 84), (200, 3), (3, 200),
              (100, 77), (333, 250)]
    shapes += [(rng.randint(1, 180), rng.randint(1, 180)) for _ in range(40)]
    for number, (h, w) in enumerate(shapes):
        if max(h, w) / min(h, w) > 200:
            continue
        low = rng.choice([3136, 784, 28 * 28 * 9])
        bounds = (low, low + rng.choice([0, 784, 784 * 20]))
        frames = rng.choice([1, 1, 1, 2, 3, 4, 5]) if number > 8 else 1
        seen = [noise(number + k, h, w) for k in range(frames)]
        grid, pixels = (image_case(seen[0], bounds) if frames == 1
                        else video_case(cut, seen, bounds))
        lines.append(f"noise {number} {h} {w} {frames} {bounds[0]} {bounds[1]} "
                     f"{grid[0]} {grid[1]} {grid[2]} {fnv(pixels.tobytes())}")
    return lines


def sample_case(video, total, fps, wanted, frames, least, most):
    processor = types.SimpleNamespace(
        num_frames=frames or None, fps=None if frames else wanted,
        temporal_patch_size=2, min_frames=least, max_frames=most)
    about = types.SimpleNamespace(total_num_frames=total, fps=fps)
    text = f"sample {total} {fps} {wanted} {frames} {least} {most}"
    try:
        chosen = video.sample_frames(processor, about)
    except (ValueError, ZeroDivisionError, RuntimeError):
        return f"{text} 0 0"
    chosen = chosen.to(torch.int64).numpy()
    if chosen[-1] == total:  # torch.arange rounds: one too many, and not there
        chosen = chosen[:-1]
    return f"{text} {len(chosen)} {fnv(chosen.tobytes())}"


def samples(video):
    rng = random.Random(SEED + 2)
    lines = [sample_case(video, *case) for case in [
        (61, 24.0, 2.0, 0, 4, 768), (1, 24.0, 2.0, 0, 4, 768),
        (2, 24.0, 2.0, 0, 4, 768), (3, 30.0, 2.0, 0, 4, 768),
        (100, 25.0, 2.0, 101, 4, 768), (100, 25.0, 2.0, 100, 4, 768),
        (100, 25.0, 2.0, 5, 4, 768), (100, 25.0, 2.0, 1, 4, 768),
        (9000, 30.0, 2.0, 0, 4, 768)]]
    # Not longer: how torch.arange rounds then depends on the vectors it uses.
    for _ in range(1000):
        total = int(2 ** rng.uniform(0, 13))
        fps = rng.choice([24.0, 25.0, 30.0, 29.97, 23.976, 60.0, 1.0, 2.0,
                          round(rng.uniform(0.1, 120), 3)])
        wanted = rng.choice([2.0, 2.0, 1.0, 0.5, 4.0, 30.0])
        frames = rng.randint(1, 2 * total) if rng.random() < 0.2 else 0
        frames = min(frames, 1000)
        lines.append(sample_case(
            video, total, fps, wanted, frames, rng.choice([4, 4, 1, 7]),
            rng.choice([768, 768, 16, 33, 1000])))
    return lines


def caps(video):
    rng = random.Random(SEED + 3)
    video.__mro__[1].resize = lambda self, image, size, resample: size
    lines = []
    for _ in range(300):
        height, width = rng.randint(20, 2200), rng.randint(20, 2200)
        count = rng.choice([1, 2, 4, 8, 50, 200, 768, rng.randint(1, 5000)])
        low = rng.choice([128 * 784, 3136, 50 * 784])
        high = rng.choice([768 * 784, 12845056, low])
        tokens = rng.choice([128000, 32000, 4096])
        processor = object.__new__(video)
        processor.max_video_tokens = tokens
        size = processor.resize(
            types.SimpleNamespace(shape=(1, count, 3, height, width)),
            pil.SizeDict(shortest_edge=low, longest_edge=high), None, 28, 2,
            True)
        lines.append(f"cap {height} {width} {count} {low} {high} {tokens} "
                     f"{size.height} {size.width}")
    return lines


def files(root):
    lines = []
    for name in ("astronaut-420.jpg", "coffee-444.jpg", "rocket-tall.jpg",
                 "chelsea-422-progressive.jpg", "rgb.png", "rgba.png",
                 "gray.png", "palette.png", "very-tall.png", "lossy.webp"):
        # transformers 5 lays transparent pictures on white; those that the
        # models were trained with dropped alpha, as Pillow's convert does.
        with Image.open(os.path.join(root, name)) as picture:
            grid, pixels = image_case(picture.convert("RGB"), PUBLISHED)
        lines.append(f"file {name} {PUBLISHED[0]} {PUBLISHED[1]} {grid[0]} "
                     f"{grid[1]} {grid[2]} {fnv(pixels.tobytes())}")
    return lines


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/image"
    lines = [f"# transformers {transformers.__version__}"]
    video = video_processor()
    lines += sizes() + pictures(video.patchify) + files(root)
    lines += samples(video) + caps(video)
    with open(os.path.join(root, "patches.txt"), "w") as file:
        file.write("\n".join(lines) + "\n")
    print(f"{len(lines) - 1} cases")


if __name__ == "__main__":
    main()
