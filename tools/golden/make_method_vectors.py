#!/usr/bin/env python3
"""Golden cases of methods that choose one token after the other, and of joining what is nearest.

An independent statement in NumPy, in double precision, written from the papers' formulas (docs/methods).
Batches, budgets and the format of the cases are those of make_policy_vectors.py.

    python3 tools/golden/make_method_vectors.py   writes tests/golden/methods/
"""

from fractions import Fraction
from math import floor

import numpy as np

import make_policy_vectors as base
from make_policy_vectors import (
    D, MARGIN, Image, Sequence, Stage, Unclear, best, by_image, candidates, count, features, free, nearest, normalised,
    protected, quarter, ragged, ratio, square, topk, unit, yaml)
from policy_cases import Writer

VISION, CLIP, TEXT, PROMPTS, TOKENS = 10, 8, 5, 2, 9
WIDTHS = (VISION, 0, CLIP, TEXT, PROMPTS, TOKENS)


def fill(rng, rows, total):
    """Rows that lie in a few clusters: what is alike, and what is not."""
    t = base.fill(rng, rows, total)

    def clustered(n, d):
        centres = rng.standard_normal((4, d))
        return (centres[rng.integers(0, 4, n)] + 0.5 * rng.standard_normal((n, d))).astype(np.float32)

    t["hidden"] = clustered(rows, D)
    t["vision"], t["clip"] = clustered(total, VISION), clustered(total, CLIP)
    t["text"], t["clip_text"] = clustered(TEXT, D), clustered(PROMPTS, CLIP)
    t["clip_tokens"] = clustered(TOKENS, CLIP)
    return t


def case(w, name, sequences, stages, **more):
    base.case(w, name, sequences, stages, inputs=fill, widths=WIDTHS, **more)


# --- what the methods look at -------------------------------------------------------


def of_patches(st, t, name):
    at = st.first_candidate
    return t[name][at: at + len(st.tokens)].astype(float)


def cls(st, t):
    at = st.first_candidate
    return t["cls_attention"].astype(float).mean(0)[at: at + len(st.tokens)]


def raw(st, t):
    return features(st, t, "raw")[candidates(st)]


# --- choosing one after the other -----------------------------------------------------


def top(values, members):
    """The member of largest value; Unclear where another is as good."""
    order = sorted(members, key=lambda m: -values[m])
    if len(order) > 1:
        a, b = values[order[0]], values[order[1]]
        if abs(a - b) < MARGIN * max(1e-3, abs(a), abs(b)):
            raise Unclear
    return order[0]


def greedy(budget, choose, per_image=False):
    """choose(st, t, scores, members, keep) -> kept members."""

    def select(st, scores):
        chosen = list(protected(st))
        inside = set(free(st))
        everything = list(range(len(st.tokens)))
        for part in by_image(st, everything) if per_image else [everything]:
            members = [m for m in part if m in inside]
            keep = max(budget(len(part)) - (len(part) - len(members)), 0)
            if keep:
                chosen += choose(st, st.tensors, scores, members, keep)
        return chosen

    return select


def shares(total, weights, room):
    """Largest remainder; who would have more than there is room for is full, and the rest is shared again."""
    got, left = [0] * len(room), [i for i in range(len(room)) if room[i]]
    while total:
        exact = {i: total * weights[i] / sum(weights[j] for j in left) for i in left}
        full = [i for i in left if exact[i] >= room[i]]
        if full:
            for i in full:
                got[i], total = room[i], total - room[i]
                left.remove(i)
            continue
        for i in left:
            got[i] = floor(exact[i])
        for i in sorted(left, key=lambda i: (floor(exact[i]) - exact[i], i))[:total - sum(got[i] for i in left)]:
            got[i] += 1
        break
    return got


