#!/usr/bin/env python3
"""Whole selections, stated a second time in NumPy.

For methods whose published code has no stored results. Written from the text of
the methods' pages (docs/methods) alone, in double precision, with matrices where
the kernels loop. Fixed seeds.

    python3 tools/golden/make_selections.py     writes tests/golden/selections/

<method>/caseNN.npz: `in_*` are tensors as docs/select.md names them, `out_*` what
`tokenprune select` has to answer. caseNN.json: the stage. tests/cli/published.py
compares.
"""

import json
import pathlib

import numpy as np

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "selections"


def save(method, number, stage, tensors, want, note=""):
    folder = OUT / method
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"in_" + k: v for k, v in tensors.items()} | {"out_" + k: v for k, v in want.items()}
    kinds = {k: np.float32 if np.asarray(v).dtype.kind == "f" else np.int32 for k, v in arrays.items()}
    np.savez_compressed(folder / f"case{number:02d}.npz", **{k: np.asarray(v, kinds[k]) for k, v in arrays.items()})
    head = {"method": method, "case": number, "made_by": "tools/golden/make_selections.py", "note": note,
            "stage": stage}
    (folder / f"case{number:02d}.json").write_text(json.dumps(head, indent=1) + "\n")


# --- data ----------------------------------------------------------------------


