"""Train the demo model from scratch.

python train.py DIR [--vision-minutes 12] [--language-minutes 117] [--threads 2] [--seed 7]

DIR holds the scenes (pool/), tokenizer.json, state.pt and curve.csv; started again with the same
DIR it goes on where it stopped. Two stages:

V  the encoder: what covers each patch, from its row; which colour-shape pairs there are, from CLS.
L  everything: answers to packed questions. With it, the alignment (each object patch's projected
   row predicts its words through the tied embedding), stage V's losses at low weight, and guidance:
   from the word that names it on, two heads of two layers are told to look at the cells of the
   object asked about, and the tokens up to the answer predict its first token too. For counts they
   are told to share their attention evenly between <s> and the middle cells of what is counted, so
   that the share says the number. Three side heads make projected rows say where things are: the
   edges of the object on a patch, which glyph of the sign it is, whether it is an object's middle;
   two more make the guided tokens say the edges of the object they look at, and how many there
   are. For relations two heads of a later layer are told to look back at the two nouns,
   and a side head asks which of them is further left and further up.
   Attention starts as a search for like content that is copied (model.Block.reset);
   places.py first gives the rows a sense of place.
"""
import argparse
import csv
import itertools
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
import places
import pool
import scene as S
import tokenizer as T

WEIGHTS = np.array([1.3, 0.8, 0.8, 1.3, 1.2, 1.4, 1.6, 0.3, 0.3])   # of S.TASKS
LATE, LATER = 0.65, np.array([1.3, 0.4, 0.5, 2.2, 1.0, 0.5, 2.2, 0.3, 0.1])  # from this share on: what is still hard
VISION_BATCH, VISION_RATE = 16, 1.6e-3
IMAGES, QUESTIONS, RATE = 4, 8, 1.5e-3
# Weights of the losses beside the answers.
EARLY, ALIGN, VISION_LOW, PLACES, WHERE, MANY, SIDE = 0.3, 0.5, 0.03, 0.3, 0.4, 0.1, 0.2
EVENLY = -1                                                        # in place of a scene: share attention evenly
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


def where_to_look(task, text, tokens, n, scene, target, nouns):
    """What the guided heads should see: spans of tokens, and the cells each looks at.

    -> list of (first token, last token + 1, cells [144] bool, object or None); the tokens are of
    the whole question with its answer, n of them the question's.
    """
    cover = pool.Packed.cover(scene) >= 10
    objects = len(scene.objects)
    named = [i for i in range(n) if tokens[i] in nouns]
    if task == "digits":
        spans = [(max(0, n - 3), n - 1, cover[objects:].any(0), None)]
        return spans + [(n - 1 + j, n + j, cover[objects + j], None) for j in range(3)]
    if target is None:
        return []
    if task == "relation":                      # "... red circle left of the blue square?": its nouns only
        colour, shape = text.split("\n")[0].rstrip("?").split()[-2:]
        pair = S.COLOURS.index(colour), S.SHAPES.index(shape)
        other = [o[:2] for o in scene.objects].index(pair)
        return [(named[1], named[1] + 1, cover[target], target), (named[3], named[3] + 1, cover[other], other)]
    first = named[0] if task == "colour_yn" else named[-1]
    return [(first, len(tokens) - 1, cover[target], target)]