def greedy_in_images(budget, choose):
    """The budget is shared out over the images by the sums of their scores: one token each, then the rest."""

    def select(st, scores):
        inside = set(free(st))
        keep = max(budget(len(st.tokens)) - (len(st.tokens) - len(inside)), 0)
        parts = [part for part in by_image(st, list(range(len(st.tokens)))) if inside.intersection(part)]
        parts = [[m for m in part if m in inside] for part in parts]
        first = 1 if keep >= len(parts) else 0
        got = shares(keep - first * len(parts), [sum(float(scores[m]) for m in part) for part in parts],
                     [len(part) - first for part in parts])
        chosen = list(protected(st))
        for part, more in zip(parts, got):
            if first + more:
                chosen += choose(st, st.tensors, scores, part, first + more)
        return chosen

    return select


def cosines(x):
    u = unit(x)
    return u @ u.T


def max_min(st, t, scores, members, keep):
    s = cosines(raw(st, t))
    nearest_other = {m: -max(s[m, j] for j in members if j != m) for m in members}
    chosen = [top(nearest_other, members)]
    while len(chosen) < keep:
        left = [m for m in members if m not in chosen]
        chosen.append(top({m: -max(s[m, j] for j in chosen) for m in left}, left))
    return chosen


def mmr(st, t, scores, members, keep):
    s = cosines(raw(st, t))
    chosen = [top(scores, members)]
    while len(chosen) < keep:
        left = [m for m in members if m not in chosen]
        chosen.append(top({m: 0.5 * scores[m] - 0.5 * max(s[m, j] for j in chosen) for m in left}, left))
    return chosen


def cover(gains, factor, demand, members, keep):
    """gains [rows, N]: what each token covers of each row."""
    done, chosen = np.zeros(len(gains)), []
    while len(chosen) < keep:
        left = [m for m in members if m not in chosen]
        value = {m: factor[m] * (demand * np.maximum(gains[:, m] - done, 0)).sum() for m in left}
        chosen.append(top(value, left))
        done = np.maximum(done, gains[:, chosen[-1]])
    return chosen


def scope(st, t, scores, members, keep):
    s = cosines(of_patches(st, t, "vision"))[members]
    return cover(s, scores, np.ones(len(members)), members, keep)


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def mmtok(st, t, scores, members, keep):
    p = np.zeros((TEXT, len(st.tokens)))
    q = np.zeros((len(members), len(st.tokens)))
    v, c = unit(raw(st, t)), unit(of_patches(st, t, "vision"))
    p[:, members] = softmax(unit(t["text"].astype(float)) @ v[members].T / 0.02) / TEXT
    q[:, members] = softmax(c[members] @ c[members].T / 0.2) / len(members)
    rows = np.concatenate([p, 0.5 * q])
    return cover(rows, np.ones(len(st.tokens)), np.ones(len(rows)), members, keep)


def relevance(st, t):
    e, g = unit(of_patches(st, t, "clip")), unit(t["clip_text"].astype(float))
    r = -(e @ g.T).mean(1)
    return np.ones(len(r)) if r.min() == r.max() else (r - r.min() + 1e-6) / (r.max() - r.min())


def dpp(st, t, scores, members, keep):
    kernel = scores[:, None] * cosines(raw(st, t)) * scores
    left, rows, chosen = np.diag(kernel).copy(), [], []
    floor_ = 1e-6 * left[members].max()
    while len(chosen) < keep:
        rest = [m for m in members if m not in chosen]
        j = top(left, rest)
        if left[j] < 10 * floor_:
            raise Unclear
        e = (kernel[j] - sum(row[j] * row for row in rows)) / np.sqrt(left[j])
        rows.append(e)
        left = left - e * e
        chosen.append(j)
    return chosen


