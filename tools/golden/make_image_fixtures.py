#!/usr/bin/env python3
"""Make the picture files of tests/golden/image and what Pillow makes of them.

Oracle: Pillow (decoding, convert("RGB"), exif_transpose, bicubic resize) and,
where transformers is installed, its CLIPImageProcessor as a second opinion.
The photographs are the public-domain ones that scikit-image bundles.

expected.txt has one case a line (fnv is FNV-1a, 64 bits, over the bytes):

    decode FILE EXIF HEIGHT WIDTH fnv(rgb)
    resize FILE HEIGHT WIDTH fnv(rgb)
    clip   FILE MODE SIZE HEIGHT WIDTH fnv(rgb) fnv(f32, channel first)

MODE: crop (shortest edge, centre crop), pad (square, then crop), stretch.

    python tools/golden/make_image_fixtures.py [tests/golden/image]

Needs pillow, numpy, scikit-image.
"""

import os
import struct
import sys
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps
from skimage import data as photographs

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])
RESCALE = 0.00392156862745098


def fnv(data):
    value = 0xcbf29ce484222325
    for byte in bytes(data):
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return f"{value:016x}"


def photo(name, width, height):
    picture = Image.fromarray(getattr(photographs, name)()[..., :3])
    return ImageOps.fit(picture, (width, height), Image.LANCZOS)


# --- PNG by hand, for the kinds that Pillow cannot write ------------------

def chunk(kind, body):
    return (struct.pack(">I", len(body)) + kind + body
            + struct.pack(">I", zlib.crc32(kind + body)))


def pack_rows(samples, depth):
    """samples [h, w, c] integers -> filter byte 0 and packed bits, a row."""
    out = b""
    for row in samples.reshape(samples.shape[0], -1):
        if depth == 16:
            out += b"\0" + row.astype(">u2").tobytes()
        elif depth == 8:
            out += b"\0" + row.astype(np.uint8).tobytes()
        else:
            bits = ((row[:, None] >> np.arange(depth - 1, -1, -1)) & 1)
            out += b"\0" + np.packbits(bits.astype(np.uint8)).tobytes()
    return out


ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4),
         (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def write_png(path, samples, depth, colour, interlaced=False, extra=b""):
    height, width = samples.shape[:2]
    if interlaced:
        parts = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7]
        raw = b"".join(pack_rows(p, depth) for p in parts if p.size)
    else:
        raw = pack_rows(samples, depth)
    header = struct.pack(
        ">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
                   + chunk(b"IDAT", zlib.compress(raw, 9))
                   + chunk(b"IEND", b""))


# --- the files -----------------------------------------------------------

def make_jpegs(root):
    def save(name, picture, **options):
        picture.save(os.path.join(root, name), **options)
    save("astronaut-420.jpg", photo("astronaut", 301, 200), quality=80,
         subsampling=2)
    save("coffee-444.jpg", photo("coffee", 199, 283), quality=85,
         subsampling=0)
    save("chelsea-422-progressive.jpg", photo("chelsea", 223, 149),
         quality=75, subsampling=1, progressive=True)
    save("rocket-tall.jpg", photo("rocket", 37, 301), quality=80)
    save("gray.jpg", photo("coffee", 75, 61).convert("L"), quality=80)
    save("restart.jpg", photo("rocket", 90, 70), quality=70,
         restart_marker_blocks=3)
    save("cmyk.jpg", photo("coffee", 64, 48).convert("CMYK"), quality=85)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(f"exif-{orientation}.jpg", photo("astronaut", 25, 16),
             quality=90, exif=exif.tobytes())
    # The same numbers called YCCK: byte 11 of the Adobe marker's body.
    with open(os.path.join(root, "cmyk.jpg"), "rb") as file:
        data = bytearray(file.read())
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    data[at] = 2
    with open(os.path.join(root, "ycck.jpg"), "wb") as file:
        file.write(data)


