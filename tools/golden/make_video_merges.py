#!/usr/bin/env python3
"""Cases for methods that merge tokens of a video: stated again in NumPy.

Written from the text of each method alone, in double precision, with plain loops
and whole matrices. Fixed seeds: the same files come out each time.

    python3 tools/golden/make_video_merges.py     writes tests/golden/video/

<method>/caseNN.npz: `in_*` are tensors as docs/select.md names them, `out_*` what
`tokenprune select` has to answer; caseNN.json: the stage.
"""

import json

import numpy as np

from make_video_cases import ROOT, best, constant, cosine, noise, smooth, with_zero_rows


def save(method, number, note, stage, tensors, want):
    folder = ROOT / method
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"case{number:02d}"
    arrays = {"in_" + k: v for k, v in tensors.items()} | {"out_" + k: v for k, v in want.items()}
    kinds = {k: np.float32 if np.asarray(v).dtype.kind == "f" else np.int32 for k, v in arrays.items()}
    np.savez_compressed(path.with_suffix(".npz"), **{k: np.asarray(v, kinds[k]) for k, v in arrays.items()})
    path.with_suffix(".json").write_text(json.dumps(
        {"method": method, "case": number, "made_by": "tools/golden/make_video_merges.py", "notes": note,
         "stage": stage}, indent=1) + "\n")


def outcome(kept, joins, x):
    """rows, sizes and assignment, where joins[i] lists what joins token i."""
    kept = sorted(int(i) for i in kept)
    assignment = np.full(len(x), -1)
    rows = []
    for place, i in enumerate(kept):
        members = [i] + joins.get(i, [])
        assignment[members] = place
        rows.append(x[members].astype(np.float64).mean(0))
    return {"kept": np.array(kept), "rows": np.array(rows), "assignment": assignment,
            "sizes": np.array([1.0 + len(joins.get(i, [])) for i in kept])}


# --- framefusion ---------------------------------------------------------------


def framefusion(x, attention, k, threshold):
    """x [T, n, D]: a token goes on what is before it from the threshold on."""
    t, n, d = x.shape
    goes_on = np.zeros((t, n), bool)
    like = cosine(x[1:], x[:-1])
    assert like.size == 0 or np.abs(like - threshold).min() > 1e-5
    goes_on[1:] = like >= threshold
    goes_on = goes_on.ravel()
    # Beginnings of runs by attention, then, if there are too few, the others.
    order = sorted(range(t * n), key=lambda i: (goes_on[i], -attention[i], i))
    kept = set(order[:k])
    joins = {}
    for cell in range(n):
        head = None
        for frame in range(t):
            i = frame * n + cell
            if i in kept:
                head = i
            elif not goes_on[i]:
                head = None
            elif head is not None:
                joins.setdefault(head, []).append(i)
    return outcome(kept, joins, x.reshape(-1, d))


def make_framefusion():
    cases = (("noise: nothing goes on", noise, 4, 3, 4, 8, 12, 0.6), ("a cut and a moving patch", smooth, 8, 4, 4, 12, 20, 0.6),
             ("more kept than runs", smooth, 6, 4, 5, 12, 70, 0.6), ("still", constant, 6, 3, 3, 8, 5, 0.6),
             ("still, more kept than runs", constant, 5, 3, 3, 8, 20, 0.6), ("zero rows", with_zero_rows, 6, 4, 4, 4, 30, 0.3),
             ("one frame", noise, 1, 4, 5, 8, 6, 0.6), ("everything stays", smooth, 4, 3, 3, 8, 36, 0.6),
             ("nothing stays but one", smooth, 4, 3, 3, 8, 1, 0.6))
    for i, (note, video, t, h, w, d, k, threshold) in enumerate(cases, 1):
        rng = np.random.default_rng(700 + i)
        x = video(rng, t, h * w, d)
        attention = rng.permutation(t * h * w).astype(np.float32) / 7
        stage = ["projector", "scorer: {kind: blend, terms: [{weight: 1, normalise: rank, scorer: external}, "
                 f"{{weight: 2, scorer: {{kind: temporal, threshold: {threshold}}}}}]}}", "selector: topk",
                 f"merger: {{kind: chain, threshold: {threshold}}}", f"budget: {{count: {k}}}"]
        save("framefusion", i, note, stage,
             {"features": x.reshape(-1, d), "scores": attention, "grid": np.array([t, h, w])},
             framefusion(x, attention, k, threshold))


