"""Write the first twelve scenes of the test split as PNG, with questions about them.

python export_images.py DIR    DIR/images/scene_NN.png and DIR/questions.json

questions.json: a list of {image, task, question, answer, cells}; cells are the patches (row * 12 +
column) that the object asked about touches, or null.
"""
import json
import os
import sys

from PIL import Image

import scene as S

COUNT = 12


def main(folder):
    os.makedirs(os.path.join(folder, "images"), exist_ok=True)
    out = []
    for i in range(COUNT):
        kind = S.READING if i % 3 == 2 else S.GENERAL
        scene = S.Scene(kind, S.TEST, i)
        rng = S.Rng(S.seed(kind + 64, S.TEST, i))
        name = f"scene_{i:02d}.png"
        for task in S.TASKS:
            q = S.question(scene, task, rng.rnd)
            if q:
                out.append({"image": f"images/{name}", "task": task, "question": q[0], "answer": q[1],
                            "cells": None if q[2] is None else scene.cells(q[2])})
        Image.fromarray(scene.image()).save(os.path.join(folder, "images", name))
    with open(os.path.join(folder, "questions.json"), "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")
    print(f"{COUNT} pictures, {len(out)} questions")


if __name__ == "__main__":
    main(sys.argv[1])
