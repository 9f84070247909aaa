#!/usr/bin/env python3
"""Ask the demo model its held-out questions again, by our own library, and compare with its card.

rescore.py ANSWERS MODEL DEMO_MODEL_TOOLS [--count N]    exit 77: something is not here

scores.json of the model says how often each task was right when the model was exported, by
transformers (tools/demo_model/eval.py). The same questions, fewer of them, are drawn by the same
generator and answered by the program ANSWERS. A task fails that is more than three standard errors
below its recorded value, where the standard error is that of the smaller number of questions.
"""
import argparse
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import zlib

try:
    import numpy  # noqa: F401 (scene.py needs it)
except ImportError:
    system = "/usr/bin/python3"
    if os.path.exists(system) and "TKP_RESCORE" not in os.environ:
        os.environ["TKP_RESCORE"] = "1"
        os.execv(system, [system, *sys.argv])
    print("skipped: no NumPy, which the generator of the pictures needs (Debian: python3-numpy)")
    sys.exit(77)

# Tokens to generate, as in tools/demo_model/eval.py.
TOKENS = {"digits": 6, "box": 12}
BATCH, FIRST = 25, 1000


def png(path, pixels):
    """An 8-bit RGB picture [height, width, 3]."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def numbers(text):
    try:
        values = [float(v) for v in text.strip(" []").split(",")]
    except ValueError:
        return None
    return values if len(values) == 4 else None


def hit(task, answer, wanted):
    if task != "box":
        return answer.strip() == wanted
    a, b = numbers(answer), numbers(wanted)
    if not a:
        return False
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = w * h if w > 0 and h > 0 else 0.0
    union = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - common
    return union > 0 and common / union > 0.5


def items_of(scene, task, split, count):
    kind, images = ("haystack", int(task[len("haystack"):])) if task.startswith("haystack") else (task, 1)
    return [scene.held_out(kind, split, FIRST + i, images) for i in range(count)]


def request(folder, name, item):
    files = []
    for j, one in enumerate(item["scenes"]):
        files.append(os.path.join(folder, f"{name}_{j}.png"))
        png(files[-1], one.image())
    marks = "\n".join(["<image>"] * len(files))
    return {"prompt": f"USER: {marks}\n{item['text']} ASSISTANT:", "images": files}


def ask(program, model, items):
    with tempfile.TemporaryDirectory() as folder:
        batches = []
        for task, asked in items.items():
            for first in range(0, len(asked), BATCH):
                batches.append({"tokens": TOKENS.get(task, 3), "requests": [
                    request(folder, f"{task}_{first + i}", item)
                    for i, item in enumerate(asked[first:first + BATCH])]})
        path = os.path.join(folder, "requests.json")
        with open(path, "w") as f:
            json.dump(batches, f)
        answers = json.loads(subprocess.run([program, model, path], stdout=subprocess.PIPE, check=True).stdout)
    at = iter(answers)
    return {task: [hit(task, next(at), item["answer"]) for item in asked] for task, asked in items.items()}


def least(percent, recorded, n):
    """Three standard errors below a recorded percentage; Agresti and Coull's share, so that the error of
    100 % is not 0."""
    p = (percent / 100 * recorded + 2) / (recorded + 4)
    return percent - 300 * math.sqrt(p * (1 - p) / n)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("answers")
    parser.add_argument("model")
    parser.add_argument("tools")
    parser.add_argument("--count", type=int, default=150, help="questions a task, at most as many as were scored")
    a = parser.parse_args()
    card = os.path.join(a.model, "scores.json")
    if not os.path.exists(card):
        print(f"skipped: {card} is not there, so there is nothing to compare with")
        return 77
    sys.path.insert(0, a.tools)
    import scene
    with open(card) as f:
        recorded = json.load(f)
    split = {"val": scene.VAL, "test": scene.TEST}[recorded["split"]]
    scores = recorded["scores"]
    items = {task: items_of(scene, task, split, min(a.count, s["n"])) for task, s in scores.items()}
    bad = []
    for task, hits in ask(a.answers, a.model, items).items():
        s, met = scores[task], 100 * sum(hits) / len(hits)
        bound = least(s["accuracy"], s["n"], len(hits))
        bad += [task] if met < bound else []
        print(f"{task:11s} {met:5.1f} % of {len(hits)}, recorded {s['accuracy']:5.1f} % of {s['n']}, "
              f"wanted at least {bound:.1f} %{'' if met >= bound else ': FAILED'}")
    if bad or not items:
        print(f"FAILED: {', '.join(bad) if bad else 'no task in ' + card}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