def make_pngs(root):
    path = lambda name: os.path.join(root, name)
    rgb = photo("chelsea", 53, 41)
    array = np.asarray(rgb).astype(np.int64)
    ramp = (np.arange(41)[:, None] * 5 + np.arange(53)) % 256
    alpha = ramp[..., None]
    photo("astronaut", 131, 97).save(path("rgb.png"), optimize=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.save(path("exif-6.png"), exif=exif.tobytes())
    write_png(path("rgba.png"), np.concatenate([array, alpha], 2), 8, 6)
    write_png(path("gray.png"), array[..., :1], 8, 0)
    write_png(path("gray-alpha.png"),
              np.concatenate([array[..., :1], alpha], 2), 8, 4)
    for depth in (1, 2, 4):
        write_png(path(f"gray-{depth}bit.png"),
                  array[..., :1] >> (8 - depth), depth, 0)
    wide = array * 256 + (array * 7 + 3) % 256
    wide_alpha = alpha * 256 + 77
    write_png(path("rgb-16bit.png"), wide, 16, 2)
    write_png(path("gray-16bit.png"), wide[..., :1], 16, 0)
    write_png(path("rgba-16bit.png"),
              np.concatenate([wide, wide_alpha], 2), 16, 6)
    write_png(path("gray-alpha-16bit.png"),
              np.concatenate([wide[..., :1], wide_alpha], 2), 16, 4)
    write_png(path("rgb-interlaced.png"), array, 8, 2, interlaced=True)
    write_png(path("gray-2bit-interlaced.png"), array[..., :1] >> 6, 2, 0,
              interlaced=True)
    write_png(path("rgb-transparent-colour.png"), array, 8, 2, extra=chunk(
        b"tRNS", struct.pack(">HHH", *array[0, 0])))
    write_png(path("gray-transparent-level.png"), array[..., :1], 8, 0,
              extra=chunk(b"tRNS", struct.pack(">H", array[0, 0, 0])))
    palette = rgb.quantize(200)
    palette.save(path("palette.png"))
    palette.save(path("palette-transparent.png"),
                 transparency=bytes(range(200)))
    rgb.quantize(3).save(path("palette-2bit.png"), bits=2)


def make_webps(root):
    rgb = photo("rocket", 117, 83)
    rgba = rgb.copy()
    rgba.putalpha(Image.linear_gradient("L").resize(rgb.size))
    exif = Image.Exif()
    exif[0x0112] = 8
    for name, picture, options in [
            ("lossy.webp", rgb, dict(quality=75)),
            ("lossless.webp", rgb, dict(lossless=True)),
            ("lossy-alpha.webp", rgba, dict(quality=75)),
            ("lossless-alpha.webp", rgba, dict(lossless=True, exact=True)),
            ("exif-8.webp", rgb, dict(quality=60, exif=exif.tobytes()))]:
        picture.save(os.path.join(root, name), **options)
    rgb.save(os.path.join(root, "animated.webp"), save_all=True,
             append_images=[rgb.rotate(90)], quality=30)


# --- what to expect ------------------------------------------------------

def load(path, transpose=False):
    picture = Image.open(path)
    if transpose:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode == "I;16":
        # The one deliberate difference: Pillow clips 16-bit gray at 255 on
        # conversion, which leaves a white picture; the high byte is taken, as
        # Pillow itself does for every other 16-bit kind.
        return Image.fromarray(
            (np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    return picture.convert("RGB")


def clip_size(picture, size):
    w, h = picture.size
    if w <= h:
        return size, int(size * h / w)
    return int(size * w / h), size


def prepare(picture, mode, size):
    if mode == "stretch":
        return picture.resize((size, size), Image.BICUBIC)
    if mode == "pad":
        side = max(picture.size)
        canvas = Image.new("RGB", (side, side),
                           tuple(int(255 * m) for m in MEAN))
        canvas.paste(picture, ((side - picture.width) // 2,
                               (side - picture.height) // 2))
        picture = canvas
    resized = picture.resize(clip_size(picture, size), Image.BICUBIC)
    left = (resized.width - size) // 2
    top = (resized.height - size) // 2
    return resized.crop((left, top, left + size, top + size))


def normalise(picture):
    y = (np.asarray(picture).astype(np.float64) * RESCALE).astype(np.float32)
    z = (y - MEAN.astype(np.float32)) / STD.astype(np.float32)
    return np.ascontiguousarray(z.transpose(2, 0, 1))


def second_opinion(picture, mode, size, pixels):
    """transformers' own processor on the same picture, where it is there."""
    if mode != "crop":
        return False
    processor = None
    try:
        import transformers
        for name in ("CLIPImageProcessorPil", "CLIPImageProcessor"):
            processor = processor or getattr(transformers, name, None)
        processor = processor(size={"shortest_edge": size},
                              crop_size={"height": size, "width": size})
    except (ImportError, TypeError):
        return False
    theirs = np.asarray(processor(picture)["pixel_values"][0])
    assert np.array_equal(theirs.astype(np.float32), pixels), "processor"
    return True


RESIZES = [
    ("coffee-444.jpg", [(120, 100), (100, 120), (56, 160)]),
    ("rgb.png", [(97, 131), (96, 131), (97, 60), (336, 454), (33, 17),
                 (1, 1), (200, 20), (13, 400)]),
    ("palette.png", [(1, 53), (224, 224), (3, 100)]),
    ("very-tall.png", [(101, 2), (30, 3), (900, 5)]),
    ("very-wide.png", [(2, 101), (5, 700)]),
    ("checker.png", [(31, 29), (7, 7), (120, 64)]),
    ("one-pixel.png", [(5, 9)])]


def make_shapes(root):
    rng = np.random.default_rng(7)
    save = lambda name, a: Image.fromarray(a.astype(np.uint8)).save(
        os.path.join(root, name))
    save("very-tall.png", rng.integers(0, 256, (601, 4, 3)))
    save("very-wide.png", rng.integers(0, 256, (4, 601, 3)))
    save("checker.png", 255 * rng.integers(0, 2, (64, 61, 3)))
    save("one-pixel.png", np.full((1, 1, 3), (7, 200, 33)))


def expectations(root):
    lines = [f"# Pillow {PIL.__version__}, numpy {np.__version__}"]
    agreed = 0
    for name in sorted(os.listdir(root)):
        if name.startswith("animated") or "." not in name \
                or name.endswith(".txt") or name.endswith(".md"):
            continue
        for transpose in (0, 1):
            a = np.asarray(load(os.path.join(root, name), bool(transpose)))
            lines.append(f"decode {name} {transpose} {a.shape[0]} "
                         f"{a.shape[1]} {fnv(a.tobytes())}")
    for name, sizes in RESIZES:
        picture = load(os.path.join(root, name))
        for h, w in sizes:
            a = np.asarray(picture.resize((w, h), Image.BICUBIC))
            lines.append(f"resize {name} {h} {w} {fnv(a.tobytes())}")
    for name, mode, size in [
            ("astronaut-420.jpg", "crop", 224), ("coffee-444.jpg", "crop", 56),
            ("chelsea-422-progressive.jpg", "pad", 112),
            ("rocket-tall.jpg", "crop", 56), ("rocket-tall.jpg", "pad", 56),
            ("very-tall.png", "crop", 14), ("very-tall.png", "crop", 2),
            ("very-wide.png", "crop", 14),
            ("rgb.png", "stretch", 64), ("rgb.png", "pad", 97)]:
        picture = load(os.path.join(root, name))
        prepared = prepare(picture, mode, size)
        pixels = normalise(prepared)
        agreed += second_opinion(picture, mode, size, pixels)
        lines.append(
            f"clip {name} {mode} {size} {prepared.height} {prepared.width} "
            f"{fnv(np.asarray(prepared).tobytes())} {fnv(pixels.tobytes())}")
    print(f"{len(lines) - 1} cases, transformers agreed on {agreed}")
    return lines


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/image"
    os.makedirs(root, exist_ok=True)
    make_jpegs(root)
    make_pngs(root)
    make_webps(root)
    make_shapes(root)
    with open(os.path.join(root, "expected.txt"), "w") as file:
        file.write("\n".join(expectations(root)) + "\n")


if __name__ == "__main__":
    main()