def smooth(rng, height, width, d, noise=0.05):
    """A smooth field on the grid, a few regions, noise."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = rng.standard_normal((6, d))
    rows = sum(np.cos(2 * np.pi * (rng.random() * 2 * y + rng.random() * 2 * x + rng.random()))[..., None] * w
               for w in waves)
    for _ in range(3):
        top, left = rng.integers(0, height - 2), rng.integers(0, width - 2)
        rows[top:top + 3, left:left + 3] += 2 * rng.standard_normal(d)
    rows = rows + noise * rng.standard_normal(rows.shape)
    return rows.reshape(-1, d).astype(np.float32)


def unit(x):
    x = np.asarray(x, np.float64)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)


def best(scores, k):
    """The k highest, of equal ones the lower index; ascending."""
    return np.sort(np.argsort(-np.asarray(scores), kind="stable")[:k])


# --- apet ----------------------------------------------------------------------


def farthest(x, b):
    """b farthest points by squared Euclidean distance, from the longest row on."""
    far = ((x[:, None] - x[None]) ** 2).sum(-1)
    chosen = [int(np.argmax((x * x).sum(1)))]
    while len(chosen) < min(b, len(x)):
        near = far[chosen].min(0)
        near[chosen] = -1.0
        chosen.append(int(np.argmax(near)))
    return chosen


def apet(x, k, b, share):
    x = np.asarray(x, np.float64)
    n = len(x)
    basis = farthest(x, b)
    rows = x[basis]
    weights = np.linalg.solve(rows @ rows.T + 1e-5 * np.eye(len(basis)), rows @ x.T)
    error = np.linalg.norm(x - weights.T @ rows, axis=1)
    kept = best(error, k)
    absorb = set(best(error, max(0, k - b)).tolist())
    swapped = [i for i in kept if i not in absorb]
    assignment = np.full(n, -1)
    like = unit(x) @ unit(x).T
    takers = sorted(absorb)
    members = {i: [i] for i in takers}
    for i in range(n):
        if i not in kept and takers:
            to = takers[int(np.argmax(like[i, takers]))]
            members[to].append(i)
            assignment[i] = list(kept).index(to)
    out = x[kept].copy()
    for place, i in enumerate(kept):
        assignment[i] = place
        if i in absorb:
            out[place] = x[members[i]].mean(0)
    for i, source in zip(swapped, sorted(farthest(x, len(swapped)))):
        out[list(kept).index(i)] = (1 - share) * x[i] + share * x[source]
    sizes = [float(len(members.get(i, [i]))) for i in kept]
    return {"kept": kept, "rows": out, "scores": error, "assignment": assignment, "sizes": np.array(sizes)}


def make_apet():
    rng = np.random.default_rng(91)
    cases = [
        (smooth(rng, 12, 12, 32), 24, 10, 1.0, "smooth field"),
        (rng.standard_normal((100, 24)).astype(np.float32), 30, 6, 1.0, "independent rows"),
        (smooth(rng, 8, 10, 16), 20, 5, 0.5, "half of the basis, as for Qwen"),
        (np.repeat(rng.standard_normal((16, 20)), 4, 0).astype(np.float32), 20, 10, 1.0, "every row four times"),
        (rng.standard_normal((64, 16)).astype(np.float32), 8, 10, 1.0, "fewer kept than the basis"),
    ]
    for number, (x, k, b, share, note) in enumerate(cases, 1):
        n = len(x)
        side = int(round(n ** 0.5))
        grid = [side, side] if side * side == n else [8, 10]
        if number == 4:
            # Exact ties: rounding decides which error is larger, so leave them out.
            x = x + np.linspace(0, 1e-2, n)[:, None].astype(np.float32)
        stage = ["projector", f"scorer: {{kind: reconstruction, basis: {b}}}",
                 f"selector: {{kind: chain, parts: [{{all_but: {b}, selector: topk}}, {{selector: topk}}]}}",
                 f"merger: {{kind: nearest, replace: 1, replace_share: {share}}}", f"budget: {{count: {k}}}"]
        save("apet", number, stage, {"features": x, "grid": np.array(grid)}, apet(x, k, b, share), note)


# --- prunesid ------------------------------------------------------------------


def principal(x, q, logistic=True):
    """The q first principal components of the tokens as columns: |weight| [n, q]."""
    y = 1 / (1 + np.exp(-x)) if logistic else x
    y = y - y.mean(1, keepdims=True)
    values, vectors = np.linalg.eigh(y @ y.T)
    assert np.diff(values[-q - 1:]).min() > 1e-6 * values[-1], "components are not told apart"
    return np.abs(vectors[:, ::-1][:, :q])


def prunesid_quota(size, alive, keep, k):
    size, alive = np.array(size), np.array(alive)
    most = np.minimum(np.minimum(size, alive), 5 * -(-k // 64))
    while most.sum() < min(k, size.sum()):
        most = np.minimum(most + 1, size)
    low = np.minimum(1, size)
    rest = keep - low.sum()
    steps = np.diff(np.concatenate([[0], np.round(rest * np.cumsum(alive) / alive.sum())])).astype(int)
    quota = np.minimum(low + steps, most)
    filled = 0
    for c in np.argsort(-alive, kind="stable"):
        more = min(keep - quota.sum(), most[c] - quota[c])
        filled += more
        quota[c] += more
    assert quota.sum() == keep
    return quota, filled


def prunesid(x, a, keep, class_token=True, by_share=False, strength=False, logistic=True, valid=None):
    """Kept tokens of one group; `valid`: the members."""
    members = np.arange(len(x)) if valid is None else np.flatnonzero(valid)
    x = np.asarray(x, np.float64)[members]
    n, k = len(x), keep + class_token
    q = min(max(1, k // 4), n)
    weights = principal(x, q, logistic)
    part = weights.argmax(1)
    score = weights.max(1) if strength else np.asarray(a, np.float64)[members]
    u = unit(x)
    s = u @ u.T
    tau = (max(18 * k / n, 1.0) if by_share else k / 32) * (s.sum() - np.trace(s)) / (n * (n - 1))
    assert np.abs(s - tau).min() > 1e-7
    order = np.argsort(-score, kind="stable")
    alive = np.ones(n, bool)
    for rank, i in enumerate(order):
        if alive[i]:
            later = order[rank + 1:]
            alive[later[(part[later] == part[i]) & (s[i, later] > tau)]] = False
    sizes = [int((part == c).sum()) for c in range(q)]
    quota, filled = prunesid_quota(sizes, [int((alive & (part == c)).sum()) for c in range(q)], keep, k)
    kept = []
    for c in range(q):
        line = sorted(np.flatnonzero(part == c), key=lambda i: (not alive[i], -score[i], i))
        kept += line[:quota[c]]
    return members[np.sort(kept)], filled


def make_prunesid():
    rng = np.random.default_rng(92)
    number = 0
    for height, width, d, keep, more in (
            (8, 8, 32, 15, {}), (9, 7, 24, 31, {}), (12, 12, 48, 24, {"by_share": True, "strength": True}),
            (10, 10, 40, 30, {"class_token": False}), (8, 9, 20, 60, {}), (6, 6, 16, 5, {"logistic": False}),
            (12, 12, 32, 90, {"class_token": False})):
        x = smooth(rng, height, width, d)
        a = rng.random(height * width).astype(np.float32)
        valid = rng.random(height * width) < 0.85 if number in (1, 3) else np.ones(height * width, bool)
        kept, filled = prunesid(x, a, keep, valid=valid, **more)
        number += 1
        options = {"class_token": True} | more
        words = ["kind: nms-groups", "feature: vision"]
        words += ["class_token: true"] if options["class_token"] else []
        words += ["limit: by-share"] if options.get("by_share") else []
        words += ["rank: strength"] if options.get("strength") else []
        words += ["plain: true"] if options.get("logistic") is False else []
        stage = ["projector", "scorer: cls-attention"] if not options.get("strength") else ["projector"]
        stage += ["selector: {%s}" % ", ".join(words), f"budget: {{count: {keep}}}"]
        tensors = {"vision": x, "features": x, "cls_attention": a, "grid": np.array([height, width]),
                   "valid": valid.astype(int)}
        save("prunesid", number, stage, tensors, {"kept": kept, "rows": x[kept]},
             f"{filled} tokens fill the groups of most survivors")


# --- bipartite matching ----------------------------------------------------------


def bipartite(x, z, ends, kept_count, class_token, keep):
    """Groups end at `ends`; each keeps kept_count of its tokens, those of `keep` among them."""
    x, u = np.asarray(x, np.float64), unit(z)
    kept, to, rows, sizes = [], np.zeros(len(x), int), [], []
    for first, end in zip([0] + ends[:-1], ends):
        place = np.arange(first, end)
        free = ~keep[first:end]
        side = (place - first + class_token) % 2
        a, b = place[(side == 0) & free], place[(side == 1) & free]
        like = u[a] @ u[b].T
        partner, value = b[like.argmax(1)], like.max(1)
        gone = best(value, end - first - kept_count)
        ordered = np.sort(value)[::-1]
        cut = len(gone)
        assert cut in (0, len(a)) or ordered[cut - 1] - ordered[cut] > 1e-6 or ordered[cut - 1] == ordered[cut]
        into = {int(a[g]): int(partner[g]) for g in gone}
        for i in place:
            if i not in into:
                members = [i] + [g for g, p in into.items() if p == i]
                to[members] = len(kept)
                kept.append(i)
                rows.append(x[members].mean(0))
                sizes.append(float(len(members)))
    return {"kept": np.array(kept), "rows": np.array(rows), "assignment": to, "sizes": np.array(sizes)}


def make_bipartite():
    rng = np.random.default_rng(93)
    same = np.repeat(2 * np.eye(3, 8), 12, 0)  # ties everywhere: the lowest go first
    cases = [
        (smooth(rng, 12, 12, 24), [144], 72, 0, 0.0, "half of a picture"),
        (smooth(rng, 12, 12, 24), [144], 100, 1, 0.0, "a class token before it"),
        (rng.standard_normal((70, 16)), [35, 70], 20, 0, 0.0, "two pictures, an odd count"),
        (rng.standard_normal((72, 16)), [36, 72], 25, 1, 0.2, "protected tokens"),
        (same, [36], 19, 0, 0.0, "rows that are the same"),
        (np.where(rng.random((48, 1)) < 0.3, 0, rng.standard_normal((48, 6))), [48], 30, 0, 0.0, "rows of zeros"),
        (rng.standard_normal((9, 4)), [9], 5, 0, 0.0, "all that may go"),
    ]
    for number, (z, ends, count, class_token, protect, note) in enumerate(cases, 1):
        z = np.asarray(z, np.float32)
        x = rng.standard_normal((len(z), 10)).astype(np.float32)
        keep = rng.random(len(z)) < protect
        stage = ["projector", "selector: {kind: bipartite, feature: vision-keys, class_token: %s}"
                 % ("true" if class_token else "false"), "merger: bipartite",
                 f"budget: {{count: {count}, scope: image}}"]
        tensors = {"features": x, "vision_keys": z, "grid": np.array([[1, ends[0]]] * len(ends)),
                   "keep_always": keep.astype(int)}
        save("bipartite", number, stage, tensors, bipartite(x, z, ends, count, class_token, keep), note)


# --- vscan, duet: the part before the language model ------------------------------


def merged(x, kept, like, takers, joining, add):
    """Each of `joining` joins the taker it is most like: rows, assignment, sizes of `kept`."""
    x = np.asarray(x, np.float64)
    members = {i: [] for i in kept}
    assignment = np.full(len(x), -1)
    for i in joining:
        to = takers[int(np.argmax(like[i, takers]))]
        members[to].append(i)
        assignment[i] = list(kept).index(to)
    assignment[kept] = np.arange(len(kept))
    rows = []
    for i in kept:
        if add and members[i]:
            rows.append(x[i] + x[members[i]].mean(0))
        else:
            rows.append(x[[i] + members[i]].mean(0))
    return np.array(rows), assignment, np.array([1.0 + len(members[i]) for i in kept])


def vscan(x, shallow, deep, grid, side, k):
    height, width = grid
    n = height * width
    places = np.arange(n).reshape(height, width)
    windows = [places[y:y + side, x0:x0 + side].ravel() for y in range(0, height, side) for x0 in range(0, width, side)]
    each = k // 2 // len(windows)
    local = np.concatenate([line[best(shallow[line], each)] for line in windows]).astype(int)
    others = np.setdiff1d(np.arange(n), local)
    kept = np.sort(np.concatenate([local, others[best(deep[others], k - len(local))]]))
    like = unit(x) @ unit(x).T
    return kept, *merged(x, kept, like, kept, np.setdiff1d(np.arange(n), kept), False)


def duet(x, keys, a, k, factor, share):
    n = len(x)
    dominant = best(a, int(share * k))
    left = np.setdiff1d(np.arange(n), dominant)
    c = k - len(dominant)
    pool = left[best(a[left], min(len(left), factor * c))]
    anchors = pool[::max(1, len(pool) // max(1, c))][:c]
    kept = np.sort(np.concatenate([dominant, anchors]))
    like = unit(keys) @ unit(keys).T
    return kept, *merged(x, kept, like, anchors, np.setdiff1d(pool, anchors), True)


def joined(parts, sizes):
    """Images one after the other."""
    starts = np.cumsum([0] + sizes[:-1])
    counts = np.cumsum([0] + [len(part[0]) for part in parts[:-1]])
    return {"kept": np.concatenate([part[0] + at for part, at in zip(parts, starts)]),
            "rows": np.concatenate([part[1] for part in parts]),
            "assignment": np.concatenate([np.where(part[2] < 0, -1, part[2] + at) for part, at in zip(parts, counts)]),
            "sizes": np.concatenate([part[3] for part in parts])}


def make_vscan():
    rng = np.random.default_rng(93)
    for number, (grids, side, k, note) in enumerate((
            ([(12, 12)], 6, 24, "half comes out even"),
            ([(12, 12)], 6, 31, "half does not: 3 of each window, 19 by the deep row"),
            ([(9, 13), (9, 13)], 6, 40, "two pictures whose last windows are smaller"),
            ([(7, 8)], 6, 40, "a window smaller than its share: two tokens"),
            ([(12, 12)], 6, 7, "less than one for each window: all by the deep row")), 1):
        pictures = [(smooth(rng, *grid, 16), rng.random(grid[0] * grid[1]).astype(np.float32),
                     rng.random(grid[0] * grid[1]).astype(np.float32), grid) for grid in grids]
        sizes = [grid[0] * grid[1] for grid in grids]
        stage = ["projector", "scorer: cls-attention",
                 f"selector: {{kind: chain, parts: [{{share: 1/2, selector: {{kind: window, window: [{side}, {side}], "
                 "even: true, scorer: {kind: cls-attention, shallow: true}}}, {selector: topk}]}",
                 "merger: {kind: nearest, rule: mean}", f"budget: {{count: {k}, scope: image}}"]
        tensors = {"features": np.concatenate([p[0] for p in pictures]),
                   "cls_shallow": np.concatenate([p[1] for p in pictures]),
                   "cls_attention": np.concatenate([p[2] for p in pictures]), "grid": np.array(grids)}
        save("vscan", number, stage, tensors, joined([vscan(*p, side, k) for p in pictures], sizes), note)


def make_duet():
    rng = np.random.default_rng(94)
    for number, (grids, k, factor, share, note) in enumerate((
            ([(12, 12)], 41, 4, (34, 41), "28 of 110 are the pool"),
            ([(8, 9), (10, 6)], 20, 4, (3, 4), "two pictures"),
            ([(8, 8)], 24, 2, (1, 2), "a pool of twice the anchors"),
            ([(6, 6)], 30, 4, (34, 41), "a pool of all that is left")), 1):
        pictures = [(smooth(rng, *grid, 16), smooth(rng, *grid, 8), rng.random(grid[0] * grid[1]).astype(np.float32))
                    for grid in grids]
        sizes = [grid[0] * grid[1] for grid in grids]
        stage = ["projector", "scorer: cls-attention",
                 f"selector: {{kind: chain, parts: [{{share: {share[0]}/{share[1]}, selector: topk}}, "
                 f"{{pool_factor: {factor}, selector: stride}}]}}",
                 "merger: {kind: nearest, feature: vision-keys, rule: add, into: 1}",
                 f"budget: {{count: {k}, scope: image}}"]
        tensors = {"features": np.concatenate([p[0] for p in pictures]),
                   "vision_keys": np.concatenate([p[1] for p in pictures]),
                   "cls_attention": np.concatenate([p[2] for p in pictures]), "grid": np.array(grids)}
        want = joined([duet(*p, k, factor, share[0] / share[1] + 1e-12) for p in pictures], sizes)
        save("duet", number, stage, tensors, want, note)


# --- prumerge ------------------------------------------------------------------


def prumerge(x, keys, a, most, near, plus, capped, rule, members):
    """Kept tokens, their rows and what each stands for; of one group."""
    n = len(members)
    s = a[members].astype(np.float64)
    q1, q3 = np.percentile(s, [25, 75])
    count = max(int((s > q3 + 1.5 * (q3 - q1)).sum()), 1)
    order = np.argsort(-s, kind="stable")
    kept = set(order[:count].tolist())
    if plus:
        kept |= set(range(0, n, max(int(int(n / count) / 3), 1)))
    seats = int(most > 1)
    for i in order[::-1]:
        if len(kept) > most - seats:
            kept.discard(int(i))
    for i in order:
        if capped and len(kept) < most - seats:
            kept.add(int(i))
    spare = next((int(i) for i in order if seats and int(i) not in kept), None)
    everything = sorted(kept | ({spare} - {None}))
    rest = [i for i in range(n) if i not in everything]
    u = unit(keys[members])
    rows, sizes, assignment = [], [], np.full(n, -1)
    for place, i in enumerate(everything):
        if i == spare:
            into = [i] + rest
            assignment[rest] = place
        else:
            like = u[rest] @ u[i]
            into = [rest[j] for j in np.argsort(-like, kind="stable")[:near]]
        w, y = s[into], x[members][into].astype(np.float64)
        own = x[members][i].astype(np.float64) * (i != spare)
        rows.append(own + (w @ y if rule == "sum" else w @ y / w.sum() if len(into) else 0))
        sizes.append(len(into) + (i != spare))
        assignment[i] = place
    if spare is None:
        for place, i in enumerate(everything):
            like = u[rest] @ u[i]
            for j in np.argsort(-like, kind="stable")[:near]:
                if assignment[rest[j]] < 0:
                    assignment[rest[j]] = place
    return np.array(everything), np.array(rows), np.array(sizes, float), assignment


def make_prumerge():
    rng = np.random.default_rng(93)
    for number, (height, width, most, near, plus, capped, rule, share) in enumerate((
            (12, 12, None, 32, False, False, "sum", 1), (12, 12, None, 32, True, False, "sum", 1),
            (10, 9, 20, 8, True, True, "sum", 0.8), (10, 10, 30, 32, False, True, "sum", 1),
            (8, 8, 24, 5, True, True, "add", 0.9), (6, 6, None, 4, False, False, "sum", 1), (8, 8, 1, 4, False, True, "sum", 1)), 1):
        n = height * width
        x, keys = smooth(rng, height, width, 20), smooth(rng, height, width, 12)
        a = (0.01 * rng.random(n) ** 3 + 0.05 * (rng.random(n) > 0.93)).astype(np.float32)
        if number == 6:
            a = (0.01 + 0.001 * rng.permutation(n)).astype(np.float32)  # nothing stands out
        valid = rng.random(n) < share
        members = np.flatnonzero(valid)
        kept, rows, sizes, assignment = prumerge(x, keys, a, most or len(members), near, plus, capped, rule, members)
        whole = np.full(n, -1)
        whole[members] = assignment
        words = ["kind: outliers", "spare: true"] + ["uniform: true"] * plus
        stage = ["projector", "scorer: cls-attention", "selector: {%s}" % ", ".join(words),
                 f"merger: {{kind: knn, feature: vision-keys, neighbours: {near}, rule: {rule}, bag: 1}}",
                 "budget: all" if most is None else f"budget: {{count: {most}}}"]
        save("prumerge", number, stage,
             {"features": x, "vision_keys": keys, "cls_attention": a, "grid": np.array([height, width]),
              "valid": valid.astype(int)},
             {"kept": members[kept], "rows": rows, "sizes": sizes, "assignment": whole})


# --- holov ---------------------------------------------------------------------


def remainder(total, weights, room):
    """Whole numbers in proportion to weights, none above its room; what does not fit goes to the others."""
    given = np.zeros(len(room), int)
    while total:
        open_ = [g for g in range(len(room)) if given[g] < room[g]]
        if weights[open_].sum() == 0:
            given[open_[0]] += 1
            total -= 1
            continue
        ideal = {g: total * weights[g] / weights[open_].sum() for g in open_}
        full = [g for g in open_ if np.floor(ideal[g]) >= room[g] - given[g] and np.floor(ideal[g]) > 0]
        full = [g for g in full if np.floor(ideal[g]) > room[g] - given[g]] and full
        if full:
            for g in full:
                total -= room[g] - given[g]
                given[g] = room[g]
            continue
        for g in open_:
            given[g] += int(np.floor(ideal[g]))
        left = total - sum(int(np.floor(v)) for v in ideal.values())
        free = [g for g in open_ if given[g] < room[g]]
        for g in sorted(free, key=lambda g: (np.floor(ideal[g]) - ideal[g], g))[:left]:
            given[g] += 1
        total = left - min(left, len(free))
    return given


def holov(x, a, k, crops, bare):
    parts = np.array_split(np.arange(len(x)), min(crops, len(x)))
    weights = []
    for part in parts:
        n = len(part)
        t = a[part].astype(np.float64) * (1 if bare and n == 1 else 1000)
        s = unit(x[part]) @ unit(x[part]).T
        s = np.where(np.eye(n, dtype=bool), 0.0, s)
        m = s.sum(1) / max(n - 1, 1)
        v = ((s - m[:, None]) ** 2).sum(1) / max(n - 1, 1) if n > 1 else np.zeros(1)
        weights.append((t + 0.09 * np.abs(t).mean() / (v.mean() + 1e-6) * v).mean())
    w = np.array(weights)
    w = w / w.sum() if w.sum() else np.full(len(w), 1 / len(w))
    quota = np.floor(k * w + 1e-9).astype(int)
    for g in np.argsort(-w, kind="stable")[:k - quota.sum()]:
        quota[g] += 1
    sizes = np.array([len(p) for p in parts])
    over = np.maximum(quota - sizes, 0)
    quota -= over
    quota += remainder(int(over.sum()), w, sizes - quota)
    return np.sort(np.concatenate([part[best(a[part], q)] for part, q in zip(parts, quota)])), quota


def make_holov():
    rng = np.random.default_rng(13)

    def attention(n, sharp):
        a = np.exp(sharp * rng.standard_normal(n))
        return (a / a.sum()).astype(np.float32)

    cases = [
        ([(12, 12)], 32, 20, 16, 1.0, False, "crops of nine"),
        ([(9, 11)], 24, 30, 16, 1.0, False, "crops of six and of seven"),
        ([(8, 8)], 24, 40, 16, 3.0, False, "crops that are full"),
        ([(5, 4)], 16, 9, 16, 0.5, True, "crops of one and of two, their scores as published"),
        ([(5, 4)], 16, 9, 16, 0.5, False, "crops of one and of two"),
        ([(3, 3)], 16, 4, 16, 1.0, False, "fewer tokens than crops"),
        ([(6, 6), (10, 4)], 16, 12, 5, 1.0, False, "two pictures"),
        ([(8, 8)], 24, 16, 16, 0.0, False, "even attention: all crops alike"),
    ]
    for number, (grids, d, k, crops, sharp, bare, note) in enumerate(cases, 1):
        xs, scores, kept, first = [], [], [], 0
        for rows, cols in grids:
            n = rows * cols
            x, a = smooth(rng, rows, cols, d), attention(n, sharp)
            if number == 8:
                x = np.ones_like(x)
            x[n // 2] = 0.0 if number != 8 else 1.0
            if number == 2:
                a[:] = np.round(a * 200) / 200 + np.float32(1e-3)
            chosen, quota = holov(x, a, k, crops, bare)
            assert len(chosen) == k == quota.sum()
            kept.append(chosen + first)
            xs.append(x)
            scores.append(a)
            first += n
        stage = ["projector", "scorer: cls-attention",
                 f"selector: {{kind: quota, groups: image, crops: {crops}, rule: heaviest, "
                 f"weigh: {{kind: variance, scope: image, crops: {crops}, compat: {'official' if bare else 'none'}}}}}",
                 f"budget: {{count: {k}, scope: image}}"]
        a = np.concatenate(scores)
        save("holov", number, stage, {"features": np.concatenate(xs), "cls_attention": a, "grid": np.array(grids)},
             {"kept": np.concatenate(kept), "scores": a}, note)


# --- folded windows ---------------------------------------------------------------


def fold(x, grids, keep, window, threshold=None, count=None, together=False):
    """Each picture by itself; of those not protected."""
    x, u = np.asarray(x, np.float64), unit(x)
    pictures, first = [], 0
    for rows, cols in grids:
        windows = {}
        for i in range(rows * cols):
            if not keep[first + i]:
                windows.setdefault((i // cols // window[0], i % cols // window[1]), []).append(first + i)
        windows = [windows[k] for k in sorted(windows)]
        alike = []
        for w in windows:
            s, n = u[w] @ u[w].T, len(w)
            alike.append((s.sum() - np.trace(s)) / (n * (n - 1)) if n > 1 else 0.0)
        pictures.append((windows, np.array(alike)))
        first += rows * cols
    gone = {}
    least = min(int((a >= threshold).sum()) for _, a in pictures) if together else None
    for (windows, alike), (rows, cols) in zip(pictures, grids):
        order = np.argsort(-alike, kind="stable")
        if count is None:
            assert np.abs(alike - threshold).min() > 1e-6
            folds, left = int((alike >= threshold).sum()), rows * cols
            folds = min(folds, least) if together else folds
        else:
            folds, left = len(order), rows * cols - count
        for w in order[:folds]:
            for i in windows[w][1:]:
                if left > 0:
                    gone[i] = windows[w][0]
                    left -= 1
    kept = np.array([i for i in range(len(x)) if i not in gone])
    place = {int(i): k for k, i in enumerate(kept)}
    to = np.array([place[gone.get(i, i)] for i in range(len(x))])
    rows = np.array([x[to == k].mean(0) for k in range(len(kept))])
    return {"kept": kept, "rows": rows, "assignment": to,
            "sizes": np.array([float((to == k).sum()) for k in range(len(kept))])}


def make_fold():
    rng = np.random.default_rng(94)
    cases = [
        ([(9, 9)], (3, 3), {"threshold": 0.6}, 0.0, "as published"),
        ([(7, 10)], (3, 3), {"threshold": 0.5}, 0.0, "windows at the edge are smaller"),
        ([(8, 8), (8, 8)], (2, 4), {"threshold": 0.5, "together": True}, 0.0, "two pictures fold as many"),
        ([(8, 8), (6, 6)], (2, 2), {"threshold": 0.5}, 0.1, "protected tokens"),
        ([(12, 12)], (3, 3), {"count": 60}, 0.0, "a budget; the last window goes in part"),
        ([(9, 9), (9, 9)], (3, 3), {"count": 41}, 0.1, "a budget for each picture"),
        ([(12, 12)], (3, 3), {"count": 16}, 0.0, "one of each window"),
    ]
    for number, (grids, window, how, protect, note) in enumerate(cases, 1):
        x = np.concatenate([smooth(rng, rows, cols, 12, 0.4) for rows, cols in grids])
        keep = rng.random(len(x)) < protect
        words = [f"kind: fold, window: [{window[0]}, {window[1]}]"]
        words += [f"threshold: {how['threshold']}"] if "threshold" in how else []
        words += ["together: true"] if how.get("together") else []
        budget = f"count: {how['count']}" if "count" in how else "all: true"
        stage = ["projector", "selector: {%s}" % ", ".join(words), "merger: fold",
                 f"budget: {{{budget}, scope: image}}"]
        save("fold", number, stage, {"features": x, "grid": np.array(grids), "keep_always": keep.astype(int)},
             fold(x, grids, keep, window, **how), note)


# --- tiles ----------------------------------------------------------------------


def blocks(side, lines, columns, top, left, rows, cols, first):
    """Candidate numbers of each tile: the canvas is cut up whole, then what padding took is left out."""
    canvas = np.full((side * lines, side * columns), -1)
    canvas[top:top + rows, left:left + cols] = first + np.arange(rows * cols).reshape(rows, cols)
    for tile in canvas.reshape(lines, side, columns, side).swapaxes(1, 2).reshape(lines * columns, -1):
        yield tile[tile >= 0]


def make_tiles():
    """A picture whole and in tiles (any resolution): so many of each tile."""
    rng = np.random.default_rng(95)
    for number, (side, lines, columns, cut, kind, share, note) in enumerate((
            (8, 2, 2, (0, 0, 0, 0), "topk", (1, 4), "four whole tiles"),
            (6, 1, 2, (2, 2, 0, 0), "topk", (1, 3), "side by side, padding above and below, newlines"),
            (6, 3, 1, (0, 0, 1, 2), "topk", (1, 5), "one above the other, padding left and right, newlines"),
            (5, 2, 2, (3, 2, 0, 0), "masked", (2, 5), "padding that is still there, behind a mask"),
            (4, 1, 3, (1, 1, 0, 0), "stride", (1, 3), "an even stride through each tile"),
            (4, 2, 3, (5, 1, 0, 0), "topk", (1, 4), "the first line of tiles is padding altogether")), 1):
        up, down, before, behind = cut
        masked = kind == "masked"
        rows, cols = side * lines - up - down, side * columns - before - behind
        n = side * side
        parts = [np.arange(n)] + list(blocks(side, lines, columns, up, before, rows, cols, n))
        tile = [[side, side, 0, 0], [side, side, up % side, before % side]]
        grids = [[side, side], [rows, cols]]
        valid = np.ones(n + rows * cols, int)
        if masked:
            grids, tile = [[side, side], [side * lines, side * columns]], [[side, side]]
            inside = np.zeros((side * lines, side * columns), int)
            inside[up:up + rows, before:before + cols] = 1
            valid = np.concatenate([np.ones(n, int), inside.ravel()])
            cells = np.flatnonzero(valid)
            parts = [cells[part] for part in parts]
        scores = rng.random(len(valid)).astype(np.float32)
        kept = []
        for part in parts:
            k = round(len(part) * share[0] / share[1])
            kept += [part[i] for i in best(scores[part], k)] if kind != "stride" else \
                [part[i * (len(part) // k)] for i in range(k)]
        tensors = {"cls_attention": scores, "grid": np.array(grids), "tile": np.array(tile)}
        if masked:
            tensors["valid"] = valid
        if "newlines" in note:
            tensors["span"] = np.array([[0, n], [n, n + rows * (cols + 1)]])
        scorer = "scorer: none" if kind == "stride" else "scorer: cls-attention"
        stage = ["projector", scorer, "selector: " + ("stride" if kind == "stride" else "topk"),
                 f"budget: {{ratio: {share[0]}/{share[1]}, scope: tile}}"]
        save("tiles", number, stage, tensors, {"kept": np.sort(kept)}, note)


# --- ivc -----------------------------------------------------------------------


def values_like(v, rows, visual):
    """Softmax over the visual tokens of products with each of `rows`, mean over the heads: [rows, N]."""
    z = np.einsum("thc,nhc->htn", v[rows].astype(np.float64), v[visual].astype(np.float64)) / np.sqrt(v.shape[2])
    e = np.exp(z - z.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).mean(0)


def turns(positions, visual, channels, theta):
    """Mean cosine and sine of the angles, in the f32 steps of the models."""
    e = (np.arange(0, channels, 2, dtype=np.float32) / np.float32(channels)).astype(np.float64)
    inverse = np.float32(1) / np.power(theta, e).astype(np.float32)
    angles = positions[:, visual, None].astype(np.float32) * inverse
    return [f(angles).astype(np.float64).mean((0, 2)) for f in (np.cos, np.sin)]


def of(n, share):
    return n * share[0] // share[1]


def foreground(v, visual, text, seeds):
    """Best few by the text, and the final score with them as queries, too."""
    first = values_like(v, text, visual)
    chosen = best(first.mean(0), max(1, of(len(visual), seeds)) if seeds[0] else 0)
    return chosen, np.concatenate([first, values_like(v, visual[chosen], visual)]).mean(0)


def ivc(v, positions, visual, text, theta, coordinates, seeds, share):
    n = len(visual)
    chosen, score = foreground(v, visual, text, seeds)
    must = set(chosen.tolist())
    for mean in turns(positions, visual, v.shape[2], theta):
        must |= set(best(mean, of(n, coordinates)).tolist())
    wanted = max(int(np.floor(n * share[0] / share[1] + 0.5)), len(must))
    kept = set(must)
    for i in np.argsort(-score, kind="stable"):
        if len(kept) < wanted:
            kept.add(int(i))
    return np.array(sorted(kept))


def make_ivc():
    rng = np.random.default_rng(96)
    number = 0
    for grids, rows_of, seeds, keep in (([(8, 9)], 1, (0, 1), 30), ([(12, 12)], 1, (1, 100), 72), ([(10, 10)], 3, (1, 20), 33),
                                        ([(6, 6), (5, 5)], 1, (1, 100), 20)):
        heads, c, before, between, after = 3, 10, 4, 1, 9
        starts, rows = [], before
        for h, w in grids:
            starts.append(rows)
            rows += h * w + between
        rows += after - between
        spans = [np.arange(at, at + h * w) for at, (h, w) in zip(starts, grids)]
        visual, text = np.concatenate(spans), np.arange(spans[-1][-1] + 1, rows)
        v = rng.standard_normal((rows, heads, c)).astype(np.float32)
        positions = np.tile(np.arange(rows), (rows_of, 1))
        if rows_of == 3:
            h, w = grids[0]
            positions[:, visual] = before + np.stack([np.zeros(h * w, int), np.arange(h * w) // w, np.arange(h * w) % w])
            positions[:, text] = before + max(h, w) + np.arange(len(text))
        tensors = {"values": v, "positions": positions, "grid": np.array(grids),
                   "span": np.array([[x[0], x[-1] + 1] for x in spans])}
        number += 1
        chosen, score = foreground(v, visual, text, seeds)
        save("ivc", number, ["llm:2", f"scorer: {{kind: value-attention, seeds: {seeds[0]}/{seeds[1]}}}", "selector: topk",
                             f"budget: {{count: {keep}}}"], tensors, {"kept": best(score, keep), "scores": score})
        for sine, mean in enumerate(turns(positions, visual, c, 10000.0)):
            number += 1
            assert np.diff(np.sort(mean)).min() > 1e-7 or rows_of == 3
            save("ivc", number, ["llm:2", "scorer: {kind: rotary, sine: %s}" % ("false", "true")[sine], "selector: topk",
                                 f"budget: {{count: {keep}}}"], tensors | {"rope_theta": np.array([10000.0])},
                 {"kept": best(mean.astype(np.float32), keep), "scores": mean})


# --- pact ----------------------------------------------------------------------


def mean_query(q, k, tokens):
    """Attention that tokens get from the mean of their queries, mean over the heads."""
    heads = q.shape[1] // k.shape[1]
    mean = q[tokens].astype(np.float64).mean(0)
    z = np.einsum("hc,nhc->hn", mean, np.repeat(k[tokens].astype(np.float64), heads, 1)) / np.sqrt(q.shape[2])
    e = np.exp(z - z.max(1, keepdims=True))
    return (e / e.sum(1, keepdims=True)).mean(0)


def centres(d, t):
    """DBDPC as published: rounds over what is left; few centres in a round: one after the other."""
    rho = np.exp(-(d / 2) ** 2).sum(1).astype(np.float32)
    rank = np.argsort(np.argsort(-rho, kind="stable"))  # 0 is the densest
    left, found = list(range(len(d))), []
    while left:
        delta = {i: min((d[i, j] for j in left if rank[j] < rank[i]), default=np.inf) for i in left}
        new = [i for i in left if delta[i] > t]
        if len(new) < 10:
            for i in sorted(left, key=lambda i: rank[i]):
                if all(d[i, j] > t for j in found):
                    found.append(i)
            break
        found += new
        left = [i for i in left if i not in new and d[i, new].min() > t]
    return sorted(found)


def pact(t, tokens, share, limit, wanted):
    """Kept, scores, assignment (positions in `tokens`), and what each kept one holds."""
    n = len(tokens)
    s = mean_query(t["plain_q"], t["plain_k"], tokens) * np.linalg.norm(t["hidden"][tokens].astype(np.float64), axis=1)
    u = unit(t["k"][tokens].reshape(n, -1))
    d = 1 - u @ u.T
    order = np.argsort(-s, kind="stable")
    pool = np.sort(order[:max(1, n * share[0] // share[1])])
    chosen = [int(pool[i]) for i in centres(d[np.ix_(pool, pool)], limit)]
    if wanted is not None:
        for i in order[::-1]:
            if len(chosen) > wanted and i in chosen:
                chosen.remove(i)
        for i in order:
            if len(chosen) < wanted and i not in chosen:
                chosen.append(int(i))
    kept = np.sort(chosen)
    to = np.argmin(d[:, kept], axis=1)
    to = np.where(d[np.arange(n), kept[to]] <= 1.5 * limit, to, -1)
    to[kept] = np.arange(len(kept))
    assert abs(d[:, kept] - 1.5 * limit).min() > 1e-7 and abs(d[np.ix_(pool, pool)] - limit).min() > 1e-7
    return kept, s, to


def make_pact():
    rng = np.random.default_rng(95)
    cases = [
        ([(12, 12)], (55, 100), 0.21, None, "image", "as for LLaVA-OneVision"),
        ([(12, 10)], (4, 5), 0.1, None, "image", "as for Qwen2-VL"),
        ([(8, 8)], (55, 100), 0.05, None, "image", "many rounds"),
        ([(8, 8)], (1, 1), 0.4, 20, "image", "more than there are centres"),
        ([(10, 10)], (1, 2), 0.05, 9, "image", "fewer than there are centres"),
        ([(6, 6), (5, 7)], (3, 5), 0.2, None, "image", "two pictures apart"),
        ([(6, 6), (5, 7)], (3, 5), 0.2, None, "sequence", "two pictures together"),
        ([(6, 6)], (1, 100), 0.2, None, "image", "one token is clustered"),
    ]
    for number, (grids, share, limit, wanted, scope, note) in enumerate(cases, 1):
        heads, kv, c, width, before, between, after = 4, 2, 8, 20, 5, 2, 7
        starts, rows = [], before
        for h, v in grids:
            starts.append(rows)
            rows += h * v + between
        rows += after - between
        t = {"hidden": rng.standard_normal((rows, width)), "plain_q": rng.standard_normal((rows, heads, c)) + 0.3,
             "plain_k": rng.standard_normal((rows, kv, c)), "k": rng.standard_normal((rows, kv, c))}
        for at, (h, v) in zip(starts, grids):
            t["k"][at:at + h * v] = smooth(rng, h, v, kv * c).reshape(-1, kv, c)
            t["hidden"][at:at + h * v] = smooth(rng, h, v, width)
        t = {name: value.astype(np.float32) for name, value in t.items()}
        spans = [np.arange(at, at + h * v) for at, (h, v) in zip(starts, grids)]
        parts = spans if scope == "image" else [np.concatenate(spans)]
        kept, scores, assignment, sizes, out, cell = [], [], [], [], [], 0
        for tokens in parts:
            k, s, to = pact(t, tokens, share, limit, wanted)
            scores.append(s)
            assignment.append(np.where(to < 0, -1, to + sum(len(x) for x in kept)))
            for place, i in enumerate(k):
                held = tokens[to == place]
                sizes.append(float(len(held)))
                out.append(t["hidden"][held].astype(np.float64).mean(0))
            kept.append(k + cell)
            cell += len(tokens)
        stage = ["llm:4", "score_layer: next",
                 "scorer: {kind: blend, combine: product, terms: [{weight: 1, scorer: {kind: mean-query, scope: %s}}, "
                 "{weight: 1, scorer: {kind: norm, norm: l2}}]}" % scope,
                 f"selector: {{kind: clusters, feature: keys, share: {share[0]}/{share[1]}, threshold: {limit}}}",
                 f"merger: {{kind: nearest, feature: keys, within: {1.5 * limit:.6g}, proportional: true}}",
                 f"budget: {{all: true, scope: {scope}}}" if wanted is None else f"budget: {{count: {wanted}, scope: {scope}}}"]
        every = np.concatenate(spans)
        stays = np.setdiff1d(np.arange(rows), np.delete(every, np.concatenate(kept)))
        bias = np.zeros(rows)
        bias[every[np.concatenate(kept)]] = np.log(sizes)
        save("pact", number, stage,
             t | {"grid": np.array(grids), "span": np.array([[x[0], x[-1] + 1] for x in spans])},
             {"kept": np.concatenate(kept), "scores": np.concatenate(scores), "assignment": np.concatenate(assignment),
              "sizes": np.array(sizes), "rows": np.array(out), "indices": stays, "key_bias": bias[stays]}, note)


# --- globalcom2 -------------------------------------------------------------------


def bilinear(size, to):
    at = np.clip((np.arange(to) + 0.5) * size / to - 0.5, 0, size - 1)
    low = np.floor(at).astype(int)
    out = np.zeros((to, size))
    out[np.arange(to), low] = 1 - (at - low)
    out[np.arange(to), np.minimum(low + 1, size - 1)] += at - low
    return out


def regions(whole, lines, columns):
    """Sum over the part of the whole that each tile shows; the last ones have what does not come out even."""
    h, w = whole.shape
    line = np.minimum(np.arange(h) // (h // lines), lines - 1)
    column = np.minimum(np.arange(w) // (w // columns), columns - 1)
    out = np.zeros((lines, columns))
    np.add.at(out, (line[:, None], column[None, :]), whole)
    return out.ravel()


def globalcom2(whole, tiled, parts, lines, columns, share, temperature, official):
    """Tokens of the whole, then of the tiles; scores. `parts`: tokens of each tile, numbered within the grid."""
    rows, cols = tiled.shape
    seen = (bilinear(whole.shape[0], rows) @ whole.astype(np.float64) @ bilinear(whole.shape[1], cols).T).ravel()
    s = regions(whole.astype(np.float64), lines, columns)
    e = np.exp((s - s.max()) / temperature)
    sigma = e / (e.sum() + (1e-8 if official else 0.0))
    tilt = 1 + (sigma - sigma.mean())
    sizes = np.array([len(p) for p in parts])
    if official:
        quota = np.array([int(n * min(1.0, share * t)) for n, t in zip(sizes, tilt)])
    else:
        quota = remainder(int(np.floor(share * rows * cols + 1e-9)), sizes * tilt, sizes)
    scores = np.zeros(rows * cols)
    for part in parts:
        own, above = tiled.ravel()[part].astype(np.float64), seen[part]
        scores[part] = own / np.linalg.norm(own) + above / np.linalg.norm(above)
    n = whole.size
    flat = whole.ravel().astype(np.float64)
    kept = list(best(flat, int(np.floor(share * n + 1e-9))))
    for part, k in zip(parts, quota):
        kept += [n + part[i] for i in best(scores[part].astype(np.float32), k)]
    return np.sort(np.array(kept, int)), np.concatenate([2 * flat / np.linalg.norm(flat), scores])


def make_globalcom2():
    rng = np.random.default_rng(88)
    row = "logits: true, encoder_layer: last"
    for number, (side, lines, columns, cut, share, temperature, official, newlines, note) in enumerate((
            (8, 2, 2, (0, 0, 0, 0), 0.25, 10, False, False, "four whole tiles"),
            (8, 2, 2, (3, 2, 0, 0), 0.25, 10, True, True, "padding above and below, newlines, as the code counts"),
            (6, 1, 2, (0, 0, 1, 1), 0.5, 2, False, True, "padding left and right, newlines"),
            (7, 3, 1, (2, 2, 0, 0), 0.3, 10, False, False, "one above the other; 7 lines are 2, 2 and 3"),
            (6, 1, 3, (1, 1, 0, 0), 0.7, 0.5, True, False, "a tile that is full, as the code counts"),
            (6, 2, 2, (0, 0, 0, 0), 0.6, 0.5, False, False, "a tile that is full: the others have what is too much")), 1):
        up, down, before, behind = cut
        rows, cols = side * lines - up - down, side * columns - before - behind
        parts = list(blocks(side, lines, columns, up, before, rows, cols, 0))
        whole = (smooth(rng, side, side, 1)[..., 0].reshape(side, side) + 1).astype(np.float32)
        tiled = rng.standard_normal((rows, cols)).astype(np.float32)
        kept, scores = globalcom2(whole, tiled, parts, lines, columns, share, temperature, official)
        n = side * side
        more = f"compat: official, base: {share}, " if official else ""
        stage = ["projector", f"scorer: {{kind: blend, scope: tile, terms: [{{weight: 1, normalise: l2, scorer: "
                 f"{{kind: cls-attention, {row}}}}}, {{weight: 1, normalise: l2, scorer: {{kind: overview, {row}}}}}]}}",
                 f"selector: {{kind: quota, groups: tile, rule: tilt, {more}reduce: max, temperature: {temperature}, "
                 f"weigh: {{kind: overview, map: sum, {row}}}}}",
                 "budget: {all: true, scope: image}" if official else
                 f"budget: {{ratio: {round(share * 100)}/100, rounding: floor, scope: image}}"]
        tensors = {"cls_attention": np.concatenate([whole.ravel(), tiled.ravel()]),
                   "grid": np.array([[side, side], [rows, cols]]),
                   "tile": np.array([[0, 0, 0, 0], [side, side, up % side, before % side]])}
        if newlines:
            tensors["span"] = np.array([[0, n], [n, n + rows * (cols + 1)]])
        save("globalcom2", number, stage, tensors, {"kept": kept, "scores": scores.astype(np.float32)}, note)


# --- hired -----------------------------------------------------------------------


def make_hired():
    rng = np.random.default_rng(89)
    for number, (side, lines, columns, cut, k, alpha, sharp, note) in enumerate((
            (8, 2, 2, (0, 0, 0, 0), 64, 0.5, 1.0, "four whole tiles"),
            (6, 1, 2, (2, 1, 0, 0), 30, 0.5, 1.0, "padding above and below"),
            (6, 3, 1, (0, 0, 1, 1), 41, 0.3, 2.0, "padding left and right, newlines"),
            (6, 2, 2, (0, 0, 0, 0), 120, 0.75, 1.0, "the whole is full: its tiles have the rest"),
            (5, 1, 3, (1, 1, 0, 0), 22, 0.0, 3.0, "nothing of the whole, five columns for three"),
            (7, 0, 0, (0, 0, 0, 0), 9, 0.5, 1.0, "a picture without tiles")), 1):
        up, down, before, behind = cut
        n = side * side
        rows, cols = side * lines - up - down, side * columns - before - behind
        parts = [np.arange(n)] + list(blocks(side, lines, columns, up, before, rows, cols, n)) if lines else [np.arange(n)]
        low, high = (np.exp(sharp * rng.standard_normal(n + rows * cols)).astype(np.float32) / n for _ in range(2))
        weights = np.ones(1)
        if lines:
            mass = regions(low[:n].astype(np.float64).reshape(side, side), lines, columns)
            weights = np.concatenate([[alpha], (1 - alpha) * mass / mass.sum()])
        quota = remainder(k, weights, np.array([len(p) for p in parts]))
        kept = np.sort(np.concatenate([part[best(high[part], q)] for part, q in zip(parts, quota)]))
        tensors = {"cls_attention": high, "cls_shallow": low, "grid": np.array([[side, side]])}
        if lines:
            tensors["grid"] = np.array([[side, side], [rows, cols]])
            tensors["tile"] = np.array([[0, 0, 0, 0], [side, side, up % side, before % side]])
        if "newlines" in note:
            tensors["span"] = np.array([[0, n], [n, n + rows * (cols + 1)]])
        stage = ["projector", "scorer: cls-attention",
                 f"selector: {{kind: quota, groups: tile, reduce: max, weigh: {{kind: overview, map: share, alpha: {alpha}, "
                 "shallow: true, encoder_layer: 1}}", f"budget: {{count: {k}}}"]
        save("hired", number, stage, tensors, {"kept": kept, "scores": high}, note)


# --- eadp, tile by tile --------------------------------------------------------------


def cover(x, s, k):
    """Coverage by demand, one after the other."""
    t = (unit(x) @ unit(x).T + 1) / 2
    got, chosen = np.zeros(len(x)), []
    while len(chosen) < k:
        gain = (s[:, None] * np.maximum(0, t - got[:, None])).sum(0)
        gain[chosen] = -1
        chosen.append(int(np.argmax(gain)))
        got = np.maximum(got, t[:, chosen[-1]])
    return np.sort(np.array(chosen, int))


def make_eadp():
    rng = np.random.default_rng(90)
    for number, (side, lines, columns, cut, k, official, note) in enumerate((
            (7, 2, 2, (0, 0, 0, 0), 40, False, "a whole and four tiles"),
            (6, 1, 2, (2, 1, 0, 0), 25, False, "padding above and below"),
            (6, 2, 2, (0, 0, 0, 0), 36, True, "as the code counts"),
            (6, 3, 1, (0, 0, 0, 0), 7, True, "one token at least, as the code counts"),
            (5, 2, 2, (0, 0, 0, 0), 110, False, "tiles that are full")), 1):
        up, down, before, behind = cut
        n = side * side
        rows, cols = side * lines - up - down, side * columns - before - behind
        parts = [np.arange(n)] + list(blocks(side, lines, columns, up, before, rows, cols, n))
        x = np.concatenate([smooth(rng, side, side, 24), smooth(rng, rows, cols, 24)])
        s = rng.random(len(x)).astype(np.float32)
        for part in parts:
            s[part] *= rng.random() + (0.02 if number == 4 else 0.1)
        mass = np.array([s[part].astype(np.float64).sum() for part in parts])
        sizes = np.array([len(part) for part in parts])
        base = round(k / len(x), 7)
        assert round(base * len(x)) == k
        if official:
            quota = np.minimum(sizes, np.maximum(1, (k * (mass / mass.sum())).astype(int)))
        else:
            quota = 1 + remainder(k - len(parts), mass, sizes - 1)
        kept = np.sort(np.concatenate([part[cover(x[part], s[part].astype(np.float64), q)]
                                       for part, q in zip(parts, quota)]))
        more = f", compat: official, base: {base:.7f}" if official else ""
        stage = ["projector", "scorer: external",
                 f"selector: {{kind: cover, kernel: half, weight: demand, groups: tile, least: 1{more}}}",
                 "budget: {all: true}" if official else f"budget: {{count: {k}}}"]
        save("eadp", number, stage,
             {"features": x, "scores": s, "grid": np.array([[side, side], [rows, cols]]),
              "tile": np.array([[0, 0, 0, 0], [side, side, up % side, before % side]])},
             {"kept": kept, "scores": s}, note)


# --- sparsevlm-plus ------------------------------------------------------------


def raters(rows, visual, text):
    """Words whose share of the visual tokens' softmax over the words is above the mean."""
    z = rows[visual].astype(np.float64) @ rows[text].astype(np.float64).T
    e = np.exp(z - z.max(1, keepdims=True))
    share = (e / e.sum(1, keepdims=True)).mean(0)
    assert abs(share - share.mean()).min() > 1e-6
    return text[share > share.mean()]


