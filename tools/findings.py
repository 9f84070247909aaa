#!/usr/bin/env python3
"""The first findings, in one command: questions, answers, tables, docs/findings.md.

    tools/findings.py --command build/bin/tokenprune [--count N] [--work FOLDER] [--out docs/findings.md]

Held-out scenes of the demo model's test split (tools/demo_model/scene.py) are drawn and asked about
under every condition below; `tokenprune report` then computes all figures from the store. Nothing is
tuned on these questions. Stopped at any moment, the same command goes on. Needs NumPy.
"""
import argparse
import csv
import json
import os
import shutil
import sqlite3
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


ALPHAS = [0, 0.25, 0.5, 0.75, 1]


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


def alpha_policies(a):
    """The blend of the study's equation 6, from unlikeness alone (0) to attention alone (1)."""
    text = subprocess.run([a.command, "policy", "show", "alpha-blend"], stdout=subprocess.PIPE, check=True,
                          universal_newlines=True).stdout
    paths = []
    for alpha in ALPHAS:
        path = os.path.join(a.work, f"alpha-{alpha:.2f}.yaml")
        first, second, third = text.split("- weight: 0.5")
        with open(path, "w") as f:
            f.write(f"{first}- weight: {alpha}{second}- weight: {1 - alpha:.2f}{third}")
        paths.append(path)
    return paths


def ask(a, questions, store):
    def study(policies, budgets, points):
        # One thread and one question at a time: times are those of single answers.
        subprocess.run(
            [a.command, "eval", "--data", questions, "--store", store, "--policy", ",".join(policies),
             "--keep-ratio", budgets, "--at", points, "--fit", "32", "--seeds", "5", "--threads", str(a.threads)],
            check=True)

    study(POLICIES, "1/2,1/4,1/9", "projector,llm:1,llm:2")
    study(alpha_policies(a), "1/4", "llm:1,llm:2")


# --- reading the tables ------------------------------------------------------------------------


class Table:
    def __init__(self, a, store, name, folder):
        path = os.path.join(folder, name + ".csv")
        subprocess.run([a.command, "report", "--store", store, "--table", name, "--format", "csv", "--out", path],
                       check=True)
        with open(path, newline="") as f:
            self.rows = {}
            for row in csv.DictReader(f):
                method = os.path.basename(row["method"].split(" (")[0])
                self.rows[method, row["cut at"], row["budget"]] = row
        self.heads = list(row)

    def number(self, key, head):
        """The value in front of an interval; None where there is none."""
        text = self.rows.get(key, {}).get(head, "–").split(" ")[0]
        return None if text == "–" else float(text)


def markdown(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(str(c) for c in row) + " |" for row in rows])


AVG, RANDOM = "Avg, mean of ratios", "minus random, same RETAIN"
PLACES = [(p, b) for p in ("projector", "llm:1", "llm:2") for b in ("1/2", "1/4", "1/9")]


def against(differences, method, places=PLACES):
    """How often a method is better than random, cannot be told from it, is worse."""
    said = [differences.rows[method, p, b]["is"] for p, b in places if (method, p, b) in differences.rows]
    return f"better in {said.count('better')}, ≈ in {said.count('≈')}, worse in {said.count('worse')} of {len(said)}"


def claim_selection(t):
    methods = ["uniform", "pooling", "pooling-avg", "fastv", "fastv-window", "fastv-reverse", "fastv-vis", "fastv-mean"]
    rows = []
    for m in methods:
        cells = [t["differences"].rows.get((m, p, "1/4"), {}).get(RANDOM, "–") for p in ("projector", "llm:1", "llm:2")]
        rows.append([m] + cells + [against(t["differences"], m)])
    return markdown(["method", "projector, 1/4", "llm:1, 1/4", "llm:2, 1/4", "all points and budgets"], rows)


def claim_places(t):
    rows = []
    for m in ["random", "uniform", "fastv", "fastv-vis", "fastv-window", "fastv-mean", "divprune", "fastervlm"]:
        for p in ("llm:1", "llm:2"):
            key = (m, p, "1/4")
            kept = t["kept"].rows.get(key)
            if kept:
                rows.append([m, p, kept["centre"], kept["last quarter %"], kept["target kept %"],
                             t["accuracy"].number(key, AVG)])
    return markdown(["method", "cut at", "centre", "last quarter %", "target kept %", AVG], rows)


def claim_alpha(t):
    tasks = [h for h in t["accuracy"].heads if h.split(" ")[0] in TASKS]
    rows = []
    for p in ("llm:1", "llm:2"):
        for alpha in ALPHAS:
            key = (f"alpha-{alpha:.2f}.yaml", p, "1/4")
            rows.append([p, f"{alpha:.2f}"] + [t["accuracy"].number(key, h) for h in tasks + [AVG]])
    return markdown(["cut at", "α"] + tasks + [AVG], rows)


