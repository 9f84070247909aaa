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


def main():
    make_evs()


if __name__ == "__main__":
    main()