def distance_kernel(positions, a, b, channels, theta):
    """Product of two rows of ones, turned to their positions; not below a 64th of what it is at the same place."""
    speed = theta ** (-np.arange(0, channels, 2) / channels)
    apart = (positions[:, a, None] - positions[:, None, b]).astype(np.float64)
    g = 2 / np.sqrt(channels) * np.cos(apart[..., None] * speed).sum(-1).mean(0)
    return np.maximum(g, np.sqrt(channels) / 64)


def sparsevlm_plus(t, visual, text, theta, wanted):
    """Scores: attention of the raters, of the heads that give most, without what distance does."""
    asks = raters(t["embeddings"], visual, text)
    heads, c = t["q"].shape[1:]
    keys = np.repeat(t["k"].astype(np.float64), heads // t["k"].shape[1], 1)
    z = np.einsum("qhc,nhc->hqn", t["q"][asks].astype(np.float64), keys) / np.sqrt(c)
    z = np.where(np.arange(len(keys)) <= asks[:, None], z, -np.inf)
    e = np.exp(z - z.max(2, keepdims=True))
    p = (e / e.sum(2, keepdims=True))[:, :, visual]
    if theta:
        p = p / distance_kernel(t["positions"], asks, visual, c, theta)
    total = np.sort(p.sum((1, 2)))[::-1]
    assert wanted >= heads or total[wanted - 1] - total[wanted] > 1e-5
    return p[np.argsort(-p.sum((1, 2)), kind="stable")[:wanted]].mean((0, 1))


def make_sparsevlm_plus():
    rng = np.random.default_rng(97)
    number = 0
    for grids, lines, wanted, theta, keep, spread, note in (
            ([(8, 9)], 1, 3, 1e4, 20, 1, "half of the heads"), ([(8, 9)], 1, 3, 0.0, 20, 1, "heads alone"),
            ([(12, 12)], 1, 99, 1e4, 50, 1, "all heads"), ([(10, 10)], 3, 2, 1e6, 33, 1, "three rows of positions"),
            ([(6, 6), (5, 5)], 1, 3, 1e4, 20, 1, "two pictures"), ([(9, 9)], 1, 3, 1e4, 30, 90, "so far that the bound holds")):
        heads, groups, c, before, between, after = 6, 3, 16, 4, 1, 9
        starts, rows = [], before
        for h, w in grids:
            starts.append(rows)
            rows += h * w + between
        rows += after - between
        spans = [np.arange(at, at + h * w) for at, (h, w) in zip(starts, grids)]
        visual, text = np.concatenate(spans), np.arange(spans[-1][-1] + 1, rows)
        positions = np.tile(np.arange(rows) * spread, (lines, 1))
        if lines == 3:
            h, w = grids[0]
            positions[:, visual] = before + np.stack([np.zeros(h * w, int), np.arange(h * w) // w, np.arange(h * w) % w])
            positions[:, text] = before + max(h, w) + np.arange(len(text))
        tensors = {"q": rng.standard_normal((rows, heads, c)).astype(np.float32),
                   "k": rng.standard_normal((rows, groups, c)).astype(np.float32),
                   "embeddings": rng.standard_normal((rows, 24)).astype(np.float32) / 2,
                   "positions": positions, "rope_theta": np.array([theta or 1e4]), "grid": np.array(grids),
                   "span": np.array([[x[0], x[-1] + 1] for x in spans])}
        number += 1
        score = sparsevlm_plus(tensors, visual, text, theta, wanted)
        level = ", level: true" if theta else ""
        order = np.sort(score)[::-1]
        assert order[keep - 1] - order[keep] > 1e-7
        save("sparsevlm-plus", number, ["llm:3", f"scorer: {{kind: attention, query: raters, reduce: mean, heads: {wanted}{level}}}",
                                        "selector: topk", f"budget: {{count: {keep}}}"], tensors,
             {"kept": best(score, keep), "scores": score}, note)


# --- litelvlm ------------------------------------------------------------------


def make_litelvlm():
    rng = np.random.default_rng(2605)
    for number, (side, sentences, keep, note) in enumerate((
            (12, 1, 36, "one sentence names them all"), (12, 3, 40, "three sentences, what is left by score"),
            (10, 7, 5, "more sentences than tokens: by score alone"), (9, 4, 80, "all but one are kept"),
            (14, 2, 49, "two sentences that mean nearly the same")), 1):
        n, width = side * side, 48
        clip, text = smooth(rng, side, side, 20), rng.standard_normal((sentences, 20)).astype(np.float32)
        if number == 5:
            text[1] = text[0] + 0.05 * text[1]
        # The CLS row asks with all heads side by side, in unit vectors.
        query, keys = rng.standard_normal((1, width)), rng.standard_normal((n, width))
        values = smooth(rng, side, side, width)
        logits = (unit(keys) @ unit(query).T)[:, 0] / np.sqrt(width)
        logits = logits.astype(np.float32)
        e = np.exp(logits.astype(np.float64))
        context = np.linalg.norm((e / e.sum())[:, None] * values.astype(np.float64), axis=1)
        alike = unit(clip) @ unit(text).T
        named = set()
        for t in range(sentences):
            named |= set(np.argsort(alike[:, t], kind="stable")[:keep // sentences].tolist())
        rest = [i for i in np.argsort(-context, kind="stable").tolist() if i not in named]
        kept = np.sort(np.array(sorted(named) + rest[:keep - len(named)]))
        save("litelvlm", number,
             ["projector", "scorer: {kind: blend, combine: product, scope: image, terms: ["
              "{weight: 1, normalise: softmax, scorer: {kind: cls-attention, logits: true, unit: true, "
              "encoder_layer: last}}, "
              "{weight: 1, scorer: {kind: norm, norm: l2, feature: vision-values}}]}",
              "selector: {kind: nominate, feature: clip}", f"budget: {{count: {keep}}}"],
             {"clip": clip, "clip_text": text, "cls_attention": logits, "vision_values": values,
              "grid": np.array([side, side])}, {"kept": kept, "scores": context}, note)


def main():
    for make in (make_apet, make_prunesid, make_bipartite, make_fold, make_vscan, make_duet,
                 make_prumerge, make_holov, make_tiles, make_pact, make_globalcom2,
                 make_hired, make_ivc, make_eadp, make_sparsevlm_plus, make_litelvlm):
        make()


if __name__ == "__main__":
    main()