def claim_costs(t):
    keys = [("random", "llm:1", "1/4"), ("fastv", "llm:1", "1/4"), ("divprune", "llm:1", "1/4"),
            ("dart", "llm:1", "1/4"), ("sparsevlm", "own", "own"), ("mustdrop", "own", "own"),
            ("pyramiddrop", "own", "own"), ("vscan", "own", "own"), ("tome", "own", "own")]
    heads = ["RETAIN", "EQUIV_IN", "MACs %", "speed-up, MACs", "measured", "reached", "pruning ms"]
    rows = [[k[0], k[1]] + [t["costs"].rows[k][h] for h in heads] for k in keys if k in t["costs"].rows]
    for row, k in zip(rows, [k for k in keys if k in t["costs"].rows]):
        row.append(t["differences"].rows[k]["minus random, same EQUIV_IN"])
    return markdown(["method", "cut at"] + heads + ["Avg less random at the same EQUIV_IN"], rows)


def best(t):
    rows = []
    for p, b in PLACES:
        here = sorted(((t["accuracy"].number(k, AVG), k[0]) for k in t["accuracy"].rows
                       if k[1:] == (p, b) and t["accuracy"].number(k, AVG) is not None), reverse=True)
        random = t["accuracy"].number(("random", p, b), AVG)
        top = ", ".join(f"{name} {value:.1f}" for value, name in here[:3])
        rows.append([p, b, random, top, ", ".join(f"{name} {value:.1f}" for value, name in here[-2:])])
    return markdown(["cut at", "budget", "random", "best three", "last two"], rows)


def difference(t, method, point, budget="1/4"):
    """Points more than random, without the interval."""
    return float(t["differences"].rows[method, point, budget][RANDOM].split(" ")[0])


def verdict(t, method, point, budget="1/4"):
    return {"better": "better than random", "worse": "worse than random", "≈": "not to be told from random"}[
        t["differences"].rows[method, point, budget]["is"]]


def best_alphas(t, point):
    """For how many tasks attention alone is the best blend, or as good."""
    tasks = [h for h in t["accuracy"].heads if h.split(" ")[0] in TASKS]
    best_of = [max(ALPHAS, key=lambda a, h=h: (t["accuracy"].number((f"alpha-{a:.2f}.yaml", point, "1/4"), h), a))
               for h in tasks]
    return sum(a == 1 for a in best_of), len(tasks)


def ahead(t, method, other):
    """In how many places and budgets its average is higher."""
    return sum(t["accuracy"].number((method, p, b), AVG) > t["accuracy"].number((other, p, b), AVG) for p, b in PLACES)


def in_short(t):
    """The study's summaries, held against the tables; a quarter of the tokens stays."""
    def centre(method, point):
        return t["kept"].rows[method, point, "1/4"]["centre"]

    reached = [float(row["reached"]) for key, row in t["costs"].rows.items()
               if row["reached"] not in ("–", "") and float(row["EQUIV_IN"]) < 100]
    alone = [best_alphas(t, p) for p in ("llm:1", "llm:2")]
    lines = []
    for point in ("llm:1", "llm:2"):
        lines.append(
            f"cut at {point}, FastV is {verdict(t, 'fastv', point)} ({difference(t, 'fastv', point):+.1f}), pooling "
            f"{verdict(t, 'pooling', point)} ({difference(t, 'pooling', point):+.1f}), DivPrune "
            f"{verdict(t, 'divprune', point)} ({difference(t, 'divprune', point):+.1f})")
    return "\n".join([
        "1. *Random and pooling beat clever scores.* It depends on the layer: " + "; ".join(lines) +
        f". Of the nine places and budgets, DivPrune (tokens unlike each other) is above pooling in "
        f"{ahead(t, 'divprune', 'pooling')}, FasterVLM (the encoder's CLS row) in {ahead(t, 'fastervlm', 'pooling')}.",
        f"2. *Attention prefers places, not content.* The mean place of what FastV keeps is {centre('fastv', 'llm:1')} "
        f"behind layer 1 and {centre('fastv', 'llm:2')} behind layer 2 (0.5 is none); by windows it is "
        f"{centre('fastv-window', 'llm:1')}, and the same scores are then {verdict(t, 'fastv-window', 'llm:1')} "
        f"({difference(t, 'fastv-window', 'llm:1'):+.1f}).",
        f"3. *Text guides only some tasks.* Behind layer 2 the last token's attention gives "
        f"{difference(t, 'fastv', 'llm:2'):+.1f}, all tokens' {difference(t, 'fastv-mean', 'llm:2'):+.1f}, that of the "
        f"last visual token {difference(t, 'fastv-vis', 'llm:2'):+.1f}: the question matters here, since each "
        "question is about one thing in the picture.",
        f"4. *Importance or unlikeness, it depends on the task.* Not with the study's blend: attention alone is the "
        f"best of five weights in {alone[0][0]} of {alone[0][1]} tasks behind layer 1 and in {alone[1][0]} behind "
        "layer 2. Unlikeness that is chosen greedily (DivPrune, MMR) is another matter: it is ahead of attention.",
        f"5. *Work saved is not time saved.* {min(reached):.2f} to {max(reached):.2f} of the predicted speed-up is "
        "reached; the rest is what does not shrink with the tokens, and the pruning itself.",
    ])


