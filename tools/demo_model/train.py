"""Train the demo model from scratch.

python train.py DIR [--vision-minutes 25] [--language-minutes 120] [--threads 2] [--seed 7]

DIR holds the scenes (pool/), tokenizer.json, state.pt and curve.csv; started again with the same
DIR it goes on where it stopped. Two stages:

V  the encoder: what covers each patch, from its row; which colour-shape pairs there are, from CLS.
L  everything: answers to packed questions. With it, the alignment (each object patch's projected
   row predicts its words through the tied embedding), stage V's losses at low weight, and an early
   answer: the tokens between the question's last words and the answer predict its first token too.
   Attention starts as a search for like content that is copied (model.Block.reset) and learns at a
   fraction of the rate at first, so that this start is not lost before it is read.
"""
import argparse
import csv
import math
import os
import queue
import threading
import time

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import model as M
import pool
import scene as S
import tokenizer as T

WEIGHTS = np.array([1.4, 1.5, 1.4, 1.0, 0.9, 1.2, 1.0, 0.3, 0.3])   # of S.TASKS
VISION_BATCH, VISION_RATE = 16, 1.6e-3
IMAGES, QUESTIONS, RATE = 4, 8, 1e-3
GENTLE_STEPS, GENTLE, LATER = 180, 0.05, 0.3                       # of attention's rate
HELD_BACK = 2000                                                   # last general scenes are for checks
BITS, PAIR_BITS = np.arange(M.LABELS, dtype=np.uint32), np.arange(64, dtype=np.uint64)


class Scenes:
    """The stored training scenes."""

    def __init__(self, folder):
        pool.build(folder)
        self.parts = {}
        for name in pool.SIZES:
            load = {p: np.load(f"{folder}/{name}.{p}.npy", mmap_mode="r" if p == "images" else None)
                    for p in ("images", "labels", "pairs", "scenes")}
            self.parts[name] = load
        few = self.parts["general"]["scenes"][:-HELD_BACK, 0] <= 4
        self.few = np.flatnonzero(few)

    def targets(self, name, index):
        part = self.parts[name]
        labels = ((part["labels"][index][:, :, None] >> BITS) & 1).astype(np.float32)
        pairs = ((part["pairs"][index][:, None] >> PAIR_BITS) & np.uint64(1)).astype(np.float32)
        return torch.from_numpy(labels), torch.from_numpy(pairs)

    def images(self, name, index):
        order = np.argsort(index)
        out = np.empty((len(index), S.SIDE, S.SIDE, 3), np.uint8)
        out[order] = self.parts[name]["images"][index[order]]      # ascending reads
        return out


def vision_loss(net, rows, labels, pairs):
    n = len(labels)
    return (F.binary_cross_entropy_with_logits(net.ph(rows[:, 1:]), labels, reduction="sum")
            + F.binary_cross_entropy_with_logits(net.ch(rows[:, 0]), pairs, reduction="sum")) / n


# ------------------------------------------------------------------------------- packed questions


