#!/usr/bin/env python3
"""The first findings, in one command: questions, answers, tables, docs/findings.md.

    tools/findings.py --command build/bin/tokenprune [--count N] [--work FOLDER] [--out docs/findings.md]

Held-out scenes of the demo model's test split (tools/demo_model/scene.py) are drawn and asked about
under every condition below; `tokenprune report` then computes all figures from the store. Nothing is
tuned on these questions. Stopped at any moment, the same command goes on. Needs NumPy.
"""
import argparse
import json
import os
import struct
import subprocess
import sys
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools", "demo_model"))
import scene  # noqa: E402

TASKS = ["existence", "colour", "shape", "count", "relation", "digits", "box"]
# The questions before this one are those of the model's card and of its test.
FIRST = 5000
POLICIES = [
    # The study's own, its baselines and variants.
    "fastv", "fastv-mean", "fastv-reverse", "fastv-window", "fastv-vis", "pooling", "pooling-avg", "alpha-blend",
    # Others with one cut that takes any budget.
    "dart", "fastervlm", "divprune", "mmr", "scope", "visionzip", "vispruner", "cdpruner", "mmtok", "holov",
    "prunesid",
    # Several cuts, with budgets of their own.
    "sparsevlm", "mustdrop", "pyramiddrop", "tome", "vscan", "tops",
]


def png(path, pixels):
    """An 8-bit RGB picture [height, width, 3]."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def cells_of(item):
    """Cells that the question is about; None where it is about nothing in particular."""
    target = item["target"]
    return None if target is None else [int(c) for c in item["scenes"][0].cells(target)]


def make_questions(folder, count):
    path = os.path.join(folder, "questions.json")
    questions = []
    for task in TASKS:
        for i in range(count):
            item = scene.held_out(task, scene.TEST, FIRST + i)
            name = f"{task}_{i:04d}.png"
            png(os.path.join(folder, name), item["scenes"][0].image())
            questions.append({
                "id": f"{task}-{FIRST + i}", "task": task, "image": name, "question": item["text"],
                "answer": item["answer"], "category": item["answer"] if item["answer"] in ("yes", "no") else "",
                "cells": cells_of(item)})
    text = json.dumps(questions, indent=1)
    # The store knows the file by its bytes: one that is the same is left alone.
    if not os.path.exists(path) or open(path).read() != text:
        with open(path, "w") as f:
            f.write(text)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--command", default=os.path.join(ROOT, "build", "bin", "tokenprune"))
    parser.add_argument("--count", type=int, default=70, help="questions a task")
    parser.add_argument("--work", default=os.path.join(ROOT, "build", "findings"), help="pictures and store")
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    os.makedirs(a.work, exist_ok=True)
    questions = make_questions(a.work, a.count)
    store = os.path.join(a.work, "study.db")
    subprocess.run(
        [a.command, "eval", "--data", questions, "--store", store, "--policy", ",".join(POLICIES),
         "--keep-ratio", "1/2,1/4,1/9", "--at", "projector,llm:1,llm:2", "--fit", "32", "--seeds", "5",
         "--threads", str(a.threads)], check=True)


if __name__ == "__main__":
    sys.exit(main())