def counted(text, scene):
    """Middle cells of the objects that "How many ... are there?" counts."""
    word = text.split()[2]
    cells = np.zeros(M.CELLS, bool)
    for colour, shape, x, y, *_ in scene.objects:
        if word in (S.COLOURS[colour], S.PLURALS[shape]):
            cells[y // S.PATCH * S.GRID + x // S.PATCH] = True
    return cells


def edges_of(scene, k):
    """Of object k, in steps of two pixels: what an answer says."""
    x1, y1, x2, y2 = scene.box(k)
    return x1 // 2, y1 // 2, (x2 + 2) // 2, (y2 + 2) // 2


def whereabouts(scene):
    """Truth of the side heads: edges [144, 4] of the object on a cell, its glyph [144], -100 for none; middles."""
    cover = pool.Packed.cover(scene) >= 10
    edges, slot = np.full((M.CELLS, 4), -100, np.int64), np.full(M.CELLS, -100, np.int64)
    middle = np.zeros(M.CELLS, np.float32)
    for k, (_, _, x, y, *_) in enumerate(scene.objects):
        edges[cover[k]] = edges_of(scene, k)
        middle[y // S.PATCH * S.GRID + x // S.PATCH] = 1
    for j, cells in enumerate(cover[len(scene.objects):]):
        slot[cells] = j
    return edges, slot, middle


def needle(text, n, tokens, scene):
    """The same for a haystack: the objects of the anchor shape in the scene that has it."""
    anchor = S.SHAPES.index(text.split("For the image with ")[1].split()[1].rstrip(","))
    cover = pool.Packed.cover(scene) >= 10
    cells = np.zeros(M.CELLS, bool)
    for k, o in enumerate(scene.objects):
        if o[1] == anchor:
            cells |= cover[k]
    return [(n - 1, len(tokens) - 1, cells, None)]


def ask(tokenizer, nouns, packed, hay, short, rng, draw, weights):
    """One question about the scenes: (tokens, n, guidance, scene it is about), or None."""
    task = S.TASKS[int(rng.choice(len(S.TASKS), p=weights / weights.sum()))]
    q = S.haystack_question(packed, draw.rnd) if hay else S.question(packed[0], task, draw.rnd)
    if not q:
        return None
    text, answer, target = q
    tokens, n = M.tokens(tokenizer, text.replace(S.SUFFIX, "") if short else text, answer)
    if hay:
        return tokens, n, needle(text, n, tokens, packed[target]), target
    if task == "count":
        return tokens, n, [(n - 1, len(tokens) - 1, counted(text, packed[0]), None)], EVENLY
    spans = where_to_look(task, text, tokens, n, packed[0], target, nouns)
    return tokens, n, [(*s[:3], s[3] if s[3] is None else edges_of(packed[0], s[3])) for s in spans], 0


def pack(tokenizer, nouns, scenes, seed, step, level, haystacks, weights=WEIGHTS):
    """One batch. level 0: one or two objects; 1: at most four; 2: all. haystacks: their share."""
    rng, draw = np.random.default_rng((seed, step)), S.Rng(S.seed(900, seed, step))
    hay = rng.random() < haystacks
    short = rng.random() < 0.7 and not hay                         # most without the closing sentence
    images = 1 + int(rng.integers(0, 3)) if hay else 1
    name = "haystack" if hay else "first" if level == 0 else "general"
    items = IMAGES if images == 1 else max(2, IMAGES // images)
    part = scenes.parts[name]
    limit = len(part["pairs"]) - (HELD_BACK if name == "general" else 0)
    index = rng.integers(0, limit, (items, images))
    if level == 1 and not hay:
        index = scenes.few[rng.integers(0, len(scenes.few), (items, images))]
    rows, known = [], []
    for i in range(items):
        packed = [pool.Packed(part["scenes"][j]) for j in index[i]]
        known += [whereabouts(p) for p in packed]
        tries = (ask(tokenizer, nouns, packed, hay, short, rng, draw, weights) for _ in range(60))
        rows.append(list(itertools.islice((q for q in tries if q), QUESTIONS)))
    flat = index.reshape(-1)
    return dict(pictures=scenes.images(name, flat), targets=scenes.targets(name, flat), items=items, images=images,
                places=[torch.from_numpy(np.stack(part)) for part in zip(*known)], **lay_out(rows, items, images))


def lay_out(rows, items, images):
    """Lists of questions -> padded tensors: ids, answers, early answers, where to look."""
    longest = max([8] + [len(q[0]) for asked in rows for q in asked])
    start, gap = len(M.PREFIX["start"]), len(M.PREFIX["newline"])
    ids = np.zeros((items, QUESTIONS, longest), np.int64)
    real = np.zeros(ids.shape, bool)
    answers, early = np.full_like(ids, -100), np.full_like(ids, -100)
    look = np.zeros((*ids.shape, start + M.CELLS * images + gap * (images - 1)), bool)
    even, where = np.zeros(look.shape, np.float32), np.full((*ids.shape, 4), -100, np.int64)
    many, recall = np.full_like(ids, -100), np.full((*ids.shape, M.LOOKING_HEADS), -1, np.int64)
    side = np.full((*ids.shape, 2), -1, np.float32)
    for i, asked in enumerate(rows):
        for j, (tokens, n, spans, scene) in enumerate(asked):
            ids[i, j, :len(tokens)], real[i, j, :len(tokens)] = tokens, True
            answers[i, j, n - 1:len(tokens) - 1] = tokens[n:]
            if scene == EVENLY:
                first, end, cells, _ = spans[0]
                even[i, j, first:end, 0] = 1 / (1 + cells.sum())
                even[i, j, first:end, start:start + M.CELLS] = cells / (1 + cells.sum())
                many[i, j, first:end] = min(cells.sum(), M.MOST - 1)
                continue
            at = start + scene * (M.CELLS + gap)
            if len(spans) == 2 and spans[1][3]:                    # a relation: both nouns are compared
                recall[i, j, spans[1][0]:len(tokens) - 1] = spans[0][0], spans[1][0]
                a, b = spans[0][3], spans[1][3]
                side[i, j, spans[1][0]:len(tokens) - 1] = a[0] + a[2] < b[0] + b[2], a[1] + a[3] < b[1] + b[3]
            for first, end, cells, edges in spans:
                look[i, j, first:end, at:at + M.CELLS] = cells
                if edges:
                    where[i, j, first:end] = edges
                if images == 1:
                    early[i, j, first:min(end, n - 1)] = tokens[n]
    parts = dict(ids=ids, real=real, answers=answers, early=early, look=look, even=even,
                 where=where, many=many, recall=recall, side=side)
    return {k: torch.from_numpy(v) for k, v in parts.items()}


def guidance(looks, wanted):
    """Minus log of the attention that the guided heads give the wanted cells, meaned."""
    wanted = wanted.flatten(0, 1)
    rows = wanted.any(-1)
    loss = 0.0
    for look in looks:
        at = look.transpose(1, 2)[rows]
        loss = loss - torch.logsumexp(at.masked_fill(~wanted[rows][:, None], -1e9), -1).mean()
    return loss


def evenness(looks, wanted):
    """Divergence of the guided heads' attention from the wanted one."""
    wanted = wanted.flatten(0, 1)
    rows = wanted.any(-1)
    wanted = wanted[rows][:, None]
    return sum((wanted * (wanted.clamp(min=1e-9).log() - look.transpose(1, 2)[rows])).sum(-1).mean() for look in looks)


def edge_loss(head, rows, edges):
    return F.cross_entropy(head(F.rms_norm(rows, (M.D,))).view(-1, M.WAVES) @ M.edge_waves().t(), edges.view(-1))


def place_loss(net, projected, places):
    edges, slot, middle = places
    rows = F.rms_norm(projected, (M.D,))
    on, glyph = edges[..., 0] >= 0, slot >= 0
    loss = 0.5 * edge_loss(net.edge, projected[on], edges[on])
    loss = loss + F.binary_cross_entropy_with_logits(net.mid(rows[on])[:, 0], middle[on])
    return loss + F.cross_entropy(net.slot(rows[glyph]), slot[glyph]) if glyph.any() else loss


def language_loss(net, words, batch, guide):
    labels, pairs = batch["targets"]
    rows, projected = net.features(M.patches(batch["pictures"]))
    seen = {}
    real = batch["real"]
    hidden = net(net.prefix(projected, batch["items"], batch["images"]), batch["ids"], real, seen)
    at = batch["answers"] >= 0
    logits = net.logits(hidden[at[real]])
    # each answer counts about as much as another, however long it is
    weight = (1 / (at.sum(-1, keepdim=True).clamp(min=2).float() - 1) ** 0.7).expand_as(at)[at]
    answer = (F.cross_entropy(logits, batch["answers"][at], reduction="none") * weight).sum() / weight.sum()
    hit = (logits.argmax(-1) == batch["answers"][at]).float().mean()
    covered = labels.sum(-1) > 0
    said = F.log_softmax(F.rms_norm(projected[covered], (M.D,)) @ net.emb.t(), -1)[:, words]
    wanted = labels[covered]
    align = -(said * wanted / wanted.sum(-1, keepdim=True)).sum(-1).mean()
    total = answer + ALIGN * align + VISION_LOW * vision_loss(net, rows, labels, pairs)
    at = batch["early"] >= 0
    if at.any():
        total = total + EARLY * F.cross_entropy(net.logits(hidden[at[real]]), batch["early"][at])
    if batch["look"].any():
        total = total + guide * guidance(seen["looks"], batch["look"])
    if batch["even"].any():
        total = total + 3 * guide * evenness(seen["looks"], batch["even"])
    total = total + PLACES * place_loss(net, projected, batch["places"])
    at = batch["where"][..., 0] >= 0
    known = torch.zeros(())
    if at.any():
        known = edge_loss(net.where, seen["middle"][at[real]], batch["where"][at])
        total = total + WHERE * known
    at = batch["many"] >= 0
    if at.any():
        rows = F.rms_norm(seen["middle"][at[real]], (M.D,))
        total = total + MANY * F.cross_entropy(net.many(rows), batch["many"][at])
    at = (batch["recall"] >= 0).flatten(0, 1)                      # [B Q, Tq, heads]
    if at.any():
        looks = seen["recalled"].transpose(1, 2)[at]               # [.., Tq]
        total = total - guide * looks.gather(1, batch["recall"].flatten(0, 1)[at][:, None]).mean()
        at = batch["side"][..., 0] >= 0
        rows = F.rms_norm(seen["compared"][at[real]], (M.D,))
        total = total + SIDE * F.binary_cross_entropy_with_logits(net.side(rows), batch["side"][at])
    return total, (answer.item(), hit.item(), align.item(), known.item())


# ------------------------------------------------------------------------------------------ stages


def level_of(share):
    return 0 if share < 0.05 else 1 if share < 0.3 else 2


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
                group["lr"] = group.get("faster", 1.0) * rate * min(1, (self.step + 1) / 60) * cosine(share, flat)
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
    nouns = {M.encode(tokenizer, w)[0] for w in S.COLOURS + S.SHAPES + ["object"]}
    if run.step == 0:
        some = np.arange(64)
        pictures, covered = scenes.images("general", some), scenes.targets("general", some)[0].sum(-1) > 0
        places.keep(run.net, pictures, covered)
        places.pass_on(run.net, pictures, covered, words)
        places.numbers(run.net, tokenizer, words)
    net = run.net
    heads = [p for head in (net.edge, net.slot, net.mid, net.where, net.many, net.side) for p in head.parameters()]
    others = [p for p in net.parameters() if all(p is not h for h in heads)]
    groups = [{"params": [p for p in others if p.dim() > 1]},
              {"params": [p for p in others if p.dim() <= 1], "weight_decay": 0.0},
              {"params": heads, "weight_decay": 0.0, "faster": 6.0}]
    ready, first = queue.Queue(4), run.step

    def feed():
        step = first
        while True:
            share = run.spent / (minutes * 60)
            ready.put(pack(tokenizer, nouns, scenes, seed, step, level_of(share), 0.0 if share < 0.4 else 0.2,
                           WEIGHTS if share < LATE else LATER))
            step += 1

    threading.Thread(target=feed, daemon=True).start()
    run.train(groups, RATE, minutes, 0.4,
              lambda _, share: language_loss(run.net, words, ready.get(), 0.3 if share < 0.8 else 0.1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--vision-minutes", type=float, default=12)
    parser.add_argument("--language-minutes", type=float, default=117)
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
