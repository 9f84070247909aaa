#!/usr/bin/env python3
"""Golden vectors for the op kinds: an independent statement in NumPy.

Written from the comments of include/tokenprune/sys/op.h alone, in double
precision, vectorised where the C kernels loop. Fixed seed: the same files
come out each time.

    python3 tools/golden/make_op_vectors.py     writes tests/golden/ops/

vectors.txt, a line each:
    # comment
    case <op> <name> <status>     what the run has to answer: OK or DATA
    params <hex>                  the bytes of the params struct; - = NULL
    in <dtype> <shape> <offset>   an argument; its bytes are in vectors.bin
    out <dtype> <shape> <offset>  an output; these are the expected bytes
    zero <dtype> <shape> <offset> an output that holds zeros before the run
    none                          an argument that is left out
Arguments come in the order of the op. A shape is 3x4; little endian, row
major, no gaps. Outputs of a refused run are not compared.
"""

import pathlib
import struct
import sys

import numpy as np

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "ops"
SEED = 20240229
rng = np.random.default_rng(SEED)
nan, inf = float("nan"), float("inf")


# --- dtypes -------------------------------------------------------------------


def bf16_bits(x):
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    up = (bits >> 16) & 1
    out = ((bits + 0x7FFF + up) >> 16).astype(np.uint16)
    quiet = ((bits >> 16) | 0x40).astype(np.uint16)
    return np.where(np.isnan(np.asarray(x, np.float32)), quiet, out)


def bf16_value(bits):
    return (np.asarray(bits, np.uint32) << 16).view(np.float32)


def rnd(x, dtype):
    """x as a number that fits in dtype, in float32."""
    with np.errstate(over="ignore"):
        x = np.asarray(x, np.float64).astype(np.float32)
        if dtype == "f16":
            return x.astype(np.float16).astype(np.float32)
    return bf16_value(bf16_bits(x)) if dtype == "bf16" else x


def stored(x, dtype):
    with np.errstate(over="ignore"):
        if dtype == "f32":
            return np.asarray(x, np.float32)
        if dtype == "f16":
            return np.asarray(x, np.float32).astype(np.float16)
    return bf16_bits(x) if dtype == "bf16" else np.asarray(x, np.int32)


def normal(*shape, dtype="f32"):
    return rnd(rng.standard_normal(shape), dtype)


# --- writing --------------------------------------------------------------------


class Writer:
    def __init__(self):
        self.lines, self.data = [], bytearray()

    def case(self, op, name, params=None, status="OK"):
        self.lines.append(f"case {op} {name} {status}")
        # Every params struct begins with its size.
        raw = None if params is None else struct.pack("<I", len(params) + 4) + params
        self.lines.append("params " + (raw.hex() if raw else "-"))

    def arg(self, role, dtype, values):
        values = stored(values, dtype)
        shape = "x".join(str(n) for n in values.shape)
        self.data += b"\0" * (-len(self.data) % 8)
        self.lines.append(f"{role} {dtype} {shape} {len(self.data)}")
        self.data += np.ascontiguousarray(values).tobytes()

    def ins(self, *pairs):
        for dtype, values in pairs:
            if dtype is None:
                self.lines.append("none")
            else:
                self.arg("in", dtype, values)

    def save(self):
        OUT.mkdir(parents=True, exist_ok=True)
        head = [
            "# Made by tools/golden/make_op_vectors.py; do not edit.",
            f"# seed {SEED}, NumPy {np.__version__}, Python "
            f"{sys.version_info.major}.{sys.version_info.minor}",
        ]
        (OUT / "vectors.txt").write_text("\n".join(head + self.lines) + "\n")
        (OUT / "vectors.bin").write_bytes(bytes(self.data))
        print(f"{len(self.lines)} lines, {len(self.data)} bytes in {OUT}")


w = Writer()
NONE = (None, None)


def offsets(sizes):
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)


# --- scores ---------------------------------------------------------------------

CAUSAL, HALF, LOGITS = 1, 2, 4
REDUCES = {0: "default", 1: "last", 2: "mean", 3: "visible", 4: "sum", 5: "max"}


def reduce_rows(a, visible, how):
    """a, visible: [rows, n]; -> [n]"""
    rows, n = a.shape
    out = np.zeros(n)
    for j in range(n):
        use = slice(rows - 1, rows) if how in (0, 1) else slice(0, rows)
        seen = a[use, j][visible[use, j]]
        if seen.size == 0:
            continue
        total = seen.sum()
        out[j] = {2: total / rows, 3: total / seen.size, 4: total, 5: seen.max()}.get(
            how, total
        )
    return out


