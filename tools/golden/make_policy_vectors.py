#!/usr/bin/env python3
"""Golden cases of the pruning methods: an independent statement in NumPy.

Written from the method specification (scores, windows, budgets, positions), in
double precision and without any of the library's code. Seeds are searched
until no choice hangs on a score that is nearer than 1e-5 to its neighbour, so
every right implementation keeps the same tokens.

    python3 tools/golden/make_policy_vectors.py   writes tests/golden/policies/
"""

from fractions import Fraction
from math import floor

import numpy as np

from policy_cases import Writer

D, H, G, C, LAYERS = 12, 4, 2, 6, 8
MARGIN = 1e-5


class Unclear(Exception):
    """A choice hangs on scores that are too near to each other."""


# --- batches ------------------------------------------------------------------


class Image:
    def __init__(self, start, rows, cols, frames=1, stride=0, valid=None, keep=None):
        self.start, self.rows, self.cols, self.frames = start, rows, cols, frames
        self.stride = stride or cols
        cells = frames * rows * cols
        self.valid = np.ones(cells, bool) if valid is None else np.asarray(valid, bool)
        self.keep = np.zeros(cells, bool) if keep is None else np.asarray(keep, bool)
        self.has_valid, self.has_keep = valid is not None, keep is not None

    def row(self, cell):
        """Row in the sequence, of cell (frame * rows + row) * cols + col."""
        return self.start + cell // self.cols * self.stride + cell % self.cols


class Sequence:
    def __init__(self, ident, length, images, text=None):
        self.ident, self.length, self.images = ident, length, images
        # the newline that closes a grid belongs to its image, not to the text
        ends = [i.start + i.frames * i.rows * i.stride for i in images]
        self.text = text or (max(ends, default=0), length)
        self.text_given = text


class State:
    """A sequence on its way through the cuts: rows are numbers in the batch."""

    def __init__(self, seq, first, positions):
        self.seq = seq
        self.rows = list(range(seq.length))  # rows of the sequence still there
        self.first = first  # row of the batch where it begins
        self.positions = positions  # [P, rows]
        self.tokens = []  # (image, cell, row): candidates, in order
        self.padding = set()
        for i, image in enumerate(seq.images):
            for cell in range(image.frames * image.rows * image.cols):
                if image.valid[cell]:
                    self.tokens.append((i, cell, image.row(cell)))
                else:
                    self.padding.add(image.row(cell))


# --- budgets --------------------------------------------------------------------


def nearest(x):
    low = floor(x)
    rest = x - low
    return low + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2 == 1))


def shares(total, weights):
    """Largest remainder; ties to the lower index; never above the weight."""
    total_weight = sum(weights)
    if not total_weight:
        return [0] * len(weights)
    exact = [Fraction(total * w, total_weight) for w in weights]
    out = [floor(x) for x in exact]
    order = sorted(range(len(weights)), key=lambda i: (-(exact[i] - out[i]), i))
    for i in order[: total - sum(out)]:
        out[i] += 1
    return out


# --- scores -----------------------------------------------------------------------