# --- segments, density -----------------------------------------------------------


def units(x):
    x = np.asarray(x, np.float64)
    below = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.divide(x, below, out=np.zeros_like(x), where=below > 0)


def likeness(a, b):
    """Cosines; what double cannot tell apart is equal."""
    return np.round(units(a) @ units(b).T, 9)


def segments(x, cut, least):
    """Frames of each segment: cut where means of frames are unlike, and at the weakest until there are enough."""
    means = x.astype(np.float64).mean(1)
    weak = [(np.float32(cosine(means[t], means[t + 1])), t) for t in range(len(x) - 1)]
    assert all(abs(c - cut) > 1e-5 for c, _ in weak)
    after = {t for c, t in weak if c < cut}
    after |= {t for _, t in sorted(weak)[:least - 1]}
    out = [[]]
    for t in range(len(x)):
        out[-1].append(t)
        if t in after:
            out.append([])
    return [s for s in out if s]


def peaks(rows, neighbours):
    """Density times the distance to where it is denser; a token is its own first neighbour."""
    rows = rows.astype(np.float64)
    far = np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(-1) / rows.shape[1])
    near = np.sort(far ** 2, axis=1)[:, :neighbours]
    density = np.exp(-near.mean(1)).astype(np.float32)
    out = np.zeros(len(rows))
    for i in range(len(rows)):
        denser = [j for j in range(len(rows)) if density[j] > density[i] or (density[j] == density[i] and j < i)]
        out[i] = float(density[i]) * (far[i, denser].min() if denser else far.max())
    return out.astype(np.float32)


def spread(total, room):
    """Equal parts of a total, the first ones get what is left over; none above its room."""
    out = [0] * len(room)
    while total:
        open_ = [i for i in range(len(room)) if out[i] < room[i]]
        if not open_:
            break
        each, more = divmod(total, len(open_))
        for place, i in enumerate(open_):
            take = min(each + (place < more), room[i] - out[i])
            out[i] += take
            total -= take
    return out, total


# --- fastvid ---------------------------------------------------------------------


def fastvid(x, attention, k, cut=0.9, least=8, stride=4, alpha=0.6):
    """k a frame; x [T, n, D], attention [T, n]."""
    t, n, d = x.shape
    flat = x.reshape(-1, d)
    if k == n:  # nothing is dropped, nothing joins
        return outcome(range(t * n), {}, flat)
    salient_count = k - int(0.4 * k)
    salient = [set(best(attention[f], salient_count).tolist()) for f in range(t)]
    rest = [[c for c in range(n) if c not in salient[f]] for f in range(t)]
    kept = {f * n + c for f in range(t) for c in salient[f]}
    rows = {i: flat[i].astype(np.float64) for i in kept}
    assignment = {}
    for segment in segments(x, cut, least):
        hosts = [f for f in segment if (segment[-1] - f) % stride == 0]
        others = [f for f in segment if f not in hosts]
        total = (k - salient_count) * len(segment)
        counts, total = spread(total, [len(rest[f]) for f in hosts])
        anchors = dict(zip(hosts, counts))
        for f in others:  # what the hosts cannot hold
            anchors[f] = min(total, len(rest[f]))
            total -= anchors[f]
        members = [f * n + c for f in segment for c in rest[f]]
        top = {}
        for f in sorted(anchors):
            if not anchors[f]:
                continue
            score = peaks(x[f][rest[f]], 4)
            chosen = [f * n + rest[f][j] for j in best(score, anchors[f])]
            kept |= set(chosen)
            joining = [i for i in members if i not in chosen]
            like = likeness(flat[joining], flat[chosen])
            to = like.argmax(1) if joining else []
            for j, anchor in enumerate(chosen):
                mine = [i for i, a in zip(joining, to) if a == j]
                own = flat[anchor].astype(np.float64)
                w = max(alpha, 1 / (len(mine) + 1))
                rows[anchor] = w * own + (1 - w) * flat[mine].astype(np.float64).mean(0) if mine else own
            for i, a, row in zip(joining, to, like):
                if i not in top or row[a] > top[i][0]:
                    top[i] = (row[a], chosen[a])
        assignment |= {i: anchor for i, (_, anchor) in top.items()}
    order = sorted(kept)
    place = {i: j for j, i in enumerate(order)}
    to = np.array([place[i] if i in place else place[assignment[i]] if i in assignment else -1 for i in range(t * n)])
    return {"kept": np.array(order), "rows": np.array([rows[i] for i in order]), "assignment": to,
            "sizes": np.bincount(to[to >= 0], minlength=len(order)).astype(float)}


