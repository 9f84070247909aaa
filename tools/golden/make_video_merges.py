#!/usr/bin/env python3
"""Cases for methods that merge tokens of a video: stated again in NumPy.

Written from the text of each method alone, in double precision, with plain loops
and whole matrices. Fixed seeds: the same files come out each time.

    python3 tools/golden/make_video_merges.py     writes tests/golden/video/

<method>/caseNN.npz: `in_*` are tensors as docs/select.md names them, `out_*` what
`tokenprune select` has to answer; caseNN.json: the stage.
"""

import json

import numpy as np

from make_video_cases import ROOT, best, constant, cosine, noise, smooth, with_zero_rows


def save(method, number, note, stage, tensors, want):
    folder = ROOT / method
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"case{number:02d}"
    arrays = {"in_" + k: v for k, v in tensors.items()} | {"out_" + k: v for k, v in want.items()}
    kinds = {k: np.float32 if np.asarray(v).dtype.kind == "f" else np.int32 for k, v in arrays.items()}
    np.savez_compressed(path.with_suffix(".npz"), **{k: np.asarray(v, kinds[k]) for k, v in arrays.items()})
    path.with_suffix(".json").write_text(json.dumps(
        {"method": method, "case": number, "made_by": "tools/golden/make_video_merges.py", "notes": note,
         "stage": stage}, indent=1) + "\n")


def outcome(kept, joins, x):
    """rows, sizes and assignment, where joins[i] lists what joins token i."""
    kept = sorted(int(i) for i in kept)
    assignment = np.full(len(x), -1)
    rows = []
    for place, i in enumerate(kept):
        members = [i] + joins.get(i, [])
        assignment[members] = place
        rows.append(x[members].astype(np.float64).mean(0))
    return {"kept": np.array(kept), "rows": np.array(rows), "assignment": assignment,
            "sizes": np.array([1.0 + len(joins.get(i, [])) for i in kept])}


# --- framefusion ---------------------------------------------------------------


def framefusion(x, attention, k, threshold):
    """x [T, n, D]: a token goes on what is before it from the threshold on."""
    t, n, d = x.shape
    goes_on = np.zeros((t, n), bool)
    like = cosine(x[1:], x[:-1])
    assert like.size == 0 or np.abs(like - threshold).min() > 1e-5
    goes_on[1:] = like >= threshold
    goes_on = goes_on.ravel()
    # Beginnings of runs by attention, then, if there are too few, the others.
    order = sorted(range(t * n), key=lambda i: (goes_on[i], -attention[i], i))
    kept = set(order[:k])
    joins = {}
    for cell in range(n):
        head = None
        for frame in range(t):
            i = frame * n + cell
            if i in kept:
                head = i
            elif not goes_on[i]:
                head = None
            elif head is not None:
                joins.setdefault(head, []).append(i)
    return outcome(kept, joins, x.reshape(-1, d))


def make_framefusion():
    cases = (("noise: nothing goes on", noise, 4, 3, 4, 8, 12, 0.6), ("a cut and a moving patch", smooth, 8, 4, 4, 12, 20, 0.6),
             ("more kept than runs", smooth, 6, 4, 5, 12, 70, 0.6), ("still", constant, 6, 3, 3, 8, 5, 0.6),
             ("still, more kept than runs", constant, 5, 3, 3, 8, 20, 0.6), ("zero rows", with_zero_rows, 6, 4, 4, 4, 30, 0.3),
             ("one frame", noise, 1, 4, 5, 8, 6, 0.6), ("everything stays", smooth, 4, 3, 3, 8, 36, 0.6),
             ("nothing stays but one", smooth, 4, 3, 3, 8, 1, 0.6))
    for i, (note, video, t, h, w, d, k, threshold) in enumerate(cases, 1):
        rng = np.random.default_rng(700 + i)
        x = video(rng, t, h * w, d)
        attention = rng.permutation(t * h * w).astype(np.float32) / 7
        stage = ["projector", "scorer: {kind: blend, terms: [{weight: 1, normalise: rank, scorer: external}, "
                 f"{{weight: 2, scorer: {{kind: temporal, threshold: {threshold}}}}}]}}", "selector: topk",
                 f"merger: {{kind: chain, threshold: {threshold}}}", f"budget: {{count: {k}}}"]
        save("framefusion", i, note, stage,
             {"features": x.reshape(-1, d), "scores": attention, "grid": np.array([t, h, w])},
             framefusion(x, attention, k, threshold))


def main():
    make_framefusion()


if __name__ == "__main__":
    main()