def entropy_relevance(st, t):
    e, g = unit(of_patches(st, t, "clip")), unit(t["clip_text"].astype(float))
    w = -(e @ unit(t["clip_tokens"].astype(float)).T)
    each = []
    for prompt in range(PROMPTS):
        own = w  # nine tokens do not go into two parts
        p = softmax(100 * own.T)
        h = -(p * np.log(p + 1e-12)).sum(1)
        keep = max(floor(0.2 * own.shape[1]), 1)
        order = np.argsort(h, kind="stable")
        if h[order[keep]] - h[order[keep - 1]] < MARGIN:
            raise Unclear
        a = np.exp(-(h[order[:keep]] - h[order[0]]) / 0.01)
        each.append(0.5 * -(e @ g[prompt]) + 0.5 * own[:, order[:keep]] @ (a / a.sum()))
    s = np.mean(each, 0)
    s = np.ones(len(s)) if s.min() == s.max() else (s - s.min()) / (s.max() - s.min())
    return smoothed(st, s)


def smoothed(st, s):
    """3 x 3 Gaussian of sigma 1; the border reflects, what is not there is left out."""
    at = {(i, cell): n for n, (i, cell, _) in enumerate(st.tokens)}
    weight, out = [np.exp(-0.5), 1.0, np.exp(-0.5)], np.zeros(len(s))

    def mirror(y, n):
        return 0 if n == 1 else -y if y < 0 else 2 * n - 2 - y if y >= n else y

    for n, (i, cell, _) in enumerate(st.tokens):
        image = st.seq.images[i]
        line, x = divmod(cell, image.cols)
        frame, y = divmod(line, image.rows)
        total = 0.0
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                yy, xx = mirror(y + dy, image.rows), mirror(x + dx, image.cols)
                m = at.get((i, (frame * image.rows + yy) * image.cols + xx))
                if m is not None:
                    out[n] += weight[dy + 1] * weight[dx + 1] * s[m]
                    total += weight[dy + 1] * weight[dx + 1]
        out[n] /= total
    return out


def eadp(st, t, scores, members, keep):
    s = (cosines(raw(st, t)) + 1) / 2
    return cover(s[members], np.ones(len(st.tokens)), scores[members], members, keep)


def tri(alpha, lam):
    def choose(st, t, scores, members, keep):
        s = cosines(raw(st, t))
        chosen = [top(scores, members)]
        while len(chosen) < keep:
            left = [m for m in members if m not in chosen]
            near = {i: max(s[i, j] for j in chosen) for i in left}
            d = {j: 1 - near[j] for j in left}
            c = {j: sum(max(0.0, s[i, j] - near[i]) for i in left) for j in left}
            value = {j: 0.0 for j in left}
            for weight, term in ((1.0, {j: scores[j] for j in left}), (alpha, d), (lam, c)):
                mean = np.mean([term[j] for j in left])
                if mean <= 2e-6:
                    raise Unclear
                for j in left:
                    value[j] += weight * term[j] / mean
            chosen.append(top(value, left))
        return chosen

    return choose


# --- joining ----------------------------------------------------------------------------


def join(rule="mean", measure="cosine", per_image=False, anchor=1.0, beta=0.0):
    """Each dropped token joins the kept one that it is most like; protected ones stand for themselves."""

    def run(st, t, kept):
        x, alone = raw(st, t), set(protected(st))
        u, out = unit(x), {}
        joined = {m: [] for m in kept}
        for n, (i, _, _) in enumerate(st.tokens):
            if n in kept:
                continue
            to = [m for m in kept if m not in alone and (not per_image or st.tokens[m][0] == i)]
            if not to:
                continue
            like = {m: u[n] @ u[m] if measure == "cosine" else -np.linalg.norm(x[n] - x[m]) for m in to}
            joined[top(like, to)].append(n)
        for m, group in joined.items():
            row = x[m]
            if group and rule == "mean":
                row = (anchor * x[m] + x[group].sum(0)) / (anchor + len(group))
            elif group and rule == "add":
                row = x[m] + x[group].mean(0)
            elif group:
                row = beta * x[m] + (1 - beta) * x[group].mean(0)
            out[m] = (row, 1 + len(group))
        return out

    return run


# --- cases ------------------------------------------------------------------------------


def two():
    keep = [c in (0, 9, 20) for c in range(24)]
    return [
        Sequence(4, 80, [Image(2, 6, 6), Image(40, 4, 6, keep=keep)]),
        Sequence(7, 30, [Image(3, 5, 5)]),
    ]