TEXT = """# First findings

What pruning does to the demo model ([card](../examples/demo/model/README.md)): a LLaVA of 2 million
parameters, trained on synthetic scenes. **It says nothing about models of billions of parameters**;
it shows what each method does where the right answer, and the place of it, are known exactly.

Made by one command, which draws the questions, asks them, and writes this page:

```
tools/findings.py --count {count}
```

{count} held-out questions of each of {tasks} tasks ({names}), {conditions} conditions, {answers}
answers; random of 5 seeds; nothing was tuned on these questions. With so many questions a cell is known
to about ±{cell} points (95 %, at 50 %), an average of all tasks to about ±{average}; smaller differences
than the intervals below are noise. *Avg* is 100 times the mean over tasks of value / vanilla. All tables:
[accuracy](findings/accuracy.csv), [against random](findings/differences.csv), [costs](findings/costs.csv),
[what stays](findings/kept.csv); what they mean is in [eval.md](eval.md).

![Score left over tokens left, cut behind the first decoder layer](findings/score-llm-1.png)
![The same behind the second](findings/score-llm-2.png)
![The same before the decoder](findings/score-projector.png)

{best}

## In short

What the study says of large models, and what is so here:

{short}

## Do scores of attention lose to random and pooling?

Differences of the average from random at the same budget and point, with 95 % intervals (paired):

{selection}

## Is it because they keep the wrong places?

Centre is the mean place of kept tokens, 0.5 without bias; the last quarter of places has 25 % of them
without bias. Target kept is the share of the patches under what is asked about:

{places}

## Do words of the question help?

`fastv` looks from the last token of the prompt, `fastv-mean` from all tokens that see a patch, `fastv-vis`
from the last visual token, which knows nothing of the question. Their rows are in the tables above.

## Does what matters more, attention or unlikeness, depend on the task?

The blend of both, α = 1 is attention alone; a quarter of the tokens stays:

{alpha}

## Is work that is saved time that is saved?

Predicted is the ratio of multiply-accumulates that ran, measured the median ratio of prefill times,
question by question, on one thread of a shared machine. The model is so small that what does not shrink
with the tokens (calls, sampling, short text) is a large part of its time: *reached* compares methods with
each other here, not with a large model.

{costs}

![Speed-up of the prefill, predicted and measured](findings/speed.png)

## What does not fit into tables

- Two of the study's claims are not looked at here: the one about training with pruning, and the one about
  large models' benchmarks, which need models and data sets that are not in this repository.
- {left_out}
- A cut inside the decoder leaves what the text tokens had read before: `drop-all` in the tables says how
  much that is, task by task. Only what lies between it and vanilla is tested.
- Policies of several stages (`--fit 32`) have budgets of their own: compare them at the same EQUIV_IN.

Machine: {machine}.
"""


def write_page(a, store):
    folder = os.path.join(os.path.dirname(os.path.abspath(a.out)), "findings")
    os.makedirs(folder, exist_ok=True)
    t = {name: Table(a, store, name, folder) for name in ("accuracy", "differences", "costs", "kept")}
    subprocess.run([a.command, "report", "--store", store, "--table", "kept", "--out", os.devnull,
                    "--charts", a.work], check=True)
    for name in ("score-projector", "score-llm-1", "score-llm-2", "speed"):
        shutil.copy(os.path.join(a.work, name + ".png"), folder)
    db = sqlite3.connect(store)
    answers, = db.execute("SELECT count(*) FROM answer").fetchone()
    machine = json.loads(db.execute("SELECT machine FROM run LIMIT 1").fetchone()[0])
    asked = {k[0] for k in t["accuracy"].rows}
    missing = [p for p in POLICIES if p not in asked]
    with open(a.out, "w") as f:
        f.write(TEXT.format(
            count=a.count, tasks=len(TASKS), names=", ".join(TASKS), conditions=len(t["accuracy"].rows),
            answers=answers, cell=round(98 / a.count ** 0.5),
            average=round(98 / (a.count * len(TASKS)) ** 0.5), short=in_short(t), best=best(t), selection=claim_selection(t),
            places=claim_places(t), alpha=claim_alpha(t), costs=claim_costs(t),
            left_out="Methods that need what this model does not have are left out: " + ", ".join(missing) + "."
            if missing else "Every method that was asked for could run.",
            machine=f"{machine['processor']}, {machine['threads']} thread(s), {machine['build']}"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--command", default=os.path.join(ROOT, "build", "bin", "tokenprune"))
    parser.add_argument("--count", type=int, default=70, help="questions a task")
    parser.add_argument("--work", default=os.path.join(ROOT, "build", "findings"), help="pictures and store")
    parser.add_argument("--out", default=os.path.join(ROOT, "docs", "findings.md"))
    parser.add_argument("--threads", type=int, default=1)
    a = parser.parse_args()
    os.makedirs(a.work, exist_ok=True)
    questions = make_questions(a.work, a.count)
    store = os.path.join(a.work, "study.db")
    ask(a, questions, store)
    write_page(a, store)


if __name__ == "__main__":
    sys.exit(main())
