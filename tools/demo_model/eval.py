"""Score an exported folder on held-out questions, by transformers, through PNG and the processor's pixels.

python eval.py DIR [--count 500] [--split test] [--out scores.json]

Greedy answers; whole answers count, boxes by IoU > 0.5. Prints and writes accuracy with a 95 %
interval (Wilson) for each task.
"""
import argparse
import io
import json
import math

import torch
from PIL import Image
from transformers import CLIPImageProcessor, LlavaForConditionalGeneration, PreTrainedTokenizerFast

import scene as S

TASKS = {"existence": 3, "colour": 3, "shape": 3, "count": 3, "relation": 3, "digits": 6, "box": 12,
         "haystack1": 3, "haystack2": 3, "haystack3": 3}      # tokens to generate
BATCH = 25


def item_of(task, split, i):
    return S.held_out("haystack", split, i, int(task[-1])) if task.startswith("haystack") else S.held_out(task, split, i)


def through_png(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return Image.open(buffer).convert("RGB")


def box(text):
    try:
        x1, y1, x2, y2 = (float(v) for v in text.strip(" []").split(","))
    except ValueError:
        return None
    return x1, y1, x2, y2


def hit(task, answer, wanted):
    if task != "box":
        return answer.strip() == wanted
    a, b = box(answer), box(wanted)
    if not a:
        return False
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    common = w * h if w > 0 and h > 0 else 0.0
    area = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    return area - common > 0 and common / (area - common) > 0.5


def interval(good, n):
    z = 1.96
    p = good / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return round(100 * (centre - half), 1), round(100 * (centre + half), 1)


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--split", choices=["val", "test"], default="test")
    parser.add_argument("--out")
    a = parser.parse_args()
    split = {"val": S.VAL, "test": S.TEST}[a.split]
    hf = LlavaForConditionalGeneration.from_pretrained(a.folder, dtype=torch.float32).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(a.folder)
    pictures = CLIPImageProcessor.from_pretrained(a.folder)
    tokenizer.padding_side = "left"
    scores = {}
    for task, length in TASKS.items():
        good = 0
        for first in range(0, a.count, BATCH):
            items = [item_of(task, split, 1000 + i) for i in range(first, min(first + BATCH, a.count))]
            images = [through_png(s.image()) for item in items for s in item["scenes"]]
            marks = "\n".join(["<image>" * S.GRID ** 2] * len(items[0]["scenes"]))
            ids = tokenizer([f"USER: {marks}\n{item['text']} ASSISTANT:" for item in items], return_tensors="pt",
                            padding=True)
            out = hf.generate(**{k: ids[k] for k in ("input_ids", "attention_mask")},
                              pixel_values=pictures(images, return_tensors="pt")["pixel_values"],
                              max_new_tokens=length, do_sample=False)
            answers = tokenizer.batch_decode(out[:, ids["input_ids"].shape[1]:], skip_special_tokens=True)
            good += sum(hit(task, answer, item["answer"]) for answer, item in zip(answers, items))
        low, high = interval(good, a.count)
        scores[task] = {"accuracy": round(100 * good / a.count, 1), "low": low, "high": high, "n": a.count}
        print(f"{task:11s} {scores[task]['accuracy']:5.1f} %   [{low}, {high}]  n = {a.count}", flush=True)
    if a.out:
        with open(a.out, "w") as f:
            json.dump({"split": a.split, "scores": scores}, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