# --- chains ------------------------------------------------------------------------------


class Chain:
    """Parts one after the other: (count of K, kind, own scores, pool)."""

    def __init__(self, budget, parts):
        self.budget, self.parts = budget, parts

    def __call__(self, st, scores):
        chosen, inside = list(protected(st)), free(st)
        st.role, st.pools = {m: 0 for m in chosen}, [set() for _ in self.parts]
        total = max(self.budget(len(st.tokens)) - len(chosen), 0)
        left, rest = list(inside), total
        for p, (amount, kind, own, pool) in enumerate(self.parts):
            k = min(rest, amount(total) if amount else rest)
            s = own(st, st.tensors) if own else scores
            members = best(scores, left, max(k, min(len(left), pool(len(left), k)))) if pool else list(left)
            members = sorted(members)
            st.pools[p] = set(members)
            if kind == "stride":
                took = members[:: len(members) // k][:k] if k else []
            else:
                took = best(s, members, k)
            for m in took:
                st.role[m] = p
                left.remove(m)
            chosen += took
            rest -= k
        return chosen


def join_part(part, rule="mean"):
    """Those of the part's pool that are left join its tokens."""

    def run(st, t, kept):
        x, alone = raw(st, t), set(protected(st))
        u, out = unit(x), {m: (x[m], 1) for m in kept}
        to = [m for m in kept if st.role[m] == part and m not in alone]
        joined = {m: [] for m in to}
        for n in sorted(st.pools[part] - set(kept)):
            if to:
                joined[top({m: u[n] @ u[m] for m in to}, to)].append(n)
        for m, group in joined.items():
            if group:
                row = x[m] + x[group].mean(0) if rule == "add" else x[[m] + group].mean(0)
                out[m] = (row, 1 + len(group))
        return out

    return run


def norms(st, t):
    return np.abs(raw(st, t)).sum(1)


def chain_cases(w):
    third, needs = ratio(1, 3), ("hidden", "cls_attention")
    half_of = lambda k: k // 2
    for batch in (square, two, ragged):
        for name, parts, yaml_parts, merger, run in (
            ("own-scorers", [(half_of, "topk", None, None), (None, "topk", norms, None)],
             "[{share: 1/2, selector: topk}, {selector: {kind: topk, scorer: {kind: norm, norm: l1}}}]", "", None),
            ("first-own", [(half_of, "topk", norms, None), (None, "stride", None, None)],
             "[{share: 1/2, selector: {kind: topk, scorer: {kind: norm}}}, {selector: stride}]",
             "merger: {kind: nearest, into: 1}", join_part(1)),
            ("pool-factor", [(half_of, "topk", None, None), (None, "stride", None, lambda left, k: 2 * k)],
             "[{share: 1/2, selector: topk}, {pool_factor: 2, selector: stride}]",
             "merger: {kind: nearest, rule: add, into: 1}", join_part(1, "add")),
            ("pool-share", [(half_of, "topk", None, None), (None, "topk", norms, lambda left, k: 3 * left // 10 + 1)],
             "[{share: 1/2, selector: topk}, {pool_share: 3/10, selector: {kind: topk, scorer: norm}}]",
             "merger: {kind: nearest, into: 1}", join_part(1)),
            ("pool-count", [(half_of, "topk", None, None), (None, "stride", None, lambda left, k: min(9, left))],
             "[{share: 1/2, selector: topk}, {pool_count: 9, selector: stride}]",
             "merger: {kind: nearest, into: 1}", join_part(1)),
        ):
            asks = name != "first-own"  # for the stage's scores
            case(w, f"chain-{name}-{batch.__name__}", batch,
                 [Stage(yaml("llm:2", "cls-attention" if asks else "", f"{{kind: chain, parts: {yaml_parts}}}", "{ratio: 1/3}",
                             *([merger] if merger else [])), cls if asks else None, Chain(third, parts), run,
                        needs=needs if asks else needs[:1])])


def min_max_cls(st, t):
    return normalised(cls(st, t), "min-max")


def main():
    w = Writer("methods", ["Made by tools/golden/make_method_vectors.py"])
    ninth = ratio(1, 9)
    hidden, cls_needs = ("hidden",), ("cls_attention",)
    methods = {
        "fastervlm": (cls, topk(quarter, per_image=True), cls_needs),
        "divprune": (None, greedy(ratio(98, 1000), max_min), hidden),
        "mmr": (min_max_cls, greedy(quarter, mmr), hidden + cls_needs),
        "scope": (cls, greedy(ninth, scope, per_image=True), cls_needs + ("vision",)),
        "mmtok": (None, greedy(ninth, mmtok), hidden + ("vision", "text")),
        "cdpruner": (relevance, greedy(ninth, dpp), hidden + ("clip", "clip_text")),
        "eadp": (entropy_relevance, greedy_in_images(ninth, eadp), hidden + ("clip", "clip_text", "clip_tokens")),
    }
    for name, (score, select, needs) in methods.items():
        for batch in (square, two, ragged):
            case(w, f"{name}-{batch.__name__}", batch,
                 [Stage(yaml("projector", "", "", ""), score, select, needs=needs)], preset=name)
    # More of each kind than the presets keep.
    half = ratio(1, 2)
    for name, scorer, selector, score, choose, needs in (
        ("diverse", "", "{kind: diverse, feature: raw, start: nearest}", None, max_min, hidden),
        ("mmr-cls", "cls-attention", "{kind: mmr, feature: raw, lambda: 0.5}", cls, mmr, hidden + cls_needs),
        ("dpp", "{kind: relevance, feature: clip, prefer: unlike}", "{kind: dpp, feature: raw}", relevance, dpp,
         hidden + ("clip", "clip_text")),
        ("tri", "cls-attention", "{kind: tri, feature: raw, alpha: 0.5, lambda: 1.0}", cls, tri(0.5, 1.0),
         hidden + cls_needs),
        ("tri-04", "cls-attention", "{kind: tri, feature: raw, alpha: 0.5, lambda: 0.4}", cls, tri(0.5, 0.4),
         hidden + cls_needs),
    ):
        for share, label in ((Fraction(1, 6), "1/6"), (Fraction(1, 3), "1/3")):
            for batch in (square, two, ragged):
                if name == "dpp" and share > Fraction(1, 6):
                    continue  # more than the rows' width: a kernel without rank
                budget = (lambda s: lambda n: nearest(n * s))(share)
                case(w, f"{name}-{batch.__name__}-{label.replace('/', '-')}", batch,
                     [Stage(yaml("llm:1", scorer, selector, f"{{ratio: {label}}}"), score, greedy(budget, choose),
                             needs=needs)])
    for rule in ("mean", "add", "blend"):
        for measure in ("cosine", "euclidean"):
            for scope_ in ("sequence", "image"):
                more = {"mean": ", anchor: 3", "add": "", "blend": ", beta: 0.25"}[rule]
                merger = f"merger: {{kind: nearest, measure: {measure}, rule: {rule}{more}}}"
                for batch in (two, ragged):
                    case(w, f"nearest-{rule}-{measure}-{scope_}-{batch.__name__}", batch,
                         [Stage(yaml("projector", "cls-attention", "topk", f"{{ratio: 1/2, scope: {scope_}}}", merger),
                                 cls, topk(half, per_image=scope_ == "image"),
                                 join(rule, measure, scope_ == "image", 3.0, 0.25), needs=hidden + cls_needs)])
    chain_cases(w)
    case(w, "nearest-all-but-two", square,
         [Stage(yaml("llm:2", "cls-attention", "topk", "{count: 34}", "merger: nearest"), cls, topk(count(34)),
                 join(), needs=hidden + cls_needs)])
    w.write()


if __name__ == "__main__":
    main()
