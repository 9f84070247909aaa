#!/usr/bin/env python3
"""Cases for methods on video: an independent statement in NumPy.

Written from the specification of each method alone, in double precision:
random, smooth and degenerate videos. Fixed seeds: the same files come out each
time. The files look like those of tests/golden/published, and the same test
reads them.

    python3 tools/golden/make_video_cases.py     writes tests/golden/video/
"""

import json
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/video"


def save(method, number, note, parameters, arrays):
    folder = ROOT / method
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"case{number:02d}"
    np.savez(path.with_suffix(".npz"), **arrays)
    path.with_suffix(".json").write_text(json.dumps(
        {"method": method, "case": number, "notes": note, "parameters": parameters,
         "made_by": "tools/golden/make_video_cases.py"}, indent=1) + "\n")


# --- videos --------------------------------------------------------------------


def noise(rng, t, n, d):
    return rng.standard_normal((t, n, d)).astype(np.float32)


def smooth(rng, t, n, d):
    """A still scene, a moving patch, and a cut in the middle."""
    scene = rng.standard_normal((n, d)) * 2 + rng.standard_normal(d)
    other = rng.standard_normal((n, d)) * 2 + rng.standard_normal(d)
    x = np.stack([scene if i < (t + 1) // 2 else other for i in range(t)])
    x = x + 0.15 * rng.standard_normal(x.shape)
    for i in range(t):
        x[i, (3 * i) % n] += 4 * rng.standard_normal(d)
    return x.astype(np.float32)


def with_zero_rows(rng, t, n, d):
    x = noise(rng, t, n, d)
    x[rng.random((t, n)) < 0.15] = 0
    return x


def constant(rng, t, n, d):
    return np.repeat(noise(rng, 1, n, d), t, axis=0)


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    below = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.divide((a * b).sum(-1), below, out=np.zeros(below.shape), where=below > 0)


def best(scores, k):
    """The k highest, of equal ones the lower index; ascending."""
    return np.sort(np.argsort(-scores, kind="stable")[:k])


# --- evs -----------------------------------------------------------------------


def evs(x, q):
    t, n, _ = x.shape
    score = np.full((t, n), 255.0)
    score[1:] = 1 - cosine(x[1:], x[:-1]).astype(np.float32)
    return best(score.ravel(), max(n, int(t * n * (1 - q))))


def make_evs():
    cases = (("noise", noise, 5, 3, 4, 8, 0.6), ("a cut and a moving patch", smooth, 8, 4, 4, 12, 0.8),
             ("one frame", noise, 1, 4, 5, 8, 0.7), ("two frames", smooth, 2, 4, 5, 8, 0.3),
             ("500 and 0.9: 49 of doubles", noise, 50, 2, 5, 6, 0.9), ("zero rows", with_zero_rows, 6, 4, 4, 8, 0.5),
             ("constant", constant, 6, 3, 3, 8, 0.5), ("nothing goes", noise, 3, 2, 2, 4, 0.0),
             ("all but the first frame goes", noise, 3, 2, 2, 4, 1.0))
    for i, (note, video, t, h, w, d, q) in enumerate(cases, 1):
        x = video(np.random.default_rng(100 + i), t, h * w, d)
        save("evs", i, note, {"T": t, "H": h, "W": w, "spatial_merge": 1, "q": q},
             {"in_x": x.reshape(-1, d), "out_kept": evs(x, q).astype(np.int32)})


# --- dycoke --------------------------------------------------------------------


def dycoke(x, q):
    """By fours: 2 against 1, 4 against 3, 3 against 1; of the later one q go."""
    t, n, _ = x.shape
    kept = []
    for i in range(t):
        other = {0: None, 1: i - 1, 2: i - 2, 3: i - 1}[i % 4]
        if other is None:
            kept.append(i * n + np.arange(n))
        else:
            kept.append(i * n + best(1 - cosine(x[i], x[other]).astype(np.float32), int(n * (1 - q))))
    return np.concatenate(kept)


def make_dycoke():
    cases = (("noise", noise, 8, 3, 4, 8, 0.7), ("two of a group", smooth, 6, 4, 4, 12, 0.7),
             ("one frame", noise, 1, 4, 5, 8, 0.7), ("zero rows", with_zero_rows, 7, 4, 4, 8, 0.5),
             ("constant", constant, 5, 3, 3, 8, 0.7), ("ten: three of doubles", noise, 4, 2, 5, 6, 0.7))
    for i, (note, video, t, h, w, d, q) in enumerate(cases, 1):
        x = video(np.random.default_rng(400 + i), t, h * w, d)
        save("dycoke", i, note, {"T": t, "H": h, "W": w, "q": q, "group": 4},
             {"in_x": x.reshape(-1, d), "out_kept": dycoke(x, q).astype(np.int32)})


# --- vidcom2 -------------------------------------------------------------------


def gaussian(square):
    return sum(np.exp(-square / (2 * 2.0**k)) for k in range(-3, 2))


def vidcom2(x, base, count=None):
    """Scores [T, n], and the lowest by frames; exactly `count` if it is given."""
    t, n, d = x.shape
    y = x.astype(np.float64).reshape(t * n, d)
    y = y[:, np.sort(np.argsort(y.var(axis=0), kind="stable")[: d // 2])]
    norm = np.linalg.norm(y, axis=1, keepdims=True)
    y = np.divide(y, norm, out=np.zeros_like(y), where=norm > 0).reshape(t, n, -1)
    u = gaussian(((y - y.reshape(t * n, -1).mean(0)) ** 2).sum(-1))
    w = gaussian(((y - y.mean(1, keepdims=True)) ** 2).sum(-1))
    score = (u + w).astype(np.float32)
    z = -u.mean(1)
    p = np.exp((z - z.max()) / 0.01)
    p /= p.sum()
    scale = np.minimum(1, base * (1 + p - p.mean()))
    quota = np.maximum(1, np.rint(scale * n).astype(int))
    first, then = [], []
    for i in range(t):
        ranked = list(i * n + np.argsort(score[i], kind="stable"))
        first, then = first + ranked[:quota[i]], then + ranked[quota[i]:]
    flat = score.ravel()
    ranked = sorted(first, key=lambda i: (flat[i], i)) + sorted(then, key=lambda i: (flat[i], i))
    return score, np.sort(ranked[:len(first) if count is None else count])


def make_vidcom2():
    cases = (("noise", noise, 4, 18, 12, 0.25, None), ("a cut", smooth, 6, 20, 16, 0.25, None),
             ("one frame", noise, 1, 22, 12, 0.25, None), ("two frames", smooth, 2, 22, 13, 0.25, None),
             ("zero rows", with_zero_rows, 5, 18, 12, 0.25, None), ("more than the shares", smooth, 6, 18, 12, 0.25, 40),
             ("less than the shares", noise, 6, 18, 12, 0.25, 9), ("less than a token a frame", noise, 8, 3, 8, 0.1, 5),
             ("another base", smooth, 7, 16, 12, 0.15, None))
    for i, (note, video, t, n, d, base, count) in enumerate(cases, 1):
        x = video(np.random.default_rng(200 + i), t, n, d) + np.float32(0.3) * np.arange(d, dtype=np.float32)
        if video is with_zero_rows:
            x[1, ::4] = 0
        score, kept = vidcom2(x, base, count)
        save("vidcom2", i, note, {"T": t, "tokens_per_frame": n, "base_scale": base},
             {"in_x": x.reshape(-1, d), "out_kept": kept.astype(np.int32), "out_score": score})


# --- v-cast --------------------------------------------------------------------


def unit(x):
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)


def curvature(x):
    f = unit(x.astype(np.float64).mean(1))
    step = np.diff(f, axis=0)
    out = np.ones(len(x))
    for i in range(1, len(x) - 1):
        below = np.linalg.norm(step[i - 1]) * np.linalg.norm(step[i])
        out[i] = 1 - (step[i - 1] @ step[i] / below if below > 1e-12 else 0)
    return out, f


def vcast(x, ratio, temperature, least, rule):
    t, n, _ = x.shape
    if t == 1:
        return np.arange(n)
    bend, f = curvature(x)
    w = np.exp((bend - bend.max()) / temperature)
    w = (w / w.sum()).astype(np.float32)
    total = max(round(t * n * ratio), t * least)
    quota = np.full(t, least)
    ideal = np.float32(total - t * least) * w
    quota += np.minimum(np.floor(ideal).astype(int), n - least)
    left, fraction = total - quota.sum(), ideal - np.floor(ideal)
    for i in np.argsort(-fraction, kind="stable"):
        more = min(left, n - quota[i]) if rule == "spill" else min(left, 1)
        quota[i], left = quota[i] + more, left - more
    assert left == 0 and quota.max() <= n
    wide = x.astype(np.float64)
    norm = np.linalg.norm(wide, axis=-1)
    low, span = norm.min(1, keepdims=True), np.ptp(norm, axis=1)[:, None]
    score = 1 - (unit(wide) * f[:, None]).sum(-1) + np.divide(norm - low, span, out=np.zeros_like(norm), where=span > 0)
    return np.concatenate([i * n + best(score[i], quota[i]) for i in range(t)])


def make_vcast():
    cases = (("noise", noise, 5, 4, 4, 12, 0.25, 0.7, 1, "spill"), ("a cut", smooth, 8, 4, 4, 16, 0.25, 0.7, 1, "spill"),
             ("one frame", noise, 1, 4, 5, 8, 0.25, 0.7, 1, "spill"), ("two frames", noise, 2, 4, 5, 8, 0.3, 0.7, 1, "spill"),
             ("constant", constant, 25, 2, 4, 10, 0.5, 0.7, 1, "spill"),
             ("zero rows", with_zero_rows, 5, 4, 4, 12, 0.4, 0.7, 1, "spill"),
             ("one goes to the largest remainders", noise, 6, 3, 5, 12, 0.37, 0.7, 1, "largest-remainder"),
             ("two a frame", noise, 6, 3, 5, 12, 0.3, 0.7, 2, "spill"),
             ("a frame that fills up", noise, 6, 2, 3, 12, 0.6, 0.1, 1, "spill"),
             ("one a frame is more than the ratio", noise, 9, 2, 3, 10, 0.1, 0.7, 1, "spill"))
    for i, (note, video, t, h, w, d, ratio, temperature, least, rule) in enumerate(cases, 1):
        x = video(np.random.default_rng(300 + i), t, h * w, d)
        save("vcast", i, note, {"T": t, "h": h, "w": w, "retain_ratio": ratio, "min_k": least,
                                "temperature": temperature, "rule": rule},
             {"in_x": x.reshape(-1, d), "out_kept": vcast(x, ratio, temperature, least, rule).astype(np.int32)})


def main():
    make_evs()
    make_dycoke()
    make_vidcom2()
    make_vcast()


if __name__ == "__main__":
    main()