def scenes(rng, t, n, d):
    """Several scenes of a few frames, each with its own middle."""
    x = np.empty((t, n, d))
    frame = 0
    while frame < t:
        length = int(rng.integers(1, 7))
        scene = rng.standard_normal((n, d)) + 2 * rng.standard_normal(d)
        x[frame:frame + length] = scene
        frame += length
    return (x + 0.3 * rng.standard_normal(x.shape)).astype(np.float32)


def make_fastvid():
    cases = (("scenes", scenes, 24, 4, 5, 12, 6), ("a cut and a moving patch", smooth, 16, 4, 4, 12, 5),
             ("noise", noise, 10, 4, 4, 8, 4), ("still", constant, 20, 4, 4, 8, 5),
             ("zero rows", with_zero_rows, 12, 4, 4, 6, 4), ("fewer frames than segments", scenes, 3, 4, 5, 8, 7),
             ("one frame", noise, 1, 4, 5, 8, 7), ("hosts are full", scenes, 24, 3, 4, 8, 9),
             ("everything stays", scenes, 12, 3, 4, 8, 12), ("one of each frame", scenes, 14, 4, 4, 8, 1),
             ("nothing but salient ones", scenes, 14, 4, 4, 8, 2))
    for i, (note, video, t, h, w, d, k) in enumerate(cases, 1):
        rng = np.random.default_rng(400 + i)
        x = video(rng, t, h * w, d)
        attention = rng.permutation(t * h * w).reshape(t, -1).astype(np.float32) / 7
        stage = ["projector", "scorer: cls-attention",
                 "selector: {kind: chain, parts: [{all_but_share: 2/5, selector: topk}, {selector: {kind: anchors}}]}",
                 "merger: {kind: anchors, beta: 0.6}", f"budget: {{count: {k}, scope: frame}}"]
        save("fastvid", i, note, stage,
             {"features": x.reshape(-1, d), "cls_attention": attention.ravel(), "grid": np.array([t, h, w])},
             fastvid(x, attention, k))


# --- holitom ---------------------------------------------------------------------


def windows(goes_on):
    """goes_on [T, n]. All divisions of the frames are weighed, from the last window back."""
    t = len(goes_on)
    best = {0: (0, [])}
    for end in range(1, t + 1):
        options = []
        for begin in range(end - 1, -1, -1):
            still = goes_on[begin + 1:end].all(0).sum() if end - begin > 1 else 0
            options.append((best[begin][0] + still * (end - begin - 1), best[begin][1] + [(begin, end)]))
        best[end] = max(options, key=lambda o: o[0])  # the first of equals: the shortest last window
    return best[t][1]