def softmax_rows(q, k, rows):
    """[rows, H, L] causal probabilities over all keys the row can see."""
    group = H // G
    out = np.zeros((len(rows), H, len(k)))
    for i, r in enumerate(rows):
        for h in range(H):
            z = k[: r + 1, h // group] @ q[r, h] / np.sqrt(C)
            e = np.exp(z - z.max())
            out[i, h, : r + 1] = e / e.sum()
    return out


def logit_rows(q, k, rows):
    out = np.zeros((len(rows), H, len(k)))
    for i, r in enumerate(rows):
        for h in range(H):
            out[i, h, : r + 1] = k[: r + 1, h // (H // G)] @ q[r, h] / np.sqrt(C)
    return out


def attention(st, t, query="last", reduce=None, logits=False):
    """Mean over heads of what the query rows give to each candidate."""
    now = st.rows
    where = {row: i for i, row in enumerate(now)}
    tokens = [where[row] for _, _, row in st.tokens]
    images = np.array([i for i, _, _ in st.tokens])
    q, k = t["q"][st.index], t["k"][st.index]

    def reduced(rows, to):
        p = (logit_rows if logits else softmax_rows)(q, k, rows).mean(1)[:, to]
        seen = (np.asarray(rows)[:, None] >= np.asarray(to)[None]).sum(0)
        if reduce == "max":
            return p.max(0)
        if reduce == "sum":
            return p.sum(0)
        if reduce == "mean":
            return p.mean(0)
        if reduce == "last":
            return p[-1]
        return p.sum(0) / np.maximum(seen, 1)

    if query == "last":
        return reduced([len(now) - 1], tokens)
    if query == "last-visual":
        return reduced([tokens[-1]], tokens)
    if query == "last-visual-per-image":
        out = np.zeros(len(tokens))
        for i in np.unique(images):
            at = np.flatnonzero(images == i)
            own = [tokens[j] for j in at]
            out[at] = reduced([own[-1]], own)
        return out
    if query == "text":
        rows = [where[r] for r in now if st.seq.text[0] <= r < st.seq.text[1]]
        return reduced(rows, tokens)
    return reduced(list(range(len(now))), tokens)


def features(st, t, feature):
    x = t["hidden"][st.index].astype(float)
    if feature == "final-norm":
        x = x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-5) * t["norm_weight"]
    return x


def candidates(st):
    where = {row: i for i, row in enumerate(st.rows)}
    return [where[row] for _, _, row in st.tokens]


def norm(st, t, norm="l1", feature="raw"):
    x = features(st, t, feature)[candidates(st)]
    return np.abs(x).sum(1) if norm == "l1" else np.sqrt((x * x).sum(1))


def unit(x):
    n = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.where(n > 0, x / np.where(n > 0, n, 1), 0)


def cosine(st, t, reference="last", feature="raw"):
    x = features(st, t, feature)
    v = x[candidates(st)]
    if reference == "last":
        return unit(v) @ unit(x[-1])
    if reference == "mean-visual":
        return unit(v) @ unit(v.mean(0))
    pairs = unit(v) @ unit(v).T
    n = len(v)
    if n == 1:
        return np.zeros(1)
    others = ~np.eye(n, dtype=bool)
    if reference == "max-other":
        return np.where(others, pairs, -np.inf).max(1)
    return np.where(others, pairs, 0).sum(1) / (n - 1)


def normalised(z, how):
    if how == "min-max":
        low, high = z.min(), z.max()
        return np.zeros(len(z)) if low == high else (z - low) / (high - low)
    if how == "softmax":
        e = np.exp(z - z.max())
        return e / e.sum()
    if how == "rank":
        rank = np.empty(len(z))
        rank[np.lexsort((np.arange(len(z)), -z))] = np.arange(len(z))
        return (len(z) - 1 - rank) / max(len(z) - 1, 1)
    if how == "sum":
        return z / z.sum() if z.sum() else np.zeros(len(z))
    return z


def blend(terms):
    def score(st, t):
        out = 0.0
        for weight, how, complement, term in terms:
            z = normalised(term(st, t), how)
            out = out + weight * (1 - z if complement else z)
        return out

    return score


# --- selection -----------------------------------------------------------------------


def best(scores, members, keep, lowest=False):
    """The keep best of members: score, then the lower one."""
    sign = 1 if lowest else -1
    order = sorted(members, key=lambda m: (sign * scores[m], m))
    if 0 < keep < len(order):
        a, b = scores[order[keep - 1]], scores[order[keep]]
        if abs(a - b) < MARGIN * max(1e-3, abs(a), abs(b)):
            raise Unclear
    return order[:keep]


def free(st):
    return [n for n, (i, cell, _) in enumerate(st.tokens) if not st.seq.images[i].keep[cell]]


def by_image(st, members):
    out = {}
    for m in members:
        out.setdefault(st.tokens[m][0], []).append(m)
    return list(out.values())


def protected(st):
    inside = set(free(st))
    return [n for n in range(len(st.tokens)) if n not in inside]


def topk(count, lowest=False, per_image=False):
    """count: tokens there -> tokens kept."""

    def select(st, scores):
        chosen = protected(st)
        everything = list(range(len(st.tokens)))
        for part in by_image(st, everything) if per_image else [everything]:
            inside = [m for m in part if m in set(free(st))]
            keep = max(count(len(part)) - (len(part) - len(inside)), 0)
            chosen += best(scores, inside, keep, lowest)
        return chosen

    return select


def windows_of(st, members, shape, grid):
    """Members by window, windows row-major; `grid` = windows (lines, columns)
    of the grid's own shape, else windows of `shape` cells."""
    out = {}
    for m in members:
        i, cell, _ = st.tokens[m]
        image = st.seq.images[i]
        line, x = divmod(cell, image.cols)
        frame, y = divmod(line, image.rows)
        if grid:
            wy = max(w for w in range(grid[0]) if w * image.rows // grid[0] <= y)
            wx = max(w for w in range(grid[1]) if w * image.cols // grid[1] <= x)
        else:
            wy, wx = y // shape[0], x // shape[1]
        out.setdefault((i, frame, wy, wx), []).append(m)
    return [out[key] for key in sorted(out)]


def window(shape=None, grid=None, quota=1, budget=None):
    """quota tokens of each window, or a budget shared out by area."""

    def select(st, scores):
        chosen = protected(st)
        groups = windows_of(st, free(st), shape, grid)
        sizes = [len(g) for g in groups]
        if budget is None:
            keeps = [min(quota, n) for n in sizes]
        else:
            total = max(budget(len(st.tokens)) - len(chosen), 0)
            each, rest = divmod(total, len(groups))
            even = rest == 0 and each <= min(sizes)
            keeps = [each] * len(groups) if even else shares(total, sizes)
        for g, keep in zip(groups, keeps):
            chosen += best(scores, g, keep)
        return chosen

    select.windows = lambda st: windows_of(st, free(st), shape, grid)
    return select


def window_rank(shape, count):
    def select(st, scores):
        chosen = protected(st)
        groups = windows_of(st, free(st), shape, None)
        mean = [np.mean([scores[m] for m in g]) for g in groups]
        left = max(count(len(st.tokens)) - len(chosen), 0)
        order = best(mean, range(len(groups)), len(groups))
        for a, b in zip(order, order[1:]):
            if abs(mean[a] - mean[b]) < MARGIN * abs(mean[a]):
                raise Unclear
        for g in order:
            chosen += sorted(groups[g])[:left]
            left -= min(left, len(groups[g]))
        return chosen

    return select


# --- random: Philox 4x32-10 ---------------------------------------------------------------


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [
            (p1 >> 32) ^ c[1] ^ k[0],
            p1 & 0xFFFFFFFF,
            (p0 >> 32) ^ c[3] ^ k[1],
            p0 & 0xFFFFFFFF,
        ]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def draw(members, keep, group, ident, salt, seed):
    members = list(members)
    n = len(members)
    for i in range(keep):
        key = (seed & 0xFFFFFFFF, seed >> 32)
        words = philox((i, group, ident, salt), key)
        u = words[0] | words[1] << 32
        j = i + (u * (n - i) >> 64)
        members[i], members[j] = members[j], members[i]
    return members[:keep]


def random(count, salt, seed=0, shape=None):
    def select(st, scores):
        groups = [free(st)] if shape is None else windows_of(st, free(st), shape, None)
        sizes = [len(g) for g in groups]
        total = max(count(len(st.tokens)) - len(protected(st)), 0)
        each, rest = divmod(total, len(groups))
        even = rest == 0 and each <= min(sizes)
        keeps = [each] * len(groups) if even else shares(total, sizes)
        chosen = protected(st)
        for number, (g, keep) in enumerate(zip(groups, keeps)):
            chosen += draw(g, keep, number, st.seq.ident, salt, seed)
        return chosen

    return select


# --- merging ------------------------------------------------------------------------------------


def merge(kind, select, overlap=None):
    """The new row and size of each kept token: of its window, or, with
    overlap = (lines, columns), of the bin floor(i h / h') .. ceil(...)."""

    def run(st, t, kept):
        x = t["hidden"][st.index].astype(float)
        rows = candidates(st)
        out = {}
        for g in select.windows(st):
            members = g
            if overlap:
                i, cell, _ = st.tokens[g[0]]
                image = st.seq.images[i]
                y, bx = divmod(cell, image.cols)
                span = []
                for at, cells, bins in ((y, image.rows, overlap[0]), (bx, image.cols, overlap[1])):
                    b = max(w for w in range(bins) if w * cells // bins <= at)
                    span.append((b * cells // bins, -(-(b + 1) * cells // bins)))
                members = [
                    m
                    for m in free(st)
                    if st.tokens[m][0] == i
                    and span[0][0] <= st.tokens[m][1] // image.cols < span[0][1]
                    and span[1][0] <= st.tokens[m][1] % image.cols < span[1][1]
                ]
            pooled = x[[rows[m] for m in members]]
            pooled = pooled.mean(0) if kind == "average" else pooled.max(0)
            for m in g:
                if m in kept:
                    out[m] = (pooled, len(members))
        return out

    return run


# --- one cut ----------------------------------------------------------------------------------------


class Stage:
    def __init__(self, yaml, score, select, merger=None, repack=False, needs=()):
        self.yaml, self.score, self.select = yaml, score, select
        self.merger, self.repack, self.needs = merger, repack, needs


def cut(w, stage, number, states, t, query_rows):
    """Prune every sequence; write inputs and what has to come out."""
    rows_before = sum(len(st.rows) for st in states)
    w.line("point", number)
    for name in stage.needs:
        value = t[name]
        if name == "q" and query_rows is not None:
            value = value[query_rows]
        w.tensor("in", name, value)
    indices, positions, offsets, scores = [], [], [0], []
    merged, merged_at, sizes = [], [], []
    first = candidate = 0
    for st in states:
        st.tensors, st.first_candidate = t, candidate
        candidate += len(st.tokens)
        kept, s = [], np.zeros(0)
        if st.tokens:
            if stage.score:
                s = stage.score(st, t)
            kept = sorted(stage.select(st, s))
        scores.append(s)
        new = stage.merger(st, t, set(kept)) if stage.merger and kept else {}
        here = candidates(st)
        kept_rows = {here[m] for m in kept}
        gone = {i for i, row in enumerate(st.rows) if row in st.padding}
        stay = [
            i for i in range(len(st.rows))
            if i not in gone and (i in kept_rows or i not in set(here))
        ]
        row_of = {i: n for n, i in enumerate(stay)}
        base = offsets[-1]
        indices += [first + i for i in stay]
        size = np.ones(len(stay))
        for m in kept:
            at = row_of[here[m]]
            if stage.merger:
                merged_at.append(base + at)
                row, n = new.get(m, (t["hidden"][st.index][here[m]].astype(float), 1))
                merged.append(row)
                size[at] = n
        sizes.append(size)
        first += len(st.rows)
        old = st.positions[:, stay]
        st.positions = np.tile(np.arange(len(stay)), (len(old), 1)) if stage.repack else old
        positions.append(st.positions)
        st.rows = [st.rows[i] for i in stay]
        st.tokens = [st.tokens[m] for m in kept]
        st.padding = set()
        offsets.append(base + len(stay))
    if len(indices) == rows_before:
        raise RuntimeError("this cut would be passed over")
    indices = np.array(indices, np.int32)
    w.tensor("out", "indices", indices)
    w.tensor("out", "offsets", np.array(offsets, np.int32))
    w.tensor("out", "positions", np.concatenate(positions, 1).astype(np.int32))
    w.tensor("out", "sizes", np.concatenate(sizes).astype(np.float32))
    if stage.score:
        w.tensor("out", "scores", np.concatenate(scores).astype(np.float32))
    if stage.merger:
        w.tensor("out", "merged", np.array(merged, np.float32).reshape(-1, D))
        w.tensor("out", "merged_at", np.array(merged_at, np.int32))
    for name in ("hidden", "q", "k", "cls_attention", "scores"):
        if name in ("hidden", "q", "k"):
            t[name] = t[name][indices]
    for n, at in enumerate(merged_at):
        t["hidden"][at] = np.array(merged[n], np.float32)
    for st, a, b in zip(states, offsets, offsets[1:]):
        st.index = slice(a, b)


# --- cases ---------------------------------------------------------------------------------------------


def fill(rng, rows, candidates_total):
    t = {
        "hidden": rng.standard_normal((rows, D)).astype(np.float32),
        "q": rng.standard_normal((rows, H, C)).astype(np.float32),
        "k": rng.standard_normal((rows, G, C)).astype(np.float32),
        "norm_weight": rng.uniform(0.5, 2.0, D).astype(np.float32),
        "cls_attention": rng.random((3, candidates_total)).astype(np.float32),
        "scores": rng.standard_normal(candidates_total).astype(np.float32),
    }
    return t


def attempt(name, sequences, stages, seed, positions=None, preset=None, inputs=fill, widths=None):
    w = Part()
    rng = np.random.default_rng(seed)
    rows = sum(s.length for s in sequences)
    w.line("case", name)
    if preset:
        w.line("preset", preset)
    else:
        for stage in stages:
            for line in stage.yaml:
                w.line("|", line)
    w.line("model", "f32", LAYERS, H, G, C, D)
    if widths:
        w.line("widths", *widths)
    total = sum(int(i.valid.sum()) for s in sequences for i in s.images)
    states, first = [], 0
    for s in sequences:
        w.line("sequence", s.ident, s.length, *(s.text_given or (0, 0)))
        own = np.arange(s.length)[None]
        if positions is not None:
            own = positions[:, first : first + s.length]
        st = State(s, first, own)
        st.index = slice(first, first + s.length)
        states.append(st)
        first += s.length
        for i in s.images:
            w.line(
                "image", i.start, i.frames, i.rows, i.cols, i.stride,
                w.mask(i.valid if i.has_valid else None),
                w.mask(i.keep if i.has_keep else None),
            )
    if positions is not None:
        w.line("positions", len(positions), w.store(positions.astype(np.int32)))
    t = inputs(rng, rows, total)
    for number, stage in enumerate(stages):
        cut(w, stage, number, states, t, None)
    top = [int(st.positions.max()) + 1 for st in states]
    before, at = [], 0
    for s in sequences:
        own = np.arange(s.length)[None] if positions is None else positions[:, at : at + s.length]
        before.append(int(own.max()) + 1)
        at += s.length
    last = stages[-1]
    boundary = int(last.yaml[0].split(":")[2]) if "llm" in last.yaml[0] else 0
    for b in range(len(sequences)):
        if len(stages) == 1:
            w.line("next", b, boundary, top[b] if last.repack else before[b])
            if boundary:
                w.line("next", b, boundary - 1, before[b])
    return w


class Part:
    """The lines of a case, told to a writer once it is clear."""

    def __init__(self):
        self.calls = []

    def line(self, *words):
        self.calls.append(("line", words))

    def tensor(self, role, name, array):
        self.calls.append(("tensor", (role, name, np.array(array))))

    def store(self, array):
        return Part.target.store(array)

    def mask(self, mask):
        return Part.target.mask(mask)


def case(w, name, sequences, stages, **more):
    Part.target = w
    for seed in range(1000):
        try:
            part = attempt(name, sequences(), stages, seed + 7919 * len(name), **more)
        except Unclear:
            continue
        for what, args in part.calls:
            getattr(w, what)(*args)
        return
    raise RuntimeError(f"{name}: no seed is clear")


def quarter(n):
    return nearest(Fraction(n, 4))


def count(k):
    return lambda n: k


def ratio(a, b):
    return lambda n: nearest(Fraction(a * n, b))


def yaml(at, scorer, selector, budget, *more):
    lines = [f"  - at: {at}"]
    lines += [f"    {m}" for m in more]
    if scorer:
        lines.append(f"    scorer: {scorer}")
    lines.append(f"    selector: {selector}")
    if budget:
        lines.append(f"    budget: {budget}")
    return lines


def square():
    return [Sequence(3, 47, [Image(4, 6, 6)])]


def large():
    return [Sequence(11, 600, [Image(9, 24, 24)])]


def ragged():
    """Newlines, padding, protected tokens, two images, none, two frames."""
    valid = [x < 5 or y < 3 for y in range(5) for x in range(7)]
    keep = [c in (3, 17) for c in range(16)]
    return [
        Sequence(5, 40, [Image(2, 4, 4, keep=keep)]),
        Sequence(6, 75, [Image(1, 4, 4), Image(21, 5, 7, stride=8, valid=valid)]),
        Sequence(9, 4, []),
        Sequence(2, 33, [Image(6, 3, 4, frames=2)]),
    ]


ATT = "{kind: attention, query: last}"
QK = ("q", "k")


def preset_cases(w):
    one = window((2, 2))
    presets = {
        "fastv": Stage(yaml("llm:2", ATT, "topk", ""), attention, topk(quarter), needs=QK),
        "fastv-reverse": Stage(
            yaml("llm:2", ATT, "", ""), attention, topk(quarter, lowest=True), needs=QK),
        "fastv-mean": Stage(
            yaml("llm:2", ATT, "", ""), lambda st, t: attention(st, t, "all"),
            topk(quarter), needs=QK),
        "fastv-vis": Stage(
            yaml("llm:2", ATT, "", ""), lambda st, t: attention(st, t, "last-visual"),
            topk(quarter), needs=QK),
        "fastv-window": Stage(yaml("llm:2", ATT, "", ""), attention, one, needs=QK),
        "fastv-window-128": Stage(
            yaml("llm:2", ATT, "", ""), attention, window((3, 3), quota=2), needs=QK),
        "fastv-window-rank": Stage(
            yaml("llm:2", ATT, "", ""), attention, window_rank((2, 2), quarter), needs=QK),
        "pooling": Stage(yaml("llm:2", "", "", ""), norm, one, needs=("hidden",)),
        "pooling-avg": Stage(
            yaml("llm:2", "", "", ""), norm, one, merge("average", one), needs=("hidden",)),
        "pooling-max": Stage(
            yaml("llm:2", "", "", ""), norm, one, merge("max", one), needs=("hidden",)),
        "random": Stage(yaml("llm:2", "", "", ""), None, random(quarter, 2)),
        "random-stratified": Stage(
            yaml("llm:2", "", "", ""), None, random(quarter, 2, shape=(2, 2))),
        "alpha-blend": Stage(
            yaml("llm:2", "", "", ""),
            blend([(0.5, "min-max", False, attention), (0.5, "min-max", True, cosine)]),
            topk(quarter), needs=QK + ("hidden",)),
    }
    for name, stage in presets.items():
        case(w, f"{name}-6x6", square, [stage], preset=name)
    for name in ("fastv", "fastv-window", "fastv-window-128", "pooling-avg", "random",
                 "random-stratified", "fastv-window-rank"):
        case(w, f"{name}-24x24", large, [presets[name]], preset=name)
    for name in ("fastv", "fastv-reverse", "fastv-mean", "fastv-vis", "random", "alpha-blend"):
        case(w, f"{name}-ragged", ragged, [presets[name]], preset=name)


def attention_cases(w):
    for query in ("last-visual-per-image", "text", "all"):
        for reduce in ("mean", "mean-visible", "sum", "max", "last"):
            case(
                w, f"attention-{query}-{reduce}", ragged,
                [Stage(
                    yaml("llm:3", f"{{kind: attention, query: {query}, reduce: {reduce}}}",
                         "topk", "{ratio: 1/3}"),
                    lambda st, t, q=query, r=reduce: attention(st, t, q, r),
                    topk(ratio(1, 3)), needs=QK)])
    case(
        w, "attention-text-given", lambda: [Sequence(3, 60, [Image(4, 6, 6)], text=(45, 52))],
        [Stage(
            yaml("llm:3", "{kind: attention, query: text}", "topk", "{count: 10}"),
            lambda st, t: attention(st, t, "text"), topk(count(10)), needs=QK)])
    case(
        w, "attention-logits", square,
        [Stage(
            yaml("llm:2", "{kind: attention, query: last, logits: true}", "topk", "{count: 10}"),
            lambda st, t: attention(st, t, logits=True), topk(count(10)), needs=QK)])


def feature_cases(w):
    for kind, score in (("norm, norm: l1", norm), ("norm, norm: l2", norm)):
        for feature in ("raw", "final-norm"):
            need = ("hidden",) + (("norm_weight",) if feature != "raw" else ())
            which = kind[-2:]
            case(
                w, f"norm-{which}-{feature}", ragged,
                [Stage(
                    yaml("projector", f"{{kind: {kind}, feature: {feature}}}", "topk",
                         "{ratio: 1/3}"),
                    lambda st, t, n=which, f=feature: norm(st, t, n, f),
                    topk(ratio(1, 3)), needs=need)])
    for reference in ("last", "mean-visual", "max-other", "mean-other"):
        for feature in ("raw", "final-norm"):
            need = ("hidden",) + (("norm_weight",) if feature != "raw" else ())
            case(
                w, f"cosine-{reference}-{feature}", ragged,
                [Stage(
                    yaml("llm:0", f"{{kind: cosine, reference: {reference}, feature: {feature}}}",
                         "{kind: topk, order: lowest}", "{ratio: 1/3}"),
                    lambda st, t, r=reference, f=feature: cosine(st, t, r, f),
                    topk(ratio(1, 3), lowest=True), needs=need)])
    case(
        w, "given-cls-attention", square,
        [Stage(
            yaml("projector", "cls-attention", "topk", "{ratio: 1/3}"),
            lambda st, t: t["cls_attention"].astype(float).mean(0),
            topk(ratio(1, 3)), needs=("cls_attention",))])
    case(
        w, "given-external", square,
        [Stage(
            yaml("projector", "external", "topk", "{ratio: 1/3}"),
            lambda st, t: t["scores"].astype(float), topk(ratio(1, 3)), needs=("scores",))])


def blend_cases(w):
    for how in ("none", "min-max", "softmax", "rank", "sum"):
        lines = [
            "  - at: llm:2",
            "    scorer:",
            "      kind: blend",
            "      terms:",
            f"        - {{weight: 0.75, normalise: {how}, scorer: attention}}",
            f"        - {{weight: -0.5, normalise: {how}, complement: true,"
            " scorer: {kind: norm, norm: l2}}",
            f"        - {{weight: 0.25, normalise: {how},"
            " scorer: {kind: cosine, reference: mean-other}}",
            "    selector: topk",
            "    budget: {ratio: 2/5}",
        ]
        score = blend([
            (0.75, how, False, attention),
            (-0.5, how, True, lambda st, t: norm(st, t, "l2")),
            (0.25, how, False, lambda st, t: cosine(st, t, "mean-other"))])
        case(w, f"blend-{how}", ragged,
             [Stage(lines, score, topk(ratio(2, 5)), needs=QK + ("hidden",))])


def window_cases(w):
    one = window(grid=(8, 16))
    case(
        w, "pooling-avg-128", large,
        [Stage(
            yaml("llm:2", "{kind: norm, norm: l1}", "window", "{count: 128}",
                 "merger: {kind: window-average, adaptive_overlap: true}"),
            norm, one, merge("average", one, overlap=(8, 16)), needs=("hidden",))])
    case(
        w, "pooling-max-128-disjoint", large,
        [Stage(
            yaml("llm:2", "{kind: norm, norm: l1}", "window", "{count: 128}",
                 "merger: {kind: window-max}"),
            norm, one, merge("max", one), needs=("hidden",))])
    case(
        w, "window-64", large,
        [Stage(yaml("llm:2", ATT, "window", "{count: 64}"), attention, window((3, 3)), needs=QK)])
    case(
        w, "window-border-quota", ragged,
        [Stage(
            yaml("llm:2", ATT, "{kind: window, window: [2, 3], quota: 2}", ""),
            attention, window((2, 3), quota=2), needs=QK)])
    case(
        w, "window-border-budget", ragged,
        [Stage(
            yaml("llm:2", ATT, "{kind: window, window: [2, 3]}", "{ratio: 2/5}"),
            attention, window((2, 3), budget=ratio(2, 5)), needs=QK)])
    case(
        w, "window-rank-border", ragged,
        [Stage(
            yaml("llm:2", ATT, "{kind: window-rank, window: [2, 3]}", "{ratio: 2/5}"),
            attention, window_rank((2, 3), ratio(2, 5)), needs=QK)])
    case(
        w, "random-seed", ragged,
        [Stage(
            yaml("llm:5", "", "{kind: random, seed: 81985529216486895}", "{ratio: 2/5}"),
            None, random(ratio(2, 5), 5, 81985529216486895))])
    case(
        w, "random-windows", ragged,
        [Stage(
            yaml("projector", "", "{kind: random, stratified: true, window: [2, 3], seed: 1}",
                 "{ratio: 2/5}"),
            None, random(ratio(2, 5), 0, 1, (2, 3)))])


def stage_cases(w):
    case(
        w, "scope-image", ragged,
        [Stage(
            yaml("llm:2", ATT, "topk", "{ratio: 1/3, scope: image}"),
            attention, topk(ratio(1, 3), per_image=True), needs=QK)])
    case(
        w, "repack", ragged,
        [Stage(
            yaml("llm:2", ATT, "topk", "{ratio: 1/3}", "positions: repack"),
            attention, topk(ratio(1, 3)), repack=True, needs=QK)])
    positions = np.stack([np.arange(47) // 7, np.arange(47) * 2 % 31, np.arange(47)])
    case(
        w, "three-position-rows", square,
        [Stage(yaml("llm:2", ATT, "topk", "{ratio: 1/3}"), attention, topk(ratio(1, 3)), needs=QK)],
        positions=positions)
    half = ratio(1, 2)
    case(
        w, "two-stages", ragged,
        [
            Stage(yaml("llm:2", ATT, "topk", "{ratio: 1/2}"), attention, topk(half), needs=QK),
            Stage(
                yaml("llm:4", "{kind: attention, query: text}", "topk", "{ratio: 1/2}"),
                lambda st, t: attention(st, t, "text"), topk(half), needs=QK),
        ])
    one = window((2, 2))
    case(
        w, "pool-then-attend", square,
        [
            Stage(
                yaml("projector", "{kind: norm, norm: l1}",
                     "{kind: window, window: [2, 2], quota: 1}", "",
                     "merger: window-average"),
                norm, one, merge("average", one), needs=("hidden",)),
            Stage(
                yaml("llm:3", ATT, "topk", "{count: 4}", "positions: repack"),
                attention, topk(count(4)), repack=True, needs=QK),
        ])


def main():
    w = Writer("policies", ["Made by tools/golden/make_policy_vectors.py"])
    preset_cases(w)
    attention_cases(w)
    feature_cases(w)
    blend_cases(w)
    window_cases(w)
    stage_cases(w)
    w.write()


if __name__ == "__main__":
    main()
