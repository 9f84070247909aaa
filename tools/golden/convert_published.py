#!/usr/bin/env python3
"""Cases that the published harness itself computed, for our tests.

    python3 tools/golden/convert_published.py FOLDER

FOLDER holds refcoco-fastv, refcoco-window-fastv and refcoco-window-pooling,
each with caseNN.npz (what the function was given and gave back) and caseNN.json
(where it came from). Writes tests/golden/published/cases.txt and vectors.bin;
their README.md says more.
"""

import json
import pathlib
import sys

import numpy as np

from policy_cases import Writer


def fastv(p):
    removed = f"{p['reduction_ratio']:.3f}"
    kept = 1000 - round(float(removed) * 1000)
    return [
        f"  - at: llm:{p['K']}",
        "    scorer: {kind: attention, query: last}",
        "    selector: {kind: topk}",
        f"    budget: {{ratio: {kept}/1000, rounding: floor}}",
    ]


def window(scorer, p):
    return [
        f"  - at: llm:{p['K']}",
        f"    scorer: {scorer}",
        f"    selector: {{kind: window, window: [{p['a']}, {p['a']}], quota: 1}}",
    ]


STAGES = {
    "refcoco-fastv": fastv,
    "refcoco-window-fastv": lambda p: window("{kind: attention, query: last}", p),
    "refcoco-window-pooling": lambda p: window("{kind: norm, norm: l1}", p),
}

# Window presets keep a quarter: then it is the preset itself that is run.
PRESETS = {"refcoco-window-fastv": "fastv-window", "refcoco-window-pooling": "pooling"}


def convert(w, method, number, note, z):
    p = note["parameters"]
    hidden = z["in_hidden"]
    rows, width = hidden.shape
    side = round(p["n"] ** 0.5)
    start = p["image_start"]
    probs = z["in_P_last"] if "in_P_last" in z.files else None
    heads = probs.shape[0] if probs is not None else 1
    w.line("case", f"{method}-{number}")
    w.line("#", note["repository"], "@", note["commit"][:7], note["function"])
    if p["keep"] * 4 == p["n"] and "a" in p:
        w.line("preset", PRESETS[method])
    else:
        for line in STAGES[method](p):
            w.line("|", line)
    w.line("model", "f32", 4, heads, heads, width, width)
    w.line("sequence", 0, rows, 0, 0)
    w.line("image", start, 1, side, side, 0, "-", "-")
    w.line("point", 0)
    w.tensor("in", "hidden", hidden)
    if probs is not None:
        w.tensor("in", "attention_rows", probs[None])
    w.tensor("out", "indices", z["out_keep_index"].astype(np.int32))
    if "out_scores" in z.files:
        w.tensor("out", "scores", z["out_scores"])
    # the two ways the harness says what it kept agree
    index = z["out_keep_index"]
    visual = index[(index >= start) & (index < start + p["n"])] - start
    assert sorted(z["out_kept"]) == sorted(visual), (method, number)
    assert len(visual) == p["keep"], (method, number)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    w = Writer("published", ["Made by tools/golden/convert_published.py"])
    for method in STAGES:
        for path in sorted((folder / method).glob("case*.json")):
            note = json.loads(path.read_text())
            convert(w, method, path.stem[4:], note, np.load(path.with_suffix(".npz")))
    w.write()


if __name__ == "__main__":
    main()