def pack(tokenizer, scenes, seed, step, level):
    """One batch. level 0: one or two objects; 1: at most four; 2: all, one batch in five haystacks."""
    rng, draw = np.random.default_rng((seed, step)), S.Rng(S.seed(900, seed, step))
    hay = level == 2 and step % 5 == 4
    short = step % 5 != 0 and not hay                              # most without the closing sentence
    images = 1 + int(rng.integers(0, 3)) if hay else 1
    name = "haystack" if hay else "first" if level == 0 else "general"
    items = IMAGES if images == 1 else max(2, IMAGES // images)
    part = scenes.parts[name]
    limit = len(part["pairs"]) - (HELD_BACK if name == "general" else 0)
    index = rng.integers(0, limit, (items, images))
    if level == 1:
        index = scenes.few[rng.integers(0, len(scenes.few), (items, images))]
    rows = []
    for i in range(items):
        packed = [pool.Packed(part["scenes"][j]) for j in index[i]]
        asked = []
        for _ in range(60):
            if len(asked) == QUESTIONS:
                break
            task = S.TASKS[int(rng.choice(len(S.TASKS), p=WEIGHTS / WEIGHTS.sum()))]
            q = S.haystack_question(packed, draw.rnd) if hay else S.question(packed[0], task, draw.rnd)
            if q:
                asked.append(M.tokens(tokenizer, q[0].replace(S.SUFFIX, "") if short else q[0], q[1]))
        rows.append(asked)
    longest = max([8] + [len(t) for asked in rows for t, _ in asked])
    ids = np.zeros((items, QUESTIONS, longest), np.int64)
    answers, early = np.full_like(ids, -100), np.full_like(ids, -100)
    for i, asked in enumerate(rows):
        for j, (tokens, n) in enumerate(asked):
            ids[i, j, :len(tokens)] = tokens
            answers[i, j, n - 1:len(tokens) - 1] = tokens[n:]
            early[i, j, max(1, n - (6 if short or hay else 19)):n - 1] = tokens[n]
    flat = index.reshape(-1)
    return dict(pictures=scenes.images(name, flat), targets=scenes.targets(name, flat), items=items, images=images,
                **{k: torch.from_numpy(v) for k, v in dict(ids=ids, answers=answers, early=early).items()})


def language_loss(net, words, batch):
    labels, pairs = batch["targets"]
    rows, projected = net.features(M.patches(batch["pictures"]))
    hidden = net(net.prefix(projected, batch["items"], batch["images"]), batch["ids"])
    at = batch["answers"] >= 0
    logits = net.logits(hidden[at])
    # each answer counts about as much as another, however long it is
    weight = (1 / (at.sum(-1, keepdim=True).clamp(min=2).float() - 1) ** 0.7).expand_as(at)[at]
    answer = (F.cross_entropy(logits, batch["answers"][at], reduction="none") * weight).sum() / weight.sum()
    hit = (logits.argmax(-1) == batch["answers"][at]).float().mean()
    at = batch["early"] >= 0
    early = F.cross_entropy(net.logits(hidden[at]), batch["early"][at])
    covered = labels.sum(-1) > 0
    said = F.log_softmax(F.rms_norm(projected[covered], (M.D,)) @ net.emb.t(), -1)[:, words]
    wanted = labels[covered]
    align = -(said * wanted / wanted.sum(-1, keepdim=True)).sum(-1).mean()
    total = answer + 0.5 * early + 0.5 * align + 0.03 * vision_loss(net, rows, labels, pairs)
    return total, (answer.item(), hit.item(), align.item())


# ------------------------------------------------------------------------------------------ stages


def level_of(share):
    return 0 if share < 0.25 else 1 if share < 0.5 else 2


def cosine(share, flat):
    return 1.0 if share < flat else 0.5 * (1 + math.cos(math.pi * (share - flat) / (1 - flat))) + 0.02


class Run:
    """State that survives an interruption."""

    def __init__(self, folder, vocabulary):
        self.file = f"{folder}/state.pt"
        self.curve = f"{folder}/curve.csv"
        self.net = M.Net(vocabulary)
        self.stage, self.step, self.spent, self.saved = "V", 0, 0.0, None
        if os.path.exists(self.file):
            old = torch.load(self.file, weights_only=False)
            self.net.load_state_dict(old["net"])
            self.stage, self.step, self.spent, self.saved = old["stage"], old["step"], old["spent"], old["opt"]

    def save(self, opt):
        torch.save({"net": self.net.state_dict(), "opt": opt.state_dict(), "stage": self.stage, "step": self.step,
                    "spent": self.spent}, self.file + ".tmp")
        os.replace(self.file + ".tmp", self.file)

    def log(self, *values):
        print(*values, flush=True)
        with open(self.curve, "a", newline="") as f:
            csv.writer(f).writerow([self.stage, self.step, f"{self.spent / 60:.1f}", *values])

    def train(self, groups, rate, minutes, flat, loss_of):
        """Until `minutes` are spent; loss_of(step, share) -> loss, tuple of numbers for the log."""
        opt = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
        if self.saved:
            opt.load_state_dict(self.saved)
            self.saved = None
        began, sums = time.time() - self.spent, []
        while self.spent < minutes * 60:
            share = self.spent / (minutes * 60)
            for group in opt.param_groups:
                slow = group.get("slow")
                factor = 1.0 if not slow else GENTLE if self.step < GENTLE_STEPS else LATER
                group["lr"] = rate * factor * min(1, (self.step + 1) / 100) * cosine(share, flat)
            loss, numbers = loss_of(self.step, share)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            opt.step()
            self.step += 1
            self.spent = time.time() - began
            sums.append(numbers)
            if self.step % 100 == 0:
                self.log(*(round(v, 4) for v in np.mean(sums, 0)))
                sums = []
            if self.step % 500 == 0:
                self.save(opt)
        self.save(opt)

    def next_stage(self, name):
        self.stage, self.step, self.spent, self.saved = name, 0, 0.0, None


def train_vision(run, scenes, minutes, seed):
    limit = len(scenes.parts["general"]["pairs"]) - HELD_BACK

    def loss_of(step, _):
        index = np.random.default_rng((seed, 1, step)).integers(0, limit, VISION_BATCH)
        labels, pairs = scenes.targets("general", index)
        loss = 0.1 * vision_loss(run.net, run.net.vis(M.patches(scenes.images("general", index))), labels, pairs)
        return loss, (loss.item(),)

    run.train([{"params": run.net.parameters()}], VISION_RATE, minutes, 0.0, loss_of)


def train_language(run, scenes, tokenizer, minutes, seed):
    words = [M.encode(tokenizer, w)[0] for w in S.COLOURS + S.SHAPES + [str(d) for d in range(10)]]
    words = torch.tensor(words)
    slow = {id(p) for b in run.net.blocks for p in (b.qkv.weight, b.o.weight)}
    groups = [{"params": [p for p in run.net.parameters() if id(p) in slow], "slow": True},
              {"params": [p for p in run.net.parameters() if id(p) not in slow]}]
    ready, first = queue.Queue(6), run.step

    def feed():
        step = first
        while True:
            ready.put(pack(tokenizer, scenes, seed, step, level_of(run.spent / (minutes * 60))))
            step += 1

    threading.Thread(target=feed, daemon=True).start()
    run.train(groups, RATE, minutes, 0.5, lambda *_: language_loss(run.net, words, ready.get()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--vision-minutes", type=float, default=25)
    parser.add_argument("--language-minutes", type=float, default=120)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    a = parser.parse_args()
    os.makedirs(a.folder, exist_ok=True)
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    scenes = Scenes(f"{a.folder}/pool")
    if not os.path.exists(f"{a.folder}/tokenizer.json"):
        T.build(f"{a.folder}/tokenizer.json")
    tokenizer = Tokenizer.from_file(f"{a.folder}/tokenizer.json")
    M.use_tokenizer(tokenizer)
    run = Run(a.folder, tokenizer.get_vocab_size())
    if run.stage == "V":
        train_vision(run, scenes, a.vision_minutes, a.seed)
        run.next_stage("L")
    train_language(run, scenes, tokenizer, a.language_minutes, a.seed)


if __name__ == "__main__":
    main()