def portions(total, sizes):
    """Largest remainder, of equal ones the first; none above its size."""
    quota = [total * s / max(1, sum(sizes)) for s in sizes]
    out = [int(q + 1e-9) for q in quota]
    for i in sorted(range(len(sizes)), key=lambda i: (-round(quota[i] - out[i], 9), i))[:total - sum(out)]:
        out[i] += 1
    return out


def holitom(x, attention, k, threshold=0.8, neighbours=7):
    t, n, d = x.shape
    flat, score = x.reshape(-1, d), attention.ravel()
    like = cosine(x[1:], x[:-1])
    assert like.size == 0 or np.abs(like - threshold).min() > 1e-5
    goes_on = np.concatenate([np.zeros((1, n), bool), like >= threshold])
    lists, means, kept, joins, repeats = [], {}, set(), {}, []
    stills = []
    for begin, end in windows(goes_on):
        still = np.flatnonzero(goes_on[begin + 1:end].all(0)) if end - begin > 1 else np.array([], int)
        for f in range(begin, end):
            lists.append(("dynamic", [f * n + c for c in range(n) if c not in still]))
            if f == begin:
                lists.append(("still", [f * n + c for c in still]))
        for c in still:
            rest = [f * n + c for f in range(begin + 1, end)]
            head = begin * n + c
            means[head] = flat[[head] + rest].astype(np.float64).mean(0)
            joins[head] = rest
            repeats += rest
        stills.append([begin * n + c for c in still])
    room = sum(len(l) for _, l in lists)
    lists = [(kind, l) for kind, l in lists if l]
    counts = portions(min(k, room), [len(l) for _, l in lists])
    to = {}
    for (kind, members), count in zip(lists, counts):
        if kind == "dynamic":
            kept |= {members[j] for j in best(score[members], count)}
            continue
        rows = np.array([means[i] for i in members]).astype(np.float32)
        centres = [members[j] for j in best(peaks(rows, neighbours), count)]
        kept |= set(centres)
        for i in members:
            if i in centres or not centres:
                continue
            far = [np.round(((means[i] - means[c]) ** 2).sum(), 9) for c in centres]
            to[i] = centres[int(np.argmin(far))]
    if k > room:
        repeats.sort()
        kept |= {repeats[j] for j in best(score[repeats], k - room)}
    joined = {}
    for head, rest in joins.items():
        target = head if head in kept else to.get(head)
        for i in ([head] if head not in kept else []) + rest:
            if target is not None and i not in kept:
                joined.setdefault(target, []).append(i)
    return outcome(kept, joined, flat)


def make_holitom():
    cases = (("a cut and a moving patch", smooth, 12, 4, 4, 12, 40), ("scenes", scenes, 20, 4, 5, 12, 60),
             ("noise: nothing is still", noise, 6, 4, 4, 8, 30), ("still", constant, 9, 4, 4, 8, 5),
             ("still, more kept than cells", constant, 6, 3, 4, 8, 30), ("zero rows", with_zero_rows, 8, 4, 4, 6, 25),
             ("more kept than are left", smooth, 10, 4, 4, 12, 140), ("one frame", noise, 1, 4, 5, 8, 6),
             ("everything stays", smooth, 5, 3, 3, 8, 45), ("one stays", scenes, 8, 3, 4, 8, 1))
    for i, (note, video, t, h, w, d, k) in enumerate(cases, 1):
        rng = np.random.default_rng(500 + i)
        x = video(rng, t, h * w, d)
        attention = rng.permutation(t * h * w).reshape(t, -1).astype(np.float32) / 7
        stage = ["projector", "scorer: cls-attention", "selector: {kind: static}", "merger: {kind: static}",
                 f"budget: {{count: {k}}}"]
        save("holitom", i, note, stage,
             {"features": x.reshape(-1, d), "cls_attention": attention.ravel(), "grid": np.array([t, h, w])},
             holitom(x, attention, k))


def main():
    make_framefusion()
    make_fastvid()
    make_holitom()


if __name__ == "__main__":
    main()