def head_means(q, k, positions, flags, scale, dtype, lse=None):
    """q [rows, H, C], k [L, G, C]: [rows, L] and which of them are seen"""
    rows, heads, _ = q.shape
    keys = np.repeat(k, heads // k.shape[1], axis=1) if k.size else k
    s = scale * np.einsum("qhc,lhc->qhl", q.astype(np.float64), keys.astype(np.float64))
    visible = np.ones((rows, k.shape[0]), bool)
    if flags & CAUSAL:
        visible = np.arange(k.shape[0])[None, :] <= positions[:, None]
    if flags & LOGITS:
        p = s
    else:
        masked = np.where(visible[:, None, :], s, -np.inf)
        if lse is None:
            top = masked.max(axis=2, keepdims=True)
            lse = (top + np.log(np.exp(masked - top).sum(axis=2, keepdims=True)))[..., 0]
        p = np.exp(masked - lse[..., None])
    if flags & HALF:
        p = rnd(p, dtype).astype(np.float64)
    a = p.mean(axis=1)
    if flags & HALF:
        a = rnd(a, dtype).astype(np.float64)
    return a, visible


def scores_of_sequence(q, k, positions, flags, scale, dtype, how, cand, lse=None):
    return reduce_rows(*head_means(q, k, positions, flags, scale, dtype, lse), how)[cand]


def attention_scores(name, sizes, rows, heads, dtype, flags, how, scale=0.0,
                     layout="packed", give_lse=False):
    h, g, c = heads
    b = len(sizes)
    q = [normal(r, h, c, dtype=dtype) for r in rows]
    k = [normal(n, g, c, dtype=dtype) for n in sizes]
    pos = [np.arange(n - r, n) for n, r in zip(sizes, rows)]
    cand = [np.arange(1, n, 2) if i % 2 else np.arange(n)[::-1] for i, n in enumerate(sizes)]
    lse = [rng.normal(3.0, 0.1, (r, h)).astype(np.float32) for r in rows]
    factor = scale if scale else 1.0 / np.sqrt(c)
    want = [
        scores_of_sequence(q[i], k[i], pos[i], flags, factor, dtype, how, cand[i],
                           lse[i].astype(np.float64) if give_lse else None)
        if rows[i] else np.zeros(len(cand[i]))
        for i in range(b)
    ]
    table, keys = NONE, np.concatenate(k)
    if layout == "block":
        keys = np.full((b, max(sizes) + 1, g, c), nan, np.float32)
        for i in range(b):
            keys[i, : sizes[i]] = k[i]
    if layout == "paged":
        page = 4
        width = -(-max(sizes) // page)
        numbers = rng.permutation(b * width + 1)[: b * width].reshape(b, width)
        keys = np.full((b * width + 1, page, g, c), nan, np.float32)
        for i in range(b):
            for j in range(sizes[i]):
                keys[numbers[i, j // page], j % page] = k[i][j]
        table = ("i32", numbers)
    w.case("attention_scores", name, struct.pack("<Iif", flags, how, scale))
    w.ins((dtype, np.concatenate(q)), (dtype, keys),
          ("f32", np.concatenate(lse)) if give_lse else NONE, table,
          ("i32", offsets(rows)), ("i32", np.concatenate(pos)), ("i32", offsets(sizes)),
          ("i32", offsets([len(x) for x in cand])), ("i32", np.concatenate(cand)))
    w.arg("out", "f32", np.concatenate(want))


def make_attention_scores():
    for how, word in REDUCES.items():
        attention_scores(f"causal_{word}", [9, 17, 1], [3, 5, 1], (4, 2, 8), "f32", CAUSAL, how)
    for dtype in ("f16", "bf16"):
        attention_scores(f"packed_{dtype}", [33], [2], (6, 2, 16), dtype, CAUSAL, 2)
        attention_scores(f"emulate_{dtype}", [33], [1], (8, 8, 16), dtype, CAUSAL | HALF, 1)
    attention_scores("bidirectional_block", [5, 12, 3], [1, 1, 1], (2, 1, 4), "f32", 0, 1, layout="block")
    attention_scores("paged_lse", [13, 4, 9], [2, 0, 1], (4, 4, 8), "f32", CAUSAL, 4,
                     layout="paged", give_lse=True)
    attention_scores("logits_paged", [13, 6], [2, 3], (4, 1, 8), "bf16", CAUSAL | LOGITS, 3, 0.5, "paged")
    attention_scores("one_image", [620], [1], (4, 4, 32), "f32", CAUSAL, 1)


def make_attention_rank():
    own = np.random.default_rng(1818)
    for name, dtype, flags, tolerance, sizes, rows in (
            ("bidirectional", "f32", 0, 0.0, [40, 9, 30], [6, 3, 0]), ("causal", "bf16", CAUSAL, 0.0, [33, 21], [5, 8]),
            ("fewer_columns", "f32", CAUSAL, 0.0, [14], [9]), ("coarse", "f32", 0, 0.05, [25, 25], [7, 4])):
        heads, groups, c = 4, 2, 8
        q, k, pos, cand, want = [], [], [], [], []
        for n, r in zip(sizes, rows):
            q.append(rnd(own.standard_normal((r, heads, c)), dtype))
            if r > 2:
                q[-1][r - 1] = q[-1][0]  # the same direction twice
            k.append(rnd(own.standard_normal((n, groups, c)), dtype))
            pos.append(np.arange(n - r, n))
            cand.append(own.permutation(n)[:5 if name == "fewer_columns" else n - 4])
            a, visible = head_means(q[-1], k[-1], pos[-1], flags, 1 / np.sqrt(c), dtype)
            a = np.where(visible, a, 0.0)[:, cand[-1]].astype(np.float32).astype(np.float64)
            values = np.linalg.svd(a, compute_uv=False) if r else np.zeros(1)
            limit = tolerance or max(a.shape) * np.finfo(np.float32).eps
            want.append(int((values > limit * values.max()).sum()))
        w.case("attention_rank", name, struct.pack("<Iff", flags, 0.0, tolerance))
        w.ins((dtype, np.concatenate(q)), (dtype, np.concatenate(k)), NONE, NONE, ("i32", offsets(rows)),
              ("i32", np.concatenate(pos)), ("i32", offsets(sizes)), ("i32", offsets([len(x) for x in cand])),
              ("i32", np.concatenate(cand)))
        w.arg("out", "i32", want)


def make_attention_heads():
    own = np.random.default_rng(909)
    for name, dtype, flags, how, wanted, theta, lines, sizes, rows, spread in (
            ("two_of_four", "f32", CAUSAL, 2, 2, 0.0, 1, [21, 9, 14], [5, 3, 0], 1), ("level", "bf16", CAUSAL, 2, 0, 1e4, 1, [40, 17], [6, 4], 7),
            ("both_far", "f32", 0, 4, 3, 1e4, 1, [30], [4], 400), ("three_lines", "f16", CAUSAL, 3, 2, 1e6, 3, [25, 12], [3, 5], 11),
            ("last", "f32", CAUSAL, 1, 1, 1e4, 1, [33, 8], [2, 2], 3)):
        heads, groups, c = 4, 2, 8
        positions = np.sort(own.integers(0, spread * sum(sizes), (lines, sum(sizes) + 2)), axis=1)
        speed = float(theta or 1.0) ** (-2.0 * np.arange(c // 2) / c)
        q, k, pos, cand, want = [], [], [], [], []
        for b, (n, r) in enumerate(zip(sizes, rows)):
            q.append(rnd(own.standard_normal((r, heads, c)) * 2, dtype))
            k.append(rnd(own.standard_normal((n, groups, c)) * 2, dtype))
            pos.append(np.arange(n - r, n))
            cand.append(own.permutation(n)[:n - 3])
            at = positions[:, offsets(sizes)[b]:offsets(sizes)[b + 1]]
            apart = (at[:, pos[-1]][:, :, None] - at[:, None, :]).astype(np.float64)
            g = 2 / np.sqrt(c) * np.cos(apart[..., None] * speed).sum(-1).mean(0)
            g = np.maximum(g, np.sqrt(c) / 64) if theta else np.ones((r, n))
            each = [head_means(q[-1][:, [h]], k[-1][:, [h // (heads // groups)]], pos[-1], flags, 1 / np.sqrt(c), dtype)
                    for h in range(heads)]
            seen = each[0][1]
            p = np.stack([np.where(seen, a, 0.0) / g for a, _ in each])
            if how == 1:
                p[:, :-1] = 0.0
            total = p[:, :, cand[-1]].sum((1, 2))
            chosen = np.argsort(-total, kind="stable")[:wanted or heads]
            a = p[chosen].mean(0).sum(0)
            a /= {1: 1, 2: max(r, 1), 3: np.maximum(seen.sum(0), 1), 4: 1}[how]
            want.append(a[cand[-1]])
        w.case("attention_heads", name, struct.pack("<Iifiid", flags, how, 0.0, wanted, 0, theta))
        w.ins((dtype, np.concatenate(q)), (dtype, np.concatenate(k)), NONE, NONE, ("i32", offsets(rows)),
              ("i32", np.concatenate(pos)), ("i32", offsets(sizes)), ("i32", offsets([len(x) for x in cand])),
              ("i32", np.concatenate(cand)), ("i32", positions) if theta else NONE)
        w.arg("out", "f32", np.concatenate(want))


def make_rows_reduce():
    for how, word in REDUCES.items():
        rows, heads, keys = [2, 0, 3], 3, 11
        probs = rng.random((5, heads, keys)).astype(np.float32)
        pos = np.array([4, 10, 0, 5, 9])
        cand = [np.arange(11), np.arange(3), np.arange(10, -1, -2)]
        want = []
        for b, (lo, hi) in enumerate(zip(offsets(rows), offsets(rows)[1:])):
            visible = np.arange(keys)[None, :] <= pos[lo:hi, None]
            mean = probs[lo:hi].astype(np.float64).mean(axis=1)
            want.append(reduce_rows(mean, visible, how)[cand[b]] if hi > lo else np.zeros(len(cand[b])))
        w.case("attention_rows_reduce", f"causal_{word}", struct.pack("<Iif", CAUSAL, how, 0.0))
        w.ins(("f32", probs), ("i32", offsets(rows)), ("i32", pos),
              ("i32", offsets([len(x) for x in cand])), ("i32", np.concatenate(cand)))
        w.arg("out", "f32", np.concatenate(want))
    full = rnd(rng.random((2, 7, 4, 7)), "f16")
    pos, cand = np.array([6, 3, 5]), np.array([0, 6, 2, 3, 1])
    mean = full.astype(np.float64).mean(axis=2)
    want = np.concatenate([mean[0, 6, cand[:2]], mean[1, [3, 5]][:, cand[2:]].mean(axis=0)])
    w.case("attention_rows_reduce", "full_f16", struct.pack("<Iif", 0, 2, 0.0))
    w.ins(("f16", full), ("i32", [0, 1, 3]), ("i32", pos), ("i32", [0, 2, 5]), ("i32", cand))
    w.arg("out", "f32", want)


def make_norms_and_cosines():
    for dtype in ("f32", "f16", "bf16"):
        x = normal(13, 37, dtype=dtype)
        x[4] = 0.0
        rows = np.array([12, 4, 0, 0, 7])
        for norm, word in ((0, "default"), (1, "l1"), (2, "l2")):
            order = 2 if norm == 2 else 1
            w.case("row_norm", f"{word}_{dtype}", struct.pack("<i", norm))
            w.ins((dtype, x), ("i32", rows))
            w.arg("out", "f32", np.linalg.norm(x.astype(np.float64)[rows], order, axis=1))
    x, ref = normal(14, 24, dtype="bf16"), normal(3, 24)
    x[5], ref[2] = 0.0, 0.0
    rows, sizes = np.array([3, 5, 5, 9, 0, 13]), [3, 2, 1]
    owner = np.repeat(np.arange(3), sizes)
    a, b = x[rows].astype(np.float64), ref[owner].astype(np.float64)
    below = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    w.case("cosine", "zero_rows", None)
    w.ins(("bf16", x), ("i32", rows), ("i32", offsets(sizes)), ("f32", ref))
    w.arg("out", "f32", np.divide((a * b).sum(1), below, out=np.zeros(6), where=below > 0))
    sizes = [5, 0, 1, 19]
    x = normal(30, 12)
    x[7] = 0.0
    x[9] = x[8]
    rows = np.arange(3, 28)
    for how, word in ((0, "default"), (5, "max"), (2, "mean")):
        want = []
        for lo, hi in zip(offsets(sizes), offsets(sizes)[1:]):
            z = x[rows[lo:hi]].astype(np.float64)
            norms = np.linalg.norm(z, axis=1, keepdims=True)
            unit = np.divide(z, norms, out=np.zeros_like(z), where=norms > 0)
            s = unit @ unit.T
            others = ~np.eye(hi - lo, dtype=bool)
            for i in range(hi - lo):
                row = s[i][others[i]]
                want.append(0.0 if row.size == 0 else row.mean() if how == 2 else row.max())
        w.case("cosine_pairs", word, struct.pack("<i", how))
        w.ins(("f32", x), ("i32", rows), ("i32", offsets(sizes)))
        w.arg("out", "f32", np.array(want))


def make_temporal():
    own = np.random.default_rng(1010)
    for dtype, first in (("f32", 0.0), ("bf16", 3.0)):
        t, cells, d = 4, 6, 20
        x = rnd(own.standard_normal((t, cells, d)), dtype)
        x[1, 2], x[2, 4], x[3, 0] = 0.0, x[1, 4], -x[2, 0]
        before = np.full((t, cells), -1)
        before[1:] = np.arange((t - 1) * cells).reshape(t - 1, cells)
        wide = x.astype(np.float64)
        norms = np.linalg.norm(wide, axis=-1)
        below = norms[1:] * norms[:-1]
        cos = np.divide((wide[1:] * wide[:-1]).sum(-1), below, out=np.zeros_like(below), where=below > 0)
        want = np.concatenate([np.full((1, cells), first or 255.0), 1.0 - cos])
        rows = own.permutation(t * cells)
        laid = np.zeros((t * cells, d), np.float32)
        laid[rows] = x.reshape(-1, d)
        # no cosine is near 0.25
        assert np.abs(cos - 0.25).min() > 1e-3
        starts = np.concatenate([np.ones((1, cells)), np.where(cos >= 0.25, 0.0, 1.0)])
        for threshold, out in ((0.0, want), (0.25, starts)):
            w.case("temporal", dtype + (",threshold" if threshold else ""), struct.pack("<ff", first, threshold))
            w.ins((dtype, laid), ("i32", rows), ("i32", before.ravel()))
            w.arg("out", "f32", out.ravel())


def make_crop_variance():
    own = np.random.default_rng(1313)
    for name, dtype, sizes, gain, bare, attends in (("alone", "f32", [5, 1, 9, 2], 0.0, 0, False),
                                                    ("attention", "bf16", [36, 35], 0.0, 0, True),
                                                    ("bare", "f32", [1, 7, 1], 0.5, 1, True)):
        n, d = sum(sizes), 24
        x = rnd(own.standard_normal((n, d)) + 0.5, dtype)
        x[3] = 0.0
        attention = own.random(n).astype(np.float32) / n
        out, at = np.zeros(n), 0
        for size in sizes:
            wide = x[at:at + size].astype(np.float64)
            norm = np.linalg.norm(wide, axis=1, keepdims=True)
            unit = np.divide(wide, norm, out=np.zeros_like(wide), where=norm > 0)
            s = unit @ unit.T
            np.fill_diagonal(s, 0.0)
            mean = s.sum(1, keepdims=True) / max(size - 1, 1)
            v = ((s - mean) ** 2).sum(1) / (size - 1) if size > 1 else np.zeros(1)
            t = attention[at:at + size].astype(np.float64) * (1.0 if bare and size == 1 else 1000.0)
            out[at:at + size] = t + np.float32(gain or 0.09) * np.abs(t).mean() / (v.mean() + 1e-6) * v if attends else v
            at += size
        rows = own.permutation(n)
        laid = np.zeros((n, d), np.float32)
        laid[rows] = x
        w.case("crop_variance", name, struct.pack("<fii", gain, bare, 0))
        w.ins((dtype, laid), ("i32", rows), ("i32", offsets(sizes)), ("f32", attention) if attends else (None, None))
        w.arg("out", "f32", out)


def make_pact():
    own = np.random.default_rng(4646)
    for name, dtype, h, g, c, sizes, scale in (("one", "f32", 2, 2, 8, [9], 0.0), ("grouped", "bf16", 6, 2, 5, [7, 0, 1, 20], 0.0),
                                               ("scaled", "f16", 4, 1, 16, [12, 30], 0.7)):
        n = sum(sizes)
        q, k = (rnd(own.standard_normal((n + 3, heads, c)), dtype) for heads in (h, g))
        rows = own.permutation(n + 3)[:n]
        out, at = np.zeros(n), 0
        for size in sizes:
            part = rows[at:at + size]
            if size:
                mean = q[part].astype(np.float64).mean(0)
                keys = np.repeat(k[part].astype(np.float64), h // g, axis=1)
                z = (np.float32(scale) or 1 / np.sqrt(c)) * np.einsum("hc,nhc->hn", mean, keys)
                e = np.exp(z - z.max(1, keepdims=True))
                out[at:at + size] = (e / e.sum(1, keepdims=True)).mean(0)
            at += size
        w.case("mean_query", name, struct.pack("<f", scale))
        w.ins((dtype, q), (dtype, k), ("i32", rows), ("i32", offsets(sizes)))
        w.arg("out", "f32", out)
    q = np.ones((2, 1, 4))
    w.case("mean_query", "nan", struct.pack("<f", 0.0), "DATA")
    w.ins(("f32", q), ("f32", q * [[[1]], [[nan]]]), ("i32", [0, 1]), ("i32", [0, 2]))
    w.arg("out", "f32", np.zeros(2))
    x = (own.standard_normal((8, 24))[own.integers(0, 8, 60)] + 0.4 * own.standard_normal((60, 24))).astype(np.float32)
    rows = own.permutation(60)[:50]
    groups = [np.arange(20), np.arange(20, 20), np.arange(20, 21), np.arange(21, 50)]
    holes, bad = x.copy(), x.copy()
    holes[rows[[3, 30]]] = 0
    bad[rows[44], 1] = inf
    for limit in (0.05, 0.2, 0.6):
        centres_case(f"within_{limit}", x, rows, groups, limit)
    centres_case("members", x, rows, [own.permutation(50)[:17], np.array([], int), np.array([49, 48])], 0.2, True)
    centres_case("zero_rows", holes, rows, groups, 0.3)
    centres_case("alike", np.repeat(x[:10], 3, axis=0), np.arange(30), [np.arange(30)], 1e-6)
    centres_case("not_finite", bad, rows, groups, 0.2, status="DATA")


def centres_case(name, x, rows, groups, limit, listed=False, status="OK"):
    at = np.asarray(x, np.float64)[rows]
    norms = np.linalg.norm(at, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        unit = np.divide(at, norms, out=np.zeros_like(at), where=norms > 0)
        d = 1 - unit @ unit.T
    density, centre = np.zeros(len(rows), np.float32), np.full(len(rows), -1)
    for group in groups:
        group = np.sort(group)
        density[group] = np.exp(-(d[np.ix_(group, group)] / 2) ** 2).sum(1)
        left = list(group)
        centre[group] = 0
        # In rounds: who has nobody denser near; then what they are near to is out.
        while left:
            rank = {i: (-density[i], i) for i in left}
            new = [i for i in left if all(d[i, j] > limit for j in left if rank[j] < rank[i])]
            centre[new] = 1
            left = [i for i in left if i not in new and min(d[i, new]) > limit]
    w.case("cluster_centres", name, struct.pack("<f", limit), status)
    w.ins(("f32", x), ("i32", rows), ("i32", offsets([len(g) for g in groups])), members_of(groups, listed))
    w.arg("out", "f32", density)
    w.arg("out", "i32", centre)


def resize_matrix(size, to):
    """Bilinear, half-pixel centres: row i of the result as a mix of rows of the source."""
    at = np.clip((np.arange(to) + 0.5) * size / to - 0.5, 0, size - 1)
    low = np.floor(at).astype(int)
    out = np.zeros((to, size))
    out[np.arange(to), low] = 1 - (at - low)
    out[np.arange(to), np.minimum(low + 1, size - 1)] += at - low
    return out


def make_overview():
    own = np.random.default_rng(5252)
    for name, which, alpha in (("bilinear", 0, 0.0), ("sum", 1, 0.0), ("share", 2, 0.4)):
        pictures, cells, places, scores, want = [], [], [], [], []
        for p, (h, wide, rows, cols) in enumerate(((12, 12, 20, 16), (7, 5, 2, 3), (1, 6, 4, 1), (3, 3, 0, 0))):
            there = own.random((h, wide)) > 0.15
            there[0, 0] = True
            value = np.where(there, own.random((h, wide)).astype(np.float32), np.float32(0))
            pictures.append([len(cells), h, wide, rows, cols])
            cells += list(np.where(there.ravel(), len(scores) + np.cumsum(there) - 1, -1))
            whole = value.astype(np.float64).sum()
            for v in value[there]:
                places.append([p, -1, -1])
                scores.append(v)
                want.append([v, whole, alpha if rows else 1.0][which])
            if not rows:
                continue
            down, right = resize_matrix(h, rows), resize_matrix(wide, cols)
            if which == 0:
                weight = down @ there @ right.T
                part = np.divide(down @ value.astype(np.float64) @ right.T, weight, out=np.zeros((rows, cols)),
                                 where=weight > 0)
            else:
                line = np.minimum(np.arange(h) // max(h // rows, 1), rows - 1)
                column = np.minimum(np.arange(wide) // max(wide // cols, 1), cols - 1)
                part = np.zeros((rows, cols))
                np.add.at(part, (line[:, None], column[None, :]), value.astype(np.float64))
                if which == 2:
                    part *= (1 - alpha) / whole
            for y, x in np.ndindex(rows, cols):
                if own.random() < 0.9:
                    places.append([p, y, x])
                    scores.append(np.float32(own.random()))
                    want.append(part[y, x])
        places.append([-1, 0, 0])
        scores.append(np.float32(0.5))
        want.append(0.5)
        w.case("overview", name, struct.pack("<ifi", which, alpha, 0))
        w.ins(("f32", np.array(scores)), ("i32", cells), ("i32", np.array(pictures)), ("i32", np.array(places)))
        w.arg("out", "f32", np.array(want))


def make_ivc():
    own = np.random.default_rng(4747)
    for name, dtype, g, c, sizes, texts, seeds, scale in (("text", "f32", 2, 6, [8, 0, 11], [3, 2, 4], [0, 0, 0], 0.0),
                                                          ("seeds", "bf16", 3, 9, [20, 5], [4, 1], [2, 5], 0.0),
                                                          ("no_text", "f16", 1, 4, [6, 7], [0, 2], [1, 1], 0.6)):
        n, t = sum(sizes), sum(texts)
        v = rnd(own.standard_normal((n + t + 2, g, c)), dtype)
        order = own.permutation(n + t + 2)
        rows, text, out = order[:n], order[n:n + t], np.zeros(n)
        for b in range(len(sizes)):
            part = rows[offsets(sizes)[b]:offsets(sizes)[b + 1]]
            asks = text[offsets(texts)[b]:offsets(texts)[b + 1]]

            def share(queries):
                z = np.einsum("qgc,ngc->gqn", v[queries].astype(np.float64), v[part].astype(np.float64))
                z = z * (np.float32(scale) or 1 / np.sqrt(c))
                e = np.exp(z - z.max(-1, keepdims=True))
                return (e / e.sum(-1, keepdims=True)).mean(0)

            if len(part) and len(asks):
                first = share(asks)
                best = np.argsort(-first.mean(0), kind="stable")[:seeds[b]]
                out[offsets(sizes)[b]:offsets(sizes)[b + 1]] = np.concatenate([first, share(part[best])]).mean(0)
        w.case("value_attention", name, struct.pack("<f", scale))
        w.ins((dtype, v), ("i32", text), ("i32", offsets(texts)), ("i32", rows), ("i32", offsets(sizes)), ("i32", seeds))
        w.arg("out", "f32", out)
    for name, lines, c, sine, theta in (("cosine", 1, 8, 0, 1e4), ("sine", 1, 64, 1, 1e4), ("three_rows", 3, 10, 1, 1e6)):
        positions, rows = own.integers(0, 4000, (lines, 40)), own.permutation(40)[:33]
        e = (np.arange(0, c, 2, dtype=np.float32) / np.float32(c)).astype(np.float64)
        angle = positions[:, rows, None].astype(np.float32) * (np.float32(1) / np.power(theta, e).astype(np.float32))
        out = (np.sin if sine else np.cos)(angle).astype(np.float64).mean((0, 2))
        w.case("rotary_coordinates", name, struct.pack("<iiid", c, sine, 0, theta))
        w.ins(("i32", positions), ("i32", rows))
        w.arg("out", "f32", out)


def make_gaussian_scores():
    own = np.random.default_rng(1111)
    for name, dtype, centre, channels, videos, d in (("both", "f32", 0, 0, [[4, 4, 3], [1], [6, 6]], 21),
                                                     ("video", "bf16", 1, 5, [[7, 7], [3, 3, 3]], 16),
                                                     ("frame", "f16", 2, 0, [[12], [5, 1]], 30)):
        sizes = [sum(v) for v in videos]
        n = sum(sizes)
        x = rnd(own.standard_normal((n, d)) * own.uniform(0.5, 2, d) + own.standard_normal(d), dtype)
        x[2] = 0.0
        want = []
        for lo, hi, frames in zip(offsets(sizes), offsets(sizes)[1:], videos):
            z = x[lo:hi].astype(np.float64)
            least = np.argsort(z.var(axis=0), kind="stable")[: channels or d // 2]
            z = z[:, least]
            norms = np.linalg.norm(z, axis=1, keepdims=True)
            z = np.divide(z, norms, out=np.zeros_like(z), where=norms > 0)
            edges = offsets(frames)
            for f0, f1 in zip(edges, edges[1:]):
                score = np.zeros(f1 - f0)
                for mean, wanted in ((z.mean(0), centre != 2), (z[f0:f1].mean(0), centre != 1)):
                    square = ((z[f0:f1] - mean) ** 2).sum(1)
                    if wanted:
                        score += sum(np.exp(-square / (2 * 2.0**k)) for k in range(-3, 2))
                want.append(score)
        rows = own.permutation(n)
        laid = np.zeros_like(x)
        laid[rows] = x
        w.case("gaussian_scores", name, struct.pack("<iii", centre, channels, 0))
        w.ins((dtype, laid), ("i32", rows), ("i32", offsets(sizes)), ("i32", offsets([f for v in videos for f in v])))
        w.arg("out", "f32", np.concatenate(want))


def make_text_raters():
    own = np.random.default_rng(808)
    for name, sizes, words in (("one", [30], [7]), ("ragged", [12, 0, 1, 20], [5, 3, 1, 9])):
        for dtype in ("f32", "f16"):
            total, t = sum(sizes), sum(words)
            x = rnd(own.standard_normal((total + t, 12)) * 0.7, dtype)
            at = own.permutation(total + t)
            rows, text = at[:total], at[total:]
            share, raters = np.zeros(t), np.ones(t, int)
            for v0, v1, t0, t1 in zip(offsets(sizes), offsets(sizes)[1:], offsets(words), offsets(words)[1:]):
                if v0 == v1:
                    continue
                logits = x[rows[v0:v1]].astype(np.float64) @ x[text[t0:t1]].astype(np.float64).T
                each = np.exp(logits - logits.max(1, keepdims=True))
                share[t0:t1] = (each / each.sum(1, keepdims=True)).mean(0)
                above = share[t0:t1] > share[t0:t1].mean() + 1e-12
                raters[t0:t1] = above if above.any() else 1
            w.case("text_raters", f"{name}_{dtype}", None)
            w.ins((dtype, x), ("i32", rows), ("i32", offsets(sizes)), ("i32", text), ("i32", offsets(words)))
            w.arg("out", "f32", share)
            w.arg("out", "i32", raters.astype(np.int32))


def make_curvature():
    own = np.random.default_rng(5454)
    for dtype in ("f32", "f16"):
        sizes, d = [1, 2, 9, 3], 14
        x = rnd(own.standard_normal((sum(sizes), d)), dtype)
        x[5] = x[4]
        x[8] = 0.0
        want = np.ones(len(x))
        norms = np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
        y = np.divide(x, norms, out=np.zeros(x.shape), where=norms > 0)
        for lo, hi in zip(offsets(sizes), offsets(sizes)[1:]):
            step = np.diff(y[lo:hi], axis=0)
            length = np.linalg.norm(step, axis=1)
            below = length[1:] * length[:-1]
            dot = (step[1:] * step[:-1]).sum(1)
            if hi - lo > 2:
                want[lo + 1:hi - 1] = 1 - np.divide(dot, below, out=np.zeros(hi - lo - 2), where=below > 0)
        w.case("curvature", dtype, None)
        w.ins((dtype, x), ("i32", offsets(sizes)))
        w.arg("out", "f32", want)


def make_segments():
    own = np.random.default_rng(5656)
    for dtype, threshold, least in (("f32", 0.2, 0), ("f16", 0.05, 6), ("f32", -1.0, 4), ("bf16", -1.0, 0)):
        sizes, d = [1, 2, 14, 0, 5], 9
        x = rnd(own.standard_normal((sum(sizes), d)), dtype)
        x[8:11] = x[8] * np.array([1, 2, 4])[:, None]
        x[13] = 0.0
        y = x.astype(np.float64)
        below = np.linalg.norm(y[1:], axis=1) * np.linalg.norm(y[:-1], axis=1)
        like = np.divide((y[1:] * y[:-1]).sum(1), below, out=np.zeros(len(y) - 1), where=below > 0).astype(np.float32)
        out, number = [], 0
        for lo, hi in zip(offsets(sizes), offsets(sizes)[1:]):
            after = {t for t in range(lo, hi - 1) if like[t] < np.float32(threshold)}
            after |= set(sorted(range(lo, hi - 1), key=lambda t: (like[t], t))[:max(0, least - 1)])
            for t in range(lo, hi):
                out.append(number)
                number += t in after or t == hi - 1
        w.case("segments", f"{dtype},{threshold},{least}", struct.pack("<fii", threshold, least, 0))
        w.ins((dtype, x), ("i32", offsets(sizes)))
        w.arg("out", "i32", out)


def make_static_windows():
    own = np.random.default_rng(5757)
    for longest in (0, 3):
        starts, before, frames, windows, heads = [], [], [0], [], []
        sizes, number = [9, 1, 6], 0
        for t in sizes:
            n, base = int(own.integers(2, 6)), len(starts)
            on = own.random((t, n)) < 0.75
            on[0] = False
            # Every division of the frames, the shortest last windows first.
            best = [(0, [])]
            for e in range(1, t + 1):
                found = []
                for s in range(e - 1, max(-1, e - 1 - (longest or t)), -1):
                    still = on[s + 1:e].all(0).sum() if e - s > 1 else 0
                    found.append((best[s][0] + still * (e - s - 1), best[s][1] + [(s, e)]))
                best.append(max(found, key=lambda o: o[0]))
            for s, e in best[t][1]:
                still = on[s + 1:e].all(0) if e - s > 1 else np.zeros(n, bool)
                for f in range(s, e):
                    windows.append(number)
                    heads += [base + s * n + c if still[c] else -1 for c in range(n)]
                number += 1
            starts += (~on).astype(float).ravel().tolist()
            before += [-1] * n + list(range(base, base + (t - 1) * n))
            frames += [base + (f + 1) * n for f in range(t)]
        w.case("static_windows", f"longest{longest}", struct.pack("<i", longest))
        w.ins(("f32", starts), ("i32", before), ("i32", frames), ("i32", offsets(sizes)))
        w.arg("out", "i32", windows)
        w.arg("out", "i32", heads)


def normalised(z, how):
    good = ~np.isnan(z)
    out, v = z.copy(), z[good]
    if v.size == 0:
        return out
    if how == 1:
        span = v.max() - v.min()
        out[good] = (v - v.min()) / span if span else 0.0
    elif how == 2:
        e = np.exp(v - v.max())
        out[good] = e / e.sum()
    elif how == 3:
        # Stable sort of the negated values: -0 equals +0, ties by index.
        rank = np.empty(v.size)
        rank[np.argsort(-v, kind="stable")] = np.arange(v.size)
        out[good] = (v.size - 1 - rank) / (v.size - 1) if v.size > 1 else 0.0
    elif how == 5:
        out[good] = v / max(np.sqrt((v * v).sum()), 1e-12)
    elif how == 4:
        out[good] = v / v.sum() if v.sum() else 0.0
    return out


def blend(name, sizes, terms, weight, how, complement, combine=0):
    terms = np.asarray(terms, np.float32)
    weight = np.asarray(weight, np.float32)
    want = np.zeros(terms.shape[1])
    for lo, hi in zip(offsets(sizes), offsets(sizes)[1:]):
        each = []
        for t in range(len(terms)):
            f = normalised(terms[t, lo:hi].astype(np.float64), how[t])
            each.append(float(weight[t]) * (1.0 - f if complement[t] else f))
        want[lo:hi] = (np.sum, np.max, np.prod)[combine](each, axis=0)
    pad = [0] * (8 - len(terms))
    w.case("blend", name, struct.pack("<i8f8i8ii", len(terms), *weight, *pad, *how, *pad, *complement, *pad, combine))
    w.ins(("f32", terms), ("i32", offsets(sizes)))
    w.arg("out", "f32", want)


def make_blend():
    sizes = [17, 0, 1, 30]
    blend("alpha", sizes, normal(2, 48), [0.7, 0.3], [1, 1], [0, 1])
    blend("all_kinds", sizes, np.abs(normal(5, 48)), [1, -2, 0.5, 3, 0.25], [0, 1, 2, 3, 4], [0, 1, 0, 1, 0])
    blend("constant", [4, 3], np.full((4, 7), 0.3), [1, 1, 1, 1], [1, 2, 3, 4], [0, 0, 0, 0])
    own = np.random.default_rng(4)
    blend("largest", sizes, np.abs(own.standard_normal((3, 48))), [20, 1.5, -2], [4, 0, 1], [0, 0, 1], 1)
    blend("product", sizes, own.standard_normal((3, 48)), [2, -1.5, 1], [0, 4, 1], [0, 0, 1], 2)
    blend("largest_nan", [3], [[nan, 1, 2], [3, nan, 1]], [1, 1], [0, 0], [0, 0], 1)
    holes = normal(3, 20)
    holes[:, ::3] = nan
    blend("nan", [9, 11], holes, [1, 1, 1], [1, 2, 3], [0, 0, 1])
    blend("all_nan", [3], np.full((1, 3), nan), [1], [1], [0])
    blend("zeros_of_both_signs", [6], [[0.0, -0.0, 0.0, -0.0, 1.0, -1.0]], [1], [3], [0])
    blend("sum_is_zero", [4], [[1.0, -1.0, 2.0, -2.0]], [1], [4], [0])
    blend("length", sizes, np.random.default_rng(5).standard_normal((2, 48)), [1, 0.5], [5, 5], [0, 0])


# --- selection --------------------------------------------------------------------


def topk(name, scores, groups, keep, order, by_score, members=None, status="OK"):
    scores = np.asarray(scores, np.float32)
    flat = np.concatenate(groups).astype(np.int64) if len(groups) else np.zeros(0, np.int64)
    chosen = []
    for group, k in zip(groups, keep):
        # Python compares tuples: NaN last, then the score, then the index.
        key = {
            int(i): (bool(np.isnan(scores[i])),
                     0.0 if np.isnan(scores[i]) else float(scores[i]) * (1 if order else -1),
                     int(i))
            for i in group
        }
        best = sorted(key, key=key.get)[:k]
        chosen += best if by_score else sorted(best)
    w.case("topk", name, struct.pack("<iii", order, by_score, 0), status)
    w.ins(("f32", scores), ("i32", offsets([len(g) for g in groups])),
          ("i32", flat) if members else NONE, ("i32", keep), ("i32", offsets(keep)))
    w.arg("out", "i32", np.array(chosen, np.int32))


def make_topk():
    n = 576
    everything = [np.arange(n)]
    plain = normal(n)
    tied = rng.integers(0, 7, n) / 4.0 - 0.5
    tied[tied == 0] *= rng.choice([-1.0, 1.0], (tied == 0).sum())
    holes = np.where(rng.random(n) < 0.9, nan, plain)
    for order in (0, 1):
        for by_score in (0, 1):
            mark = f"{'low' if order else 'high'}{'_sorted' if by_score else ''}"
            topk(f"plain_{mark}", plain, everything, [64], order, by_score)
            topk(f"ties_{mark}", tied, everything, [144], order, by_score)
            topk(f"nan_{mark}", holes, everything, [144], order, by_score)
    topk("constant", np.full(n, 0.25), everything, [10], 0, 0)
    topk("all", plain, everything, [n], 0, 0)
    topk("none", plain, everything, [0], 0, 0)
    grid = np.arange(n).reshape(24, 24)
    for a, k in ((2, 1), (3, 2), (24, 128)):
        windows = [grid[i : i + a, j : j + a].ravel() for i in range(0, 24, a) for j in range(0, 24, a)]
        topk(f"window_{a}_keep_{k}", plain, windows, [k] * len(windows), 0, 0, True)
    topk("ragged", plain[:40], [np.arange(13), np.arange(0), np.arange(13, 40)], [5, 0, 27], 1, 0)
    edges = [inf, -inf, 0.0, -0.0, nan, 1e-45, -1e-45, 3.4e38]
    topk("edges", edges, [np.arange(8)], [8], 0, 1)
    topk("edges_low", edges, [np.arange(8)], [8], 1, 1)
    topk("only_nan", [nan] * 4, [np.arange(4)], [1], 0, 0, status="DATA")


def make_nominate():
    own = np.random.default_rng(928)
    for name, order, sizes, keep, ranges, listed, tied in (
            ("sentences", 0, [40, 17, 0], [12, 9, 0], [(0, 3), (3, 4), (0, 0)], False, False),
            ("alike", 1, [30, 30], [7, 30], [(0, 6), (2, 4)], True, True),
            ("more_rows_than_kept", 1, [25, 9], [3, 4], [(0, 6), (0, 6)], False, True),
            ("no_rows", 1, [20], [6], [(2, 2)], True, False)):
        n = sum(sizes)
        likeness, scores = own.standard_normal((6, n)), own.standard_normal(n)
        if tied:
            likeness, scores = np.round(2 * likeness) / 2, np.round(2 * scores) / 2
        likeness, scores = likeness.astype(np.float32), scores.astype(np.float32)
        members = own.permutation(n) if listed else np.arange(n)
        want, lo = [], 0
        for size, k, (begin, end) in zip(sizes, keep, ranges):
            m = members[lo:lo + size]
            lo += size
            sign = 1 if order else -1
            named = {int(p) for t in range(begin, end)
                     for p in np.argsort(sign * likeness[t, m], kind="stable")[:k // (end - begin)]}
            rest = [int(p) for p in np.argsort(-scores[m], kind="stable") if int(p) not in named]
            want.append(np.sort(m[sorted(named) + rest[:k - len(named)]]))
        w.case("nominate", name, struct.pack("<i", order))
        w.ins(("f32", likeness), ("i32", np.array(ranges)), ("f32", scores), ("i32", offsets(sizes)),
              ("i32", members) if listed else NONE, ("i32", keep), ("i32", offsets(keep)))
        w.arg("out", "i32", np.concatenate(want))


M32 = 0xFFFFFFFF


def philox(counter, key):
    """Philox4x32-10 as in Salmon et al., figure 4; Python integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        left, right = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(right >> 32) ^ c[1] ^ k[0], right & M32, (left >> 32) ^ c[3] ^ k[1], left & M32]
        k = [(k[0] + 0x9E3779B9) & M32, (k[1] + 0xBB67AE85) & M32]
    return c


def shares(w, sizes, rest):
    """Hamilton; groups that are full give what is too much to the others."""
    got = np.zeros(len(w), int)
    while rest:
        room = [g for g in range(len(w)) if got[g] < sizes[g]]
        total = sum(w[g] for g in room)
        ideal = {g: rest * (w[g] / total) for g in room}
        full = [g for g in room if ideal[g] >= sizes[g] - got[g]]
        if any(ideal[g] >= sizes[g] - got[g] + 1 for g in room):
            for g in full:
                rest -= sizes[g] - got[g]
                got[g] = sizes[g]
            continue
        for g in room:
            got[g] += int(ideal[g])
        rest -= sum(int(v) for v in ideal.values())
        for g in sorted(room, key=lambda g: -(ideal[g] - int(ideal[g])))[:rest]:
            got[g] += 1
        break
    return got


def make_quota():
    own = np.random.default_rng(3434)
    for name, rule, lowest, least, temperature, base in (
            ("shares", 0, 0, 0, 0.0, 0.0), ("shares_softmax", 0, 0, 1, 0.4, 0.0), ("spill", 1, 0, 1, 0.7, 0.0),
            ("spill_lowest", 1, 1, 2, 0.3, 0.0), ("soft", 2, 1, 1, 0.05, 0.25), ("soft_share", 2, 0, 0, 0.1, 0.0),
            ("heaviest", 3, 0, 0, 0.0, 0.0), ("heaviest_full", 3, 0, 1, 0.3, 0.0),
            ("tilt", 4, 0, 0, 0.3, 0.0), ("tilt_shares", 4, 0, 1, 0.0, 0.0),
            ("tilt_truncated", 4, 0, 0, 0.3, 0.7), ("shares_truncated", 0, 0, 1, 0.3, 0.35)):
        counts, keep = [4, 1, 6], [17, 3, 29]
        sizes = [9, 12, 7, 8, 5, 11, 10, 4, 10, 12, 9]
        weights = own.random(sum(sizes)).astype(np.float32) * np.repeat(own.uniform(0.3, 2, 11), sizes).astype(np.float32)
        at, want = offsets(sizes), []
        v = np.array([weights[a:b].astype(np.float64).mean() for a, b in zip(at, at[1:])])
        for lo, hi, k in zip(offsets(counts), offsets(counts)[1:], keep):
            z, n = v[lo:hi] * (-1 if lowest else 1), np.array(sizes[lo:hi])
            part = np.exp((z - z.max()) / np.float32(temperature)) if temperature else z
            part = part / part.sum()
            f = part.astype(np.float32)
            if rule == 2:
                b32 = np.float32(base or np.float32(k) / np.float32(n.sum()))
                scale = np.minimum(np.float32(1), b32 * (np.float32(1) + f - np.float32(f.astype(np.float64).mean())))
                want.append(np.minimum(n, np.maximum(least, np.rint(scale * n.astype(np.float32)).astype(int))))
                continue
            tilted = n * (1 + part - part.mean())
            if rule == 4 and base:  # 1e-8 as in the code whose counts these are
                part = np.exp((z - z.max()) / np.float32(temperature))
                part /= part.sum() + 1e-8
                want.append((n * np.minimum(1, base * (1 + (part - part.mean())))).astype(int))
                continue
            if rule == 0 and base:
                want.append(np.minimum(n, np.maximum(least, (round(base * n.sum()) * part).astype(int))))
                continue
            first = least
            while np.minimum(n, first).sum() > k:
                first -= 1
            got = np.minimum(n, first)
            rest = int(k - got.sum())
            if rule in (0, 4):
                got = got + shares(tilted if rule else part, n - got, rest)
            elif rule == 3:
                part_of = np.floor(np.float32(rest) * f).astype(int)
                part_of[np.argsort(-part, kind="stable")[:rest - part_of.sum()]] += 1
                over = np.maximum(part_of - (n - got), 0)
                got = got + part_of - over
                got = got + shares(part, n - got, int(over.sum()))
            else:
                ideal = np.float32(rest) * f
                whole = np.minimum(np.floor(ideal).astype(int), n - got)
                got, left, fraction = got + whole, rest - whole.sum(), ideal - np.floor(ideal)
                for g in np.argsort(-fraction, kind="stable"):
                    more = min(left, n[g] - got[g])
                    got[g], left = got[g] + more, left - more
            want.append(got)
        w.case("quota", name, struct.pack("<iiiiffi", rule, 0, lowest, least, temperature, base, int(rule in (0, 4) and base > 0)))
        w.ins(("f32", weights), ("i32", at), NONE, ("i32", offsets(counts)), ("i32", keep))
        w.arg("out", "i32", np.concatenate(want).astype(np.int32))


def make_reconcile():
    own = np.random.default_rng(5555)
    for name, order in (("highest", 0), ("lowest", 1)):
        counts, keep, sizes = [3, 2, 1], [11, 1, 6], [6, 8, 5, 7, 4, 6]
        quota = [4, 5, 4, 3, 3, 1]
        n = sum(sizes)
        scores = (own.integers(0, 9, n) / 4).astype(np.float32)
        members = own.permutation(n)
        key = lambda i: (scores[i] * (1 if order else -1), i)
        at, chosen = offsets(sizes), []
        for lo, hi, k in zip(offsets(counts), offsets(counts)[1:], keep):
            first, then = [], []
            for g in range(lo, hi):
                ranked = sorted(members[at[g]:at[g + 1]], key=key)
                first, then = first + ranked[:quota[g]], then + ranked[quota[g]:]
            chosen += sorted((sorted(first, key=key) + sorted(then, key=key))[:k])
        w.case("reconcile", name, struct.pack("<i", order))
        w.ins(("f32", scores), ("i32", at), ("i32", members), ("i32", quota), ("i32", offsets(counts)), ("i32", keep),
              ("i32", offsets(keep)))
        w.arg("out", "i32", np.array(chosen, np.int32))


def make_sample():
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    plans = (
        ("one_image", 7, 2, [576], [64], [[0, 0]], False),
        ("batch", 0xFEDCBA9876543210, 31, [576, 0, 40, 1], [144, 0, 40, 1],
         [[0, 0], [0, 1], [5, 0], [123456789, 2]], False),
        ("members", 1, 0, [100, 50], [33, 17], [[3, 0], [3, 1]], True),
    )
    for name, seed, salt, sizes, keep, stream, listed in plans:
        flat = rng.permutation(sum(sizes)) + 1000 if listed else np.arange(sum(sizes))
        chosen = []
        for g, (lo, hi) in enumerate(zip(offsets(sizes), offsets(sizes)[1:])):
            pool = [int(v) for v in flat[lo:hi]]
            for i in range(keep[g]):
                out = philox([i, stream[g][1], stream[g][0], salt], [seed & M32, seed >> 32])
                u = out[0] | out[1] << 32
                j = i + (u * (len(pool) - i) >> 64)
                pool[i], pool[j] = pool[j], pool[i]
            chosen += sorted(pool[: keep[g]])
        w.case("sample", name, struct.pack("<IQ", salt, seed))
        w.ins(("i32", offsets(sizes)), ("i32", flat) if listed else NONE, ("i32", keep),
              ("i32", offsets(keep)), ("i32", np.array(stream)))
        w.arg("out", "i32", np.array(chosen, np.int32))


def make_compact():
    for name, rows, n, k in (("image", 640, 576, 64), ("all", 50, 20, 20), ("none", 50, 20, 0), ("only", 9, 9, 4)):
        candidates = rng.permutation(rows)[:n]
        selected = rng.permutation(n)[:k]
        gone = set(candidates.tolist()) - set(candidates[selected].tolist())
        w.case("compact", name, struct.pack("<iq", 0, rows))
        w.ins(("i32", candidates), ("i32", selected))
        w.arg("out", "i32", np.array([r for r in range(rows) if r not in gone], np.int32))


# --- groups and rows --------------------------------------------------------------


def make_groups():
    sizes = [4, 0, 1, 9]
    members = rng.integers(0, 20, 14)
    weights = rng.integers(1, 5, 20).astype(np.float32)
    for dtype, out in (("f32", "f32"), ("bf16", "f16"), ("f16", "bf16")):
        x = normal(20, 10, dtype=dtype)
        for name, pool, weighted in (("average", 1, False), ("weighted", 0, True), ("max", 2, False)):
            want = np.zeros((4, 10))
            for g, (lo, hi) in enumerate(zip(offsets(sizes), offsets(sizes)[1:])):
                rows = x[members[lo:hi]].astype(np.float64)
                if hi > lo:
                    by = weights[members[lo:hi]] if weighted else None
                    want[g] = rows.max(0) if pool == 2 else np.average(rows, 0, by)
            w.case("group_pool", f"{name}_{dtype}_{out}", struct.pack("<i", pool))
            w.ins((dtype, x), ("i32", offsets(sizes)), ("i32", members), ("f32", weights) if weighted else NONE)
            w.arg("out", out, want)
    spread = rng.permutation(20)[:14]
    value = normal(4)
    want = np.zeros(20, np.float32)
    want[spread] = np.repeat(value, sizes)
    w.case("group_broadcast", "ragged", None)
    w.ins(("f32", value), ("i32", offsets(sizes)), ("i32", spread))
    w.arg("zero", "f32", want)


def make_rows():
    src, index = normal(9, 2, 3, dtype="bf16"), np.array([8, 0, 0, 4])
    w.case("gather_rows", "three_dims", None)
    w.ins(("bf16", src), ("i32", index))
    w.arg("out", "bf16", src[index])
    src, index = normal(4, 6), np.array([6, 0, 3, 1])
    for out in ("f32", "f16", "bf16"):
        want = np.zeros((8, 6), np.float32)
        want[index] = src
        w.case("scatter_rows", f"to_{out}", None)
        w.ins(("f32", src), ("i32", index))
        w.arg("zero", out, want)


# --- forward ------------------------------------------------------------------------


def make_linear():
    for x_t, w_t, b_t, r, d_t in (("f32", "f32", "f32", True, "f32"), ("bf16", "bf16", "bf16", True, "bf16"),
                                  ("bf16", "bf16", None, False, "f32"), ("f32", "f16", "bf16", True, "f32")):
        x, wt = normal(7, 65, dtype=x_t), normal(33, 65, dtype=w_t)
        y = x.astype(np.float64) @ wt.astype(np.float64).T
        args = [(x_t, x), (w_t, wt), NONE, NONE]
        if b_t:
            bias = normal(33, dtype=b_t)
            args[2], y = (b_t, bias), y + bias
        y = rnd(y, d_t)
        if r:
            residual = normal(7, 33, dtype=d_t)
            args[3], y = (d_t, residual), rnd(y + residual, d_t)
        w.case("linear", f"{x_t}_{w_t}_{b_t}_{d_t}", struct.pack("<i", 0))
        w.ins(*args)
        w.arg("out", d_t, y)


def make_norms():
    for dtype in ("f32", "f16", "bf16"):
        x = normal(5, 48, dtype=dtype) * np.float32(3)
        x = rnd(x, dtype)
        x[3] = 0.0
        x[4] = 1.5
        wt, b = normal(48, dtype=dtype), normal(48, dtype=dtype)
        wide = x.astype(np.float64)
        for eps in (1e-5, 1e-6):
            e = float(np.float32(eps))
            r = 1.0 / np.sqrt((wide**2).mean(1, keepdims=True) + e)
            w.case("rms_norm", f"{dtype}_{eps:g}", struct.pack("<f", eps))
            w.ins((dtype, x), (dtype, wt))
            w.arg("out", dtype, rnd(rnd(wide * r, dtype).astype(np.float64) * wt, dtype))
            w.case("layer_norm", f"{dtype}_{eps:g}", struct.pack("<f", eps))
            w.ins((dtype, x), (dtype, wt), (dtype, b))
            off = wide - wide.mean(1, keepdims=True)
            w.arg("out", dtype, off / np.sqrt(wide.var(1, keepdims=True) + e) * wt + b)


def rotary_table(positions, half, theta, section):
    e = np.arange(0, 2 * half, 2).astype(np.float32) / np.float32(2 * half)
    inv = np.float32(1) / np.power(np.float64(theta), e.astype(np.float64)).astype(np.float32)
    row = np.repeat(np.arange(3), section) if len(positions) == 3 else np.zeros(half, int)
    angle = positions[row].T.astype(np.float32) * inv[None, :]
    # Correctly rounded functions of the f32 angle.
    return np.cos(angle.astype(np.float64)), np.sin(angle.astype(np.float64))


def make_rotary():
    positions = np.array([[0, 1, 2, 35, 575, 2879, 4095, 32767]])
    for name, pos, half, theta, section in (
        ("llama", positions, 64, 1e4, (0, 0, 0)),
        ("vision", positions, 20, 1e4, (0, 0, 0)),
        ("qwen2_vl", np.concatenate([positions, positions // 3, positions // 7]), 64, 1e6, (16, 24, 24)),
    ):
        cos, sin = rotary_table(pos, half, theta, section)
        w.case("rotary_table", name, struct.pack("<iiid", *section, theta))
        w.ins(("i32", pos))
        w.arg("out", "f32", cos)
        w.arg("out", "f32", sin)
    for dtype in ("f32", "f16", "bf16"):
        cos, sin = (rnd(t, "f32") for t in rotary_table(positions, 8, 1e4, None))
        x = normal(8, 3, 16, dtype=dtype)
        a, b = x[..., :8], x[..., 8:]
        c, s = rnd(cos, dtype)[:, None, :], rnd(sin, dtype)[:, None, :]
        low = rnd(rnd(a * c, dtype) - rnd(b * s, dtype), dtype)
        high = rnd(rnd(b * c, dtype) + rnd(a * s, dtype), dtype)
        w.case("rotary", dtype, None)
        w.ins((dtype, x), ("f32", cos), ("f32", sin))
        w.arg("out", dtype, np.concatenate([low, high], axis=2))


def make_attention():
    for name, queries, keys, heads, dtype, causal, scale in (
        ("causal", [9, 4], [9, 11], (4, 2, 16), "f32", 1, 0.0),
        ("full", [6, 1], [13, 5], (2, 2, 8), "f32", 0, 0.5),
        ("bf16", [17], [17], (6, 2, 16), "bf16", 1, 0.0),
        ("no_keys", [4, 2], [2, 0], (1, 1, 4), "f32", 1, 0.0),
        ("bias", [9, 3], [12, 7], (4, 2, 8), "f32", 1, 0.0),
        ("bias_bf16", [11], [11], (2, 1, 16), "bf16", 0, 0.0),
    ):
        h, g, c = heads
        q, k, v = (normal(sum(n), m, c, dtype=dtype) for n, m in ((queries, h), (keys, g), (keys, g)))
        bias = normal(sum(keys)) if name.startswith("bias") else None
        out, lse = np.zeros(q.shape), np.full(q.shape[:2], -np.inf)
        factor = scale if scale else 1 / np.sqrt(c)
        for b, (nq, nk) in enumerate(zip(queries, keys)):
            qo, ko = offsets(queries)[b], offsets(keys)[b]
            for i in range(nq):
                see = min(nk, max(0, nk - nq + i + 1)) if causal else nk
                for head in range(h):
                    kk = k[ko : ko + see, head // (h // g)].astype(np.float64)
                    vv = v[ko : ko + see, head // (h // g)].astype(np.float64)
                    if see:
                        s = kk @ q[qo + i, head].astype(np.float64) * factor
                        if bias is not None:
                            s = s + bias[ko : ko + see].astype(np.float64)
                        lse[qo + i, head] = s.max() + np.log(np.exp(s - s.max()).sum())
                        out[qo + i, head] = np.exp(s - lse[qo + i, head]) @ vv
        w.case("attention", name, struct.pack("<Ifi", causal, scale, 0))
        w.ins((dtype, q), (dtype, k), (dtype, v), ("i32", offsets(queries)), ("i32", offsets(keys)))
        w.arg("out", dtype, out)
        w.arg("out", "f32", lse)
        w.ins(NONE if bias is None else ("f32", bias))


# Abramowitz and Stegun would not do: erf from the C library.
erf = np.vectorize(__import__("math").erf)


def make_activation():
    grid = np.concatenate([np.linspace(-9, 9, 61), [0.0, -0.0, 30.0, -30.0, 88.0, -88.0, 1e-8]])
    for dtype in ("f32", "f16", "bf16"):
        a = rnd(grid, dtype).reshape(2, 34)
        b = normal(2, 34, dtype=dtype)
        wide = a.astype(np.float64)
        t = rnd(np.float32(1.702) * a, dtype)
        s = rnd(1 / (1 + np.exp(-t.astype(np.float64))), dtype)
        for f, word, y in (
            (1, "silu", rnd(wide / (1 + np.exp(-wide)), dtype)),
            (2, "gelu", rnd(wide * 0.5 * (1 + erf(wide / np.sqrt(2))), dtype)),
            (3, "quick_gelu", rnd(a * s, dtype)),
        ):
            w.case("activation", f"{word}_{dtype}", struct.pack("<i", f))
            w.ins((dtype, a), NONE)
            w.arg("out", dtype, y)
            w.case("activation", f"{word}_{dtype}_gated", struct.pack("<i", f))
            w.ins((dtype, a), (dtype, b))
            w.arg("out", dtype, rnd(y * b, dtype))


def make_small():
    for dtype in ("f32", "f16", "bf16"):
        a, b = normal(7, 5, dtype=dtype), normal(3, 5)
        w.case("add", dtype, None)
        w.ins((dtype, a), ("f32", b))
        w.arg("out", dtype, a.astype(np.float64) + b[np.arange(7) % 3])
    x = normal(2, 3, 8, 13)
    for p in (1, 4, 5):
        down, across = 8 // p, 13 // p
        cut = x[:, :, : down * p, : across * p].reshape(2, 3, down, p, across, p)
        w.case("patches", f"p{p}", struct.pack("<i", p))
        w.ins(("f32", x))
        w.arg("out", "bf16", cut.transpose(0, 2, 4, 1, 3, 5).reshape(2 * down * across, 3 * p * p))
    edges = np.array([0.0, -0.0, 1.0, inf, -inf, nan, 65504, 65519.996, 65520, -65520, 3.4e38, 1e-40, 6e-8, 3e-8,
                      2.98023224e-8, 2.99e-8, 6.1e-5, 1.00390625, 1.01171875, 1.0004883, 1.0014648], np.float32)
    values = np.concatenate([edges, normal(200), normal(50) * np.float32(1e4), normal(50) * np.float32(1e-6)])
    for a in ("f32", "f16", "bf16"):
        for b in ("f32", "f16", "bf16"):
            w.case("cast", f"{a}_{b}", None)
            w.ins((a, rnd(values, a)))
            w.arg("out", b, rnd(values, a))


# --- greedy selection -------------------------------------------------------------


def cosines(z):
    norms = np.linalg.norm(z, axis=1, keepdims=True)
    unit = np.divide(z, norms, out=np.zeros_like(z), where=norms > 0)
    s = unit @ unit.T
    np.fill_diagonal(s, (norms[:, 0] > 0).astype(float))
    return s


def first_best(value, free):
    """Largest value among the free ones, the lowest index of equal ones."""
    return int(np.flatnonzero(free & (value == value[free].max()))[0])


def greedy_distance(z, w, k, rule, measure, start, weighted, lam):
    s = cosines(z)
    far = ((z[:, None] - z[None]) ** 2).sum(-1) if measure else 1 - s
    n = len(z)
    start = start or (2 if rule else 1)
    if start == 1:
        value = (far + np.where(np.eye(n, dtype=bool), inf, 0.0)).min(axis=1)
    else:
        value = w if start == 2 else np.linalg.norm(z, axis=1)
    free, picks = np.ones(n, bool), []
    for _ in range(k):
        picks.append(first_best(value, free))
        free[picks[-1]] = False
        near = far[picks].min(axis=0)
        if rule:
            value = lam * w - (1 - lam) * s[picks].max(axis=0)
        else:
            value = near * w if weighted else near
    return picks


def greedy_cover(z, demand, factor, extra, k, kernel, t, scale, power, add):
    g, n = cosines(z), len(z)
    if kernel == 1:
        g = (g + 1) / 2
    if kernel == 2:
        g = np.exp(g / t)
        g /= g.sum(axis=1, keepdims=True) * n
    g = np.concatenate([scale * g, extra])
    row = np.concatenate([demand, np.ones(len(extra))])
    c, free, picks = np.zeros(len(g)), np.ones(n, bool), []
    for _ in range(k):
        gain = (row[:, None] * np.maximum(0, g - c[:, None])).sum(axis=0)
        value = gain + factor**power if add else gain * factor**power
        picks.append(first_best(value, free))
        free[picks[-1]] = False
        c = np.maximum(c, g[:, picks[-1]])
    return picks


def greedy_dpp(z, w, k, kernel, theta):
    """By determinants: the best one more, each time from nothing."""
    s = cosines(z)
    if kernel == 1:
        w = np.exp(theta / (2 * (1 - theta)) * w)
    ell = s * np.outer(w, w)
    if kernel == 2:
        ell = (1 - theta) * s + theta * ell
    free, picks = np.ones(len(z), bool), []
    for _ in range(k):
        ways = [picks + [j] for j in range(len(z))]
        value = np.array([np.linalg.det(ell[np.ix_(p, p)]) for p in ways])
        picks.append(first_best(value, free))
        free[picks[-1]] = False
    return picks


def greedy_tri(z, w, k, alpha, lam, min_max):
    s, free, picks, value = cosines(z), np.ones(len(z), bool), [], w

    def f(u):
        span = np.ptp(u[free]) if min_max else u[free].mean()
        return (u - (u[free].min() if min_max else 0)) / span if span else 0 * u

    for _ in range(k):
        picks.append(first_best(value, free))
        free[picks[-1]] = False
        if len(picks) == k:
            break
        m = s[:, picks].max(axis=1)
        cover = np.maximum(0, s - m[:, None])[free].sum(axis=0)
        value = f(w) + alpha * f(1 - m) + lam * f(cover)
    return picks


def parity(z, w, k, step):
    """VisPruner: the list by weight; even places against odd ones."""
    s = cosines(z)
    left = sorted(range(len(z)), key=lambda i: (-w[i], i))
    while len(left) > k:
        a, b = left[::2], left[1::2]
        value = {i: max((s[i, j] for j in b), default=-2.0) for i in a}
        a = sorted(a, key=lambda i: -value[i])
        left = a[min(step or 8, len(left) - k, len(a)):] + b
    return np.array(left, int)


def make_text(own):
    sizes, ranges = [20, 0, 1, 33], np.array([[0, 3], [1, 1], [2, 2], [1, 5]])
    n, o = sum(sizes), offsets([20, 0, 1, 33])
    for kernel, t, word in ((0, 0.0, "cosine"), (1, 0.1, "softmax")):
        x, y = rnd(own.standard_normal((n, 12)), "bf16"), rnd(own.standard_normal((5, 12)), "f32")
        x[7], y[1] = 0.0, 0.0
        below = np.outer(np.linalg.norm(y, axis=1), np.linalg.norm(x, axis=1)).astype(np.float64)
        s = np.divide(y.astype(np.float64) @ x.astype(np.float64).T, below, out=np.zeros((5, n)), where=below > 0)
        want = np.zeros((5, n))
        for g, (lo, hi) in enumerate(ranges):
            part = s[lo:hi, o[g]:o[g + 1]]
            if kernel:
                part = np.exp((part - part.max(axis=1, keepdims=True, initial=-9)) / t)
                part = part / part.sum(axis=1, keepdims=True) / max(hi - lo, 1)
            want[lo:hi, o[g]:o[g + 1]] = part
        w.case("similarity", word, struct.pack("<if", kernel, t))
        w.ins(("bf16", x), ("i32", np.arange(n)), ("i32", o), NONE, ("f32", y), ("i32", ranges))
        w.arg("out", "f32", want)
    for word, like, mix, share, epsilon, tokens in (
        ("cdpruner", 0, 0.0, 0.0, 1e-6, False), ("eadp", 0, 0.5, 0.25, 0.0, True), ("like", 1, 0.25, 0.5, 0.0, True),
    ):
        prompts, words = own.standard_normal((4, n)) / 9, own.standard_normal((12, n)) / 9
        prompts, words = prompts.astype(np.float32), words.astype(np.float32)
        which, parts = np.array([[0, 1], [1, 1], [0, 2], [2, 4]]), np.array([[0, 8], [0, 0], [3, 9], [4, 12]])
        sign, want = 2 * like - 1, []
        for g in range(4):
            p = sign * prompts[which[g, 0]:which[g, 1], o[g]:o[g + 1]].astype(np.float64)
            if p.shape[1] == 0:
                continue
            v = p.mean(axis=0)
            if tokens:
                q = sign * words[parts[g, 0]:parts[g, 1], o[g]:o[g + 1]].astype(np.float64)
                dense = []
                for rows in np.split(q, len(p)):
                    e = np.exp(100 * rows - (100 * rows).max(axis=1, keepdims=True))
                    e /= e.sum(axis=1, keepdims=True)
                    h = -(e * np.log(e + 1e-12)).sum(axis=1)
                    keep = np.argsort(h, kind="stable")[:max(1, int(np.floor(share * len(rows))))]
                    a = np.exp((h[keep].min() - h[keep]) / 0.01)
                    dense.append((a / a.sum()) @ rows[keep])
                v = mix * v + (1 - mix) * np.mean(dense, axis=0)
            want.append((v - v.min() + epsilon) / np.ptp(v) if np.ptp(v) else np.ones(v.size))
        w.case("relevance", word, struct.pack("<ifffffi", like, mix, share, 100.0, 0.01, epsilon, 0))
        w.ins(("f32", prompts), ("i32", which))
        w.ins(*([("f32", words), ("i32", parts)] if tokens else [NONE, NONE]))
        w.ins(("i32", o))
        w.arg("out", "f32", np.concatenate(want))
    # Whole grids by padding, one with holes by a mask.
    grids, power = np.array([[1, 4, 6], [2, 3, 3]]), 1.5
    g = np.exp(-np.array([1.0, 0.0, 1.0]) / 2)
    kernel, src, want, there = np.outer(g, g), [], [], []
    for frames, rows, cols in grids:
        mask = own.random((frames, rows, cols)) < (1.0 if frames == 1 else 0.6)
        v = own.random((frames, rows, cols)).astype(np.float32)
        for f in range(frames):
            a, m = np.pad(v[f] * mask[f], 1, mode="reflect"), np.pad(mask[f].astype(float), 1, mode="reflect")
            for y, x in np.argwhere(mask[f]):
                spot = np.s_[y:y + 3, x:x + 3]
                want.append(((kernel * a[spot]).sum() / (kernel * m[spot]).sum()) ** power)
        src.append(v[mask])
        there.append(np.flatnonzero(mask))
    w.case("smooth_grid", "padding", struct.pack("<iff", 24, 1.0, power))
    w.ins(("f32", np.concatenate(src)), ("i32", offsets([len(t) for t in there])), ("i32", grids),
          ("i32", np.concatenate(there)))
    w.arg("out", "f32", np.array(want))


def make_greedy():
    own = np.random.default_rng(SEED + 1)

    def groups(op, name, dtype, sizes, keep, params, weights, choose, listed=True, extra=None):
        n, d = sum(sizes), 20
        # Clusters, a row of zeros, and gaps: members of no group.
        x = own.standard_normal((6, d))[own.integers(0, 6, n + 2)] + 0.6 * own.standard_normal((n + 2, d))
        x = rnd(x, dtype)
        rows = own.permutation(n + 2)[:n]
        x[rows[2]] = 0.0
        arrays = [own.random(n).astype(np.float32) if there else None for there in weights]
        members = own.permutation(n) if listed else np.arange(n)
        want, lo = [], 0
        for g, (size, k) in enumerate(zip(sizes, keep)):
            m = np.sort(members[lo:lo + size])
            lo += size
            z = x[rows[m]].astype(np.float64)
            a = [None if u is None else u[m].astype(np.float64) for u in arrays]
            want.append(m[choose(z, a, k, g, m)] if k else np.zeros(0, int))
        w.case(op, name, params)
        w.ins((dtype, x), ("i32", rows), ("i32", offsets(sizes)), ("i32", members) if listed else NONE,
              ("i32", keep), ("i32", offsets(keep)))
        w.ins(*[NONE if u is None else ("f32", u) for u in arrays])
        if extra is not None:
            w.ins(*extra)
        w.arg("out", "i32", np.concatenate(want))

    sizes, keep = [30, 0, 1, 47], [12, 0, 1, 20]
    for name, dtype, rule, measure, start, weighted, lam in (
        ("divprune", "f32", 0, 0, 0, 0, 0.0), ("euclid_norm", "bf16", 0, 1, 3, 0, 0.0),
        ("weighted", "f16", 0, 0, 2, 1, 0.0), ("euclid_nearest", "f32", 0, 1, 1, 1, 0.0),
        ("mmr", "f32", 1, 0, 0, 0, 0.5), ("mmr_mostly_weight", "bf16", 1, 0, 2, 0, 0.75),
    ):
        groups("greedy_distance", name, dtype, sizes, keep,
               struct.pack("<iiiifii", rule, measure, start, weighted, lam, 0, 0),
               [bool(rule or weighted or start == 2)],
               lambda z, a, k, g, m: greedy_distance(z, a[0], k, rule, measure, start, weighted, lam))
    for name, dtype, kernel, t, scale, power, add, weights, text in (
        ("scope", "f32", 0, 0.0, 0.0, 0.0, 0, (0, 1), 0), ("scope_add", "bf16", 0, 0.0, 1.0, 2.0, 1, (0, 1), 0),
        ("eadp", "f16", 1, 0.0, 0.0, 0.0, 0, (1, 0), 0), ("mmtok", "f32", 2, 0.2, 0.5, 0.0, 0, (0, 0), 6),
        ("all", "f32", 1, 0.0, 0.25, 0.5, 0, (1, 1), 5),
    ):
        n = sum(sizes)
        rows = own.random((text, n)).astype(np.float32)
        ranges = np.array([[0, text // 2], [1, 1], [0, 0], [text // 3, text]])

        def choose(z, a, k, g, m):
            one = np.ones(len(z))
            e = rows[ranges[g, 0]:ranges[g, 1], m].astype(np.float64) if text else np.zeros((0, len(z)))
            f = a[1] if a[1] is not None else np.zeros(len(z)) if add else one
            return greedy_cover(z, one if a[0] is None else a[0], f, e, k, kernel, t, scale or 1.0, power or 1.0, add)

        groups("greedy_cover", name, dtype, sizes, keep, struct.pack("<ifffiii", kernel, t, scale, power, add, 0, 0),
               weights, choose, extra=[("f32", rows), ("i32", ranges)] if text else [NONE, NONE])
    for name, dtype, kernel, theta in (("cdpruner", "f32", 0, 0.0), ("exp", "bf16", 1, 0.5), ("mix", "f32", 2, 0.75)):
        groups("greedy_dpp", name, dtype, sizes, [8, 0, 1, 9], struct.pack("<ifi", kernel, theta, 0), [True],
               lambda z, a, k, g, m: greedy_dpp(z, a[0], k, kernel, theta), listed=kernel > 0)
    for name, dtype, alpha, lam, min_max in (("tops", "f32", 0.5, 0.5, 0), ("min_max", "bf16", 0.5, 1.0, 1)):
        groups("greedy_tri", name, dtype, sizes, keep, struct.pack("<ffiii", alpha, lam, min_max, 0, 0), [True],
               lambda z, a, k, g, m: greedy_tri(z, a[0], k, alpha, lam, min_max))
    make_text(own)
    other = np.random.default_rng(SEED + 30)
    own, held = other, own
    for name, dtype, step in (("vispruner", "f32", 0), ("one", "bf16", 1), ("many", "f16", 30)):
        groups("parity", name, dtype, [30, 0, 1, 47], [12, 0, 0, 20], struct.pack("<iii", step, 0, 0), [True],
               lambda z, a, k, g, m: parity(z, a[0], k, step))
    own = held
    # A number that is no number: refused.
    x = own.standard_normal((4, 3))
    x[2, 1] = nan
    w.case("greedy_distance", "nan", struct.pack("<iiiifii", 0, 0, 0, 0, 0.0, 0, 0), status="DATA")
    w.ins(("f32", x), ("i32", np.arange(4)), ("i32", [0, 4]), NONE, ("i32", [2]), ("i32", [0, 2]), NONE)
    w.arg("out", "i32", np.zeros(2))
def pivots_case(name, x, rows, groups, keep, pivots, per_pivot, members=False, status="OK"):
    unit = x.astype(np.float64)
    norm = np.sqrt((unit * unit).sum(1, keepdims=True))
    unit = np.divide(unit, norm, out=np.zeros_like(unit), where=norm > 0)[np.asarray(rows)]
    chosen = []
    for group, k, visit in zip(groups, keep, pivots):
        mine = [int(p) for p in dict.fromkeys(visit) if p in set(map(int, group))][:k]
        quota = per_pivot or (k // len(visit) if len(visit) else 0)
        for number, pivot in enumerate(visit):
            if len(mine) == k:
                break
            rest = sorted((float(unit[i] @ unit[pivot]), int(i)) for i in group if int(i) not in mine)
            left = k - len(mine)
            take = left if number + 1 == len(visit) else min(quota, left)
            mine += [i for _, i in rest[:take]]
        chosen += mine
    w.case("pivots", name, struct.pack("<i", per_pivot), status)
    w.ins(("f32", x), ("i32", rows), ("i32", offsets([len(g) for g in groups])),
          ("i32", np.concatenate(groups)) if members else NONE, ("i32", keep), ("i32", offsets(keep)),
          ("i32", offsets([len(p) for p in pivots])), ("i32", np.concatenate([np.asarray(p, np.int64) for p in pivots])))
    w.arg("out", "i32", np.array(chosen, np.int32))


def make_pivots():
    own = np.random.default_rng(31)
    x = own.standard_normal((40, 24)).astype(np.float32)
    rows = own.permutation(40)[:30]
    pivots_case("members_and_others", x, rows, [np.arange(24)], [13], [[3, 17, 26, 29]], 0)
    pivots_case("two_each", x, rows, [np.arange(24)], [10], [[26, 5, 29, 11]], 2)
    pivots_case("keeps_fewer_than_pivots", x, rows, [np.arange(24)], [2], [[7, 8, 9, 25]], 0)
    pivots_case("all", x, rows, [np.arange(24)], [24], [[7, 28]], 0)
    pivots_case("one_pivot_twice", x, rows, [np.arange(24)], [9], [[4, 4]], 1)
    pivots_case("groups", x, rows, [np.arange(9), np.arange(9, 9), np.arange(9, 24)], [5, 0, 11],
                [[24, 2], [], [12, 27, 20]], 0)
    pivots_case("members", x, rows, [own.permutation(24)[:13]], [6], [[25, 1]], 0, True)
    holes = x.copy()
    holes[rows[:6]] = 0
    pivots_case("zero_rows_tie", holes, rows, [np.arange(24)], [12], [[2, 26]], 3)
    holes[rows[20], 5] = np.nan
    pivots_case("nan", holes, rows, [np.arange(24)], [12], [[2, 26]], 3, status="DATA")


def members_of(groups, listed):
    return ("i32", np.concatenate(groups)) if listed else NONE


def nearest_case(name, x, rows, groups, kept, measure, listed=False, status="OK"):
    flat_kept = [int(k) for part in kept for k in part]
    at = np.asarray(x, np.float64)[np.asarray(rows)]
    dst, best = np.full(len(rows), -1), np.zeros(len(rows))
    first = 0
    for group, part in zip(groups, kept):
        if len(part):
            a, b = at[group], at[np.asarray(part)]
            if measure:
                like = -np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
            else:
                norms = np.sqrt((a * a).sum(1))[:, None] * np.sqrt((b * b).sum(1))[None]
                like = np.divide(a @ b.T, norms, out=np.zeros((len(a), len(b))), where=norms > 0)
            for i, line in zip(group, like):
                to = list(part).index(i) if i in part else int(np.argmax(line))
                dst[i], best[i] = first + to, line[to]
        first += len(part)
    w.case("nearest", name, struct.pack("<i", measure), status)
    w.ins(("f32", x), ("i32", rows), ("i32", offsets([len(g) for g in groups])), members_of(groups, listed),
          ("i32", flat_kept), ("i32", offsets([len(k) for k in kept])))
    w.arg("out", "i32", dst)
    w.arg("out", "f32", best)


def merge_case(name, x, rows, kept, assignment, rule, anchor=0.0, beta=0.0, weights=None):
    at = np.asarray(x, np.float64)[np.asarray(rows)]
    wide = np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)
    out, sizes = [], []
    for e, k in enumerate(kept):
        join = [i for i in range(len(rows)) if assignment[i] == e and i not in kept]
        share = (anchor or 1.0) * wide[k] if rule == 0 else 0.0
        total = share + wide[join].sum()
        row = at[k]
        if join and total:
            part = wide[join] @ at[join]
            row = [(share * row + part) / total, row + part / total, beta * row + (1 - beta) * part / total,
                   row + (1 - max(beta, 1 / (1 + len(join)))) * (part / total - row)][rule]
        out.append(row)
        sizes.append(1 + len(join))
    w.case("merge_rows", name, struct.pack("<iff", rule, anchor, beta))
    w.ins(("f32", x), ("i32", rows), ("i32", kept), ("i32", assignment),
          NONE if weights is None else ("f32", weights))
    w.arg("out", "f32", np.array(out))
    w.arg("out", "f32", sizes)


def density_case(name, x, rows, groups, neighbours, others=0, listed=False, status="OK"):
    at = np.asarray(x, np.float64)[np.asarray(rows)]
    density, score = np.zeros(len(rows)), np.zeros(len(rows))
    for group, c in zip(groups, neighbours):
        y = at[group]
        far = ((y[:, None] - y[None]) ** 2).sum(-1) / y.shape[1]
        for a, i in enumerate(group):
            near = sorted(np.delete(far[a], a) if others else far[a])[:c]
            density[i] = np.float32(np.exp(-np.mean(near) if len(near) else 0.0))
        for a, i in enumerate(group):
            above = [b for b, j in enumerate(group) if (density[j], -b) > (density[i], -a)]
            score[i] = density[i] * np.sqrt(far[a, above].min() if above else far.max())
    w.case("density_peaks", name, struct.pack("<i", others), status)
    w.ins(("f32", x), ("i32", rows), ("i32", offsets([len(g) for g in groups])), members_of(groups, listed),
          ("i32", neighbours))
    w.arg("out", "f32", density)
    w.arg("out", "f32", score)


def make_merging():
    own = np.random.default_rng(44)
    x = own.standard_normal((40, 24)).astype(np.float32)
    rows = own.permutation(40)[:30]
    groups = [np.arange(9), np.arange(9, 9), np.arange(9, 22), np.arange(22, 30)]
    kept = [[0, 5, 7], [], [9, 12, 20, 21], []]
    holes = x.copy()
    holes[rows[3:9]] = 0
    bad = x.copy()
    bad[rows[14], 2] = np.nan
    for measure, word in enumerate(("cosine", "euclidean")):
        nearest_case(word, x, rows, groups, kept, measure)
        nearest_case(word + "_any_order", x, rows, [np.arange(30)], [[17, 2, 29]], measure)
        nearest_case(word + "_members", x, rows, [own.permutation(30)[:17]], [[4, 1]], measure, True)
        nearest_case(word + "_ties", np.repeat(x[:10], 4, axis=0), np.arange(30), [np.arange(30)],
                     [[3, 1, 2, 12, 13]], measure)
        nearest_case(word + "_zero_rows", holes, rows, groups, kept, measure)
        nearest_case(word + "_nan", bad, rows, groups, kept, measure, status="DATA")
    assignment = own.integers(-1, 4, 30)
    weights = own.integers(1, 5, 30).astype(np.float32)
    for rule, word in enumerate(("mean", "add", "blend", "blend_count")):
        merge_case(word, x, rows, [3, 8, 21, 22], assignment, rule, 0.0, 0.25)
        merge_case(word + "_weights", x, rows, [22, 3, 8, 21], assignment, rule, 0.0, 0.75, weights)
        merge_case(word + "_nobody_joins", x, rows, [3, 8], np.full(30, -1), rule)
    merge_case("mean_heavy_anchor", x, rows, [3, 8, 21, 22], assignment, 0, 3.0)
    merge_case("weights_zero", x, rows, [3, 8, 21, 22], assignment, 0, 0.0, 0.0, np.zeros(30))
    density_case("one_group", x, rows, [np.arange(30)], [5])
    density_case("groups", x, rows, groups, [3, 0, 4, 8])
    density_case("others", x, rows, groups, [3, 0, 4, 8], 1)
    density_case("members", x, rows, [own.permutation(30)[:17]], [4], 0, True)
    density_case("mutual_neighbours_tie", x, rows, [np.arange(30)], [2])
    listed = np.random.default_rng(4545).permutation(30)
    density_case("tie_members", np.repeat(x[:10], 3, axis=0), np.arange(30), [listed], [2], 0, True)
    density_case("all_equal", np.ones((30, 4)), np.arange(30), [np.arange(30)], [3])
    density_case("one_token", x, rows, [np.arange(1)], [1], 1)
    density_case("nan", bad, rows, groups, [3, 0, 4, 5], status="DATA")


def reconstruction_case(name, x, rows, groups, basis, ridge=0.0, listed=False, status="OK"):
    at = np.asarray(x, np.float64)[np.asarray(rows)]
    out = np.zeros(len(rows))
    for group, part in zip(groups, basis):
        b = at[np.asarray(part, int)]
        w_ = np.linalg.solve(b @ b.T + (ridge or 1e-5) * np.eye(len(part)), b @ at[group].T)
        out[group] = np.linalg.norm(at[group] - w_.T @ b, axis=1)
    w.case("reconstruction", name, struct.pack("<fii", ridge, 0, 0), status)
    w.ins(("f32", x), ("i32", rows), ("i32", offsets([len(g) for g in groups])), members_of(groups, listed),
          ("i32", [int(i) for part in basis for i in part]), ("i32", offsets([len(b) for b in basis])))
    w.arg("out", "f32", out)


def make_reconstruction():
    own = np.random.default_rng(45)
    x = own.standard_normal((40, 24)).astype(np.float32)
    rows = own.permutation(40)[:30]
    groups = [np.arange(9), np.arange(9, 9), np.arange(9, 22), np.arange(22, 30)]
    basis = [[0, 5, 7], [], [20, 9, 12, 21], []]
    bad = x.copy()
    bad[rows[14], 2] = np.inf
    reconstruction_case("groups", x, rows, groups, basis)
    reconstruction_case("ridge", x, rows, groups, basis, 3.0)
    reconstruction_case("members", x, rows, [own.permutation(30)[:17]], [[4, 1, 9]], 0.0, True)
    reconstruction_case("equal_rows", np.repeat(x[:15], 2, axis=0), np.arange(30), [np.arange(30)], [[2, 3, 8, 9]])
    reconstruction_case("zero_row", np.vstack([np.zeros((1, 24)), x[:20]]), np.arange(21), [np.arange(21)], [[0, 3]])
    reconstruction_case("inf", bad, rows, groups, basis, status="DATA")


def principal_case(name, x, rows, groups, components, logistic, listed=False, status="OK"):
    at = np.asarray(x, np.float64)[np.asarray(rows)]
    part, strength = np.full(len(rows), -1), np.zeros(len(rows))
    for group, q in zip(groups, components):
        if len(group) and status == "OK":
            y = 1 / (1 + np.exp(-at[group])) if logistic else at[group]
            values, vectors = np.linalg.eigh((y - y.mean(1, keepdims=True)) @ (y - y.mean(1, keepdims=True)).T)
            weight = np.abs(vectors[:, ::-1][:, :q]) * (values[::-1][:q] > 1e-12 * values[-1])
            part[group], strength[group] = weight.argmax(1), weight.max(1)
    w.case("principal_groups", name, struct.pack("<iii", logistic, 0, 0), status)
    w.ins(("f32", x), ("i32", rows), ("i32", offsets([len(g) for g in groups])), members_of(groups, listed),
          ("i32", components))
    w.arg("out", "i32", part)
    w.arg("out", "f32", strength)


def nms_case(name, x, rows, groups, scores, factor, parts=None, listed=False, status="OK"):
    at = np.asarray(x, np.float64)[np.asarray(rows)]
    norms = np.sqrt((at * at).sum(1))
    u = np.divide(at, norms[:, None], out=np.zeros_like(at), where=norms[:, None] > 0)
    s = u @ u.T
    alive, means = np.full(len(rows), -1), []
    for group, f in zip(groups, factor):
        n = len(group)
        inner = s[np.ix_(group, group)]
        mean = (inner.sum() - np.trace(inner)) / (n * (n - 1)) if n > 1 else 0.0
        means.append(mean)
        order = sorted(group, key=lambda i: (-scores[i], i)) if status == "OK" else []
        alive[group] = 1
        for a, i in enumerate(order):
            for j in order[a + 1:]:
                if alive[i] and s[i, j] > f * mean and (parts is None or parts[i] == parts[j]):
                    alive[j] = 0
    w.case("nms", name, None, status)
    w.ins(("f32", x), ("i32", rows), ("i32", offsets([len(g) for g in groups])), members_of(groups, listed),
          NONE if parts is None else ("i32", parts), ("f32", scores), ("f32", factor))
    w.arg("out", "i32", alive)
    w.arg("out", "f32", means)


def neighbours_case(name, x, rows, groups, anchors, t, measure, listed=False, status="OK"):
    at = np.asarray(x, np.float64)[np.asarray(rows)]
    out = []
    for group, part in zip(groups, anchors):
        for a in part:
            others = np.array([j for j in sorted(group) if j != a], int)
            if measure:
                like = -((at[others] - at[a]) ** 2).sum(1)
            else:
                norms = np.sqrt((at[others] ** 2).sum(1) * (at[a] ** 2).sum())
                like = np.divide(at[others] @ at[a], norms, out=np.zeros(len(others)), where=norms > 0)
            best = others[np.argsort(-like, kind="stable")[:t]]
            out.append(np.concatenate([best, np.full(t - len(best), -1)]))
    w.case("neighbours", name, struct.pack("<i", measure), status)
    w.ins(("f32", x), ("i32", rows), ("i32", offsets([len(g) for g in groups])), members_of(groups, listed),
          ("i32", [int(a) for part in anchors for a in part]), ("i32", offsets([len(a) for a in anchors])))
    w.arg("out", "i32", np.array(out, int).reshape(-1, t))


def combine_case(name, x, rows, kept, own, lists, weights, dtype="f32"):
    at = np.asarray(x, np.float64)[np.asarray(rows)]
    out = [o * at[k] + sum((f * at[i] for i, f in zip(line, part)), np.zeros(at.shape[1]))
           for k, o, line, part in zip(kept, own, lists, weights)]
    w.case("combine_rows", name, None)
    w.ins(("f32", x), ("i32", rows), ("i32", kept), ("f32", own), ("i32", offsets([len(line) for line in lists])),
          ("i32", [int(i) for line in lists for i in line]), ("f32", [float(f) for part in weights for f in part]))
    w.arg("out", dtype, np.array(out))


def make_prumerge():
    own = np.random.default_rng(47)
    x = own.standard_normal((40, 24)).astype(np.float32)
    rows = own.permutation(40)[:30]
    groups = [np.arange(9), np.arange(9, 9), np.arange(9, 22), np.arange(22, 30)]
    anchors = [[0, 5, 7], [], [20, 9, 12], [3]]
    holes, bad = x.copy(), x.copy()
    holes[rows[10]] = 0
    bad[rows[14], 2] = np.nan
    for measure, word in enumerate(("cosine", "euclidean")):
        neighbours_case(word, x, rows, groups, anchors, 4, measure)
        neighbours_case(word + "_more_than_there_are", x, rows, groups, anchors, 20, measure)
        neighbours_case(word + "_members", x, rows, [own.permutation(30)[:17]], [[4, 1, 9]], 5, measure, True)
        neighbours_case(word + "_zero_row", holes, rows, groups, anchors, 6, measure)
        neighbours_case(word + "_nan", bad, rows, groups, anchors, 4, measure, status="DATA")
    neighbours_case("ties", np.repeat(x[:10], 3, axis=0), np.arange(30), [np.arange(30)], [[3, 0, 29]], 7, 0)
    lists = [[1, 2, 3], [], [3, 3, 29, 0], [7]]
    weights = [own.standard_normal(len(line)).astype(np.float32) for line in lists]
    combine_case("lists", x, rows, [4, 5, 6, 7], np.float32([1, 0.5, 0, -2]), lists, weights)
    combine_case("to_bf16", x, rows, [4, 5, 6, 7], np.float32([1, 0.5, 0, -2]), lists, weights, "bf16")
    combine_case("nothing", x, rows, [0], np.float32([1]), [[]], [[]])


def make_prunesid():
    own = np.random.default_rng(46)
    x = (own.standard_normal((44, 24)) + own.standard_normal(24)).astype(np.float32)
    rows = own.permutation(44)[:30]
    groups = [np.arange(9), np.arange(9, 9), np.arange(9, 22), np.arange(22, 30)]
    scores = own.random(30).astype(np.float32)
    holes, bad = x.copy(), x.copy()
    holes[rows[10]] = 0
    bad[rows[14], 2] = np.nan
    big = own.standard_normal((150, 40)).astype(np.float32) @ own.standard_normal((40, 64)).astype(np.float32)
    for logistic in (0, 1):
        principal_case(f"groups_{logistic}", x, rows, groups, [3, 0, 13, 1], logistic)
        principal_case(f"members_{logistic}", x, rows, [own.permutation(30)[:17]], [5], logistic, True)
    principal_case("many", big.astype(np.float32), np.arange(150), [np.arange(150)], [36], 1)
    principal_case("zero_row", holes, rows, groups, [2, 0, 4, 2], 0)
    principal_case("one", x, rows, [np.arange(1)], [1], 1)
    principal_case("nan", bad, rows, groups, [3, 0, 4, 1], 1, status="DATA")
    for factor in (0.3, 1.0, 1.5):
        nms_case(f"groups_{factor}", x, rows, groups, scores, [factor] * 4)
    parts = own.integers(0, 3, 30)
    nms_case("parts", x, rows, groups, scores, [0.5, 1, 0.8, 0.2], parts)
    nms_case("members", x, rows, [own.permutation(30)[:17]], scores, [0.9], parts, True)
    nms_case("ties", x, rows, groups, np.round(3 * scores) / 4, [1.0] * 4)
    nms_case("zero_row", holes, rows, groups, scores, [0.7] * 4)
    nms_case("one", x, rows, [np.arange(1)], scores, [1.0])
    nms_case("nan", bad, rows, groups, scores, [0.7] * 4, status="DATA")


def main():
    for make in (make_attention_scores, make_attention_rank, make_attention_heads, make_rows_reduce, make_norms_and_cosines, make_blend, make_topk, make_nominate,
                 make_sample, make_compact, make_groups, make_rows, make_linear, make_norms, make_rotary,
                 make_attention, make_activation, make_small, make_greedy,
                 make_prunesid,
                 make_pivots, make_merging, make_temporal, make_segments, make_static_windows, make_reconstruction,
                 make_prumerge,
                 make_gaussian_scores, make_curvature, make_text_raters, make_quota, make_reconcile,
                 make_pact, make_ivc,
                 make_crop_variance, make_overview):
        make()
    w.save()


if __name__ == "__main__":
    main()
