#!/usr/bin/env python3
"""Presets against what the published code kept, through the command.

    python3 tests/cli/published.py TOKENPRUNE FOLDER [METHOD...]

TKP_TEST_BACKENDS names the backends; each case runs on all of them. With
TKP_TEST_MAY_SKIP the exit code is 77 where one of them cannot run here.

FOLDER holds <method>/caseNN.npz and .json: `in_*` is what the authors' function
was given, `out_*` what it gave back. Each case becomes a safetensors file with
the names of docs/select.md. Needs Python alone; arrays are nested lists. So are
the cases of tools/golden/make_selections.py, which state a method once more.
"""

import ast
import fractions
import json
import math
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import zipfile

NOT_HERE = re.compile(r"no CUDA device|no module libtokenprune-")
CODES = {"<f4": "f", "<i4": "i", "|u1": "B", "<i8": "q", "<f2": "e", "<f8": "d"}


def nest(flat, shape):
    for size in reversed(shape[1:]):
        flat = [flat[i:i + size] for i in range(0, len(flat), size)]
    return flat if shape else flat[0]


def flat(a):
    return [v for part in a for v in flat(part)] if isinstance(a, list) else [a]


def shape_of(a):
    return [len(a)] + shape_of(a[0]) if isinstance(a, list) else []


def load_npz(path):
    out = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            raw = archive.read(name)
            size = struct.unpack_from("<H", raw, 8)[0]
            head = ast.literal_eval(raw[10:10 + size].decode())
            code, count = CODES[head["descr"]], math.prod(head["shape"])
            values = struct.unpack_from(f"<{count}{code}", raw, 10 + size)
            assert not head["fortran_order"]
            out[name[:-4]] = nest(list(values), list(head["shape"]))
    return out


def save(path, tensors):
    header, data = {}, b""
    for name, array in tensors.items():
        values = flat(array)
        kind, code = ("F32", "f") if isinstance(values[0], float) else ("I64", "q")
        if name in ("valid", "keep_always"):
            kind, code = "U8", "B"
        raw = struct.pack(f"<{len(values)}{code}", *values)
        header[name] = {"dtype": kind, "shape": shape_of(array), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def load(path):
    raw = path.read_bytes()
    size = struct.unpack_from("<Q", raw)[0]
    out = {}
    for name, entry in json.loads(raw[8:8 + size]).items():
        if name == "__metadata__":
            continue
        lo, hi = (8 + size + at for at in entry["data_offsets"])
        code = {"F32": "f", "I32": "i"}[entry["dtype"]]
        out[name] = nest(list(struct.unpack(f"<{(hi - lo) // 4}{code}", raw[lo:hi])), entry["shape"])
    return out


# Each gives: the tensors, where and what the stage is (None: the preset as it is), the
# count, and what has to come out by name.


def divprune(p, z):
    rows = [z["in_x"][i] for i in z["out_kept"]]
    return {"features": z["in_x"]}, None, p["K"], {"kept": z["out_kept"], "rows": rows}


def prunesid(p, z):
    """CLS is one of K and of the first row, column and index: the others are kept here."""
    tensors = {"vision": z["in_hidden"][0][1:], "features": z["in_hidden"][0][1:],
               "cls_attention": [row[1:] for row in z["in_cls_rows"][0]]}
    side = math.isqrt(p["n"])
    tensors["grid"] = [side, side] if side * side == p["n"] else [1, p["n"]]
    return tensors, None, p["K"] - 1, {"kept": sorted(i - 1 for i in z["out_kept"][0] if i)}


def scope(p, z):
    """Crops are images, each keeps K_per_crop; the row of CLS comes first."""
    crops = len(z["in_hidden"])
    patches = [row for crop in z["in_hidden"] for row in crop[1:]]
    n = len(patches) // crops
    heads = [[v for crop in z["in_cls_rows"] for v in crop[h][1:]] for h in range(len(z["in_cls_rows"][0]))]
    side = math.isqrt(n)
    tensors = {"vision": patches, "features": patches, "cls_attention": heads, "grid": [[side, side]] * crops}
    stage = None
    if p["alpha"] != 1.0 or p["combine"] != "multi":
        # Heads are summed there, which matters where the scores are added.
        tensors["cls_attention"] = [sum(column) for column in zip(*heads)]
        weight = "factor" if p["combine"] == "multi" else "add"
        stage = ("scorer: cls-attention",
                 f"selector: {{kind: cover, feature: vision, weight: {weight}, power: {p['alpha']}}}",
                 f"budget: {{count: {p['K_per_crop']}, scope: image}}")
        stage = ("projector", *stage)
    kept = [i + n * c for c, crop in enumerate(z["out_kept"]) for i in crop]
    return tensors, stage, p["K_per_crop"], {"kept": kept, "rows": [r for crop in z["out_rows"] for r in crop]}


def mmtok(p, z):
    tensors = {"features": z["in_vision"], "vision": z["in_clip"], "text": z["in_text"]}
    n = len(z["in_vision"])
    side = math.isqrt(n)
    tensors["grid"] = [side, side] if side * side == n else [1, n]
    if p["padding"]:
        tensors["valid"] = [int(not v) for v in z["in_padding"]]
    stage = None
    if (p["alpha"], p["tau_text"], p["tau_vision"]) != (0.5, 0.02, 0.2):
        stage = ("projector",
                 f"selector: {{kind: cover, feature: vision, kernel: softmax, temperature: {p['tau_vision']}, "
                 f"scale: {p['alpha']}, weight: none, text: true, text_temperature: {p['tau_text']}}}",
                 f"budget: {{count: {p['K']}}}")
    return tensors, stage, p["K"], {"kept": z["out_kept"], "rows": z["out_rows"]}


def eadp(p, z):
    """Tiles are images. Of several the code shares out K_per_tile times their number, and loses the fractions."""
    tiles, n = len(z["in_features"]), p["n"]
    tensors = {"features": [row for tile in z["in_features"] for row in tile], "clip_text": z["in_text_embeds"],
               "clip": [row for tile in z["in_image_embeds"] for row in tile],
               "clip_tokens": [row for prompt in z["in_text_seq"] for row in prompt]}
    stage = None
    if tiles > 1:
        tensors["grid"] = [[math.isqrt(n), math.isqrt(n)]] * tiles
        stage = ("projector",
                 f"scorer: {{kind: entropy-relevance, feature: clip, smooth: true, mix: {p['mu_alpha']}, "
                 f"share: 0.2, power: {p['beta']}}}",
                 "selector: {kind: cover, kernel: half, weight: demand, groups: image, least: 1, compat: official, "
                 f"base: {p['K_per_tile'] / n:.7f}}}", "budget: {all: true}")
        mask, scores = flat(z["out_mask"]), flat(z["out_importance"])
        return tensors, stage, None, {"kept": [i for i, kept in enumerate(mask) if kept], "scores": scores}
    if p["mu_alpha"] != 0.5 or p["beta"] != 1.0:
        stage = ("projector",
                 f"scorer: {{kind: entropy-relevance, feature: clip, smooth: true, mix: {p['mu_alpha']}, "
                 f"share: 0.2, power: {p['beta']}}}",
                 "selector: {kind: cover, kernel: half, weight: demand}", f"budget: {{count: {p['K_per_tile']}}}")
    return tensors, stage, p["K_per_tile"], {"kept": z["out_kept"], "scores": z["out_importance"][0]}


def cdpruner(p, z):
    tensors = {"features": z["in_features"][0], "clip": z["in_image_embeds"][0], "clip_text": z["in_text_embeds"]}
    return tensors, None, p["K"], {"kept": z["out_kept"][0], "scores": z["out_relevance"][0]}


def dart(p, z):
    """Norms of keys make pivots, likeness is of normed rows; the order of pivots is that of a hash set."""
    keys = [[head[row] for head in z["in_keys"]] for row in range(len(z["in_hidden_normed"]))]
    start = p["image_start"]
    tensors = {"hidden": z["in_hidden_normed"], "k": keys, "span": [start, start + p["n"]],
               "pivot_order": z["out_pivot_visit_order"]}
    stage = ("selector: {kind: pivots, feature: raw, pivot_feature: keys, per_pivot: %d, pivots_visual: %d, "
             "pivots_text: %d}" % (p["per_pivot"], p["pivot_image"], p["pivot_text"]),
             f"budget: {{count: {len(z['out_kept'])}}}")
    return tensors, ("llm:2", *stage), None, {"kept": sorted(z["out_kept"])}


def fastervlm(p, z):
    """Crops are images; column and row 0 are of CLS."""
    patches = [row for crop in z["in_hidden"] for row in crop[1:]]
    heads = [[v for crop in z["in_cls_rows"] for v in crop[h][1:]] for h in range(p["heads"])]
    side = math.isqrt(p["n"])
    tensors = {"features": patches, "cls_attention": heads, "grid": [[side, side]] * p["crops"]}
    kept = [i + p["n"] * c for c, crop in enumerate(z["out_kept"]) for i in crop]
    return tensors, None, p["k"], {"kept": kept, "rows": [r for crop in z["out_rows"] for r in crop],
                                   "scores": [v for crop in z["out_scores"] for v in crop]}


def pyramiddrop(p, z):
    """The last row's q and the k of the layer behind the cut; a share of what there was at first."""
    n, start = p["n_current"], p["image_start"]
    tensors = {"hidden": z["in_hidden"], "q": [z["in_q_last"]], "k": [list(rows) for rows in zip(*z["in_k"])],
               "span": [start, start + n], "grid": [1, n]}
    budget = f"count: {p['keep']}"
    if n == p["n_original"]:
        share = p["ratio_list"][p["stage"] + 1]
        budget = f"ratio: {share}, of: original, rounding: double-truncate"
    stage = ("llm:8", "score_layer: next", "positions: repack", "scorer: {kind: attention, query: last}",
             "selector: topk", f"budget: {{{budget}}}")
    return tensors, stage, None, {"kept": z["out_kept"], "scores": z["out_scores"], "indices": z["out_new_index"],
                                  "positions": [z["out_position_ids"]],
                                  "rows": [z["in_hidden"][start + i] for i in z["out_kept"]]}


def sparsevlm_cluster(p, z):
    """Clusters of what SparseVLM drops; ours stand in the order of their centres, theirs in that of scores."""
    rank = sorted(range(p["cluster_num"]), key=lambda c: z["out_centres"][c])
    stage = ("projector", "selector: density", "merger: {kind: nearest, measure: euclidean}",
             f"budget: {{count: {p['cluster_num']}}}")
    return {"features": z["in_x"]}, stage, None, {
        "kept": sorted(z["out_centres"]), "rows": [z["out_merged"][c] for c in rank],
        "assignment": [rank.index(c) for c in z["out_assign"]]}


def sparsevlm(p, z, budget=None):
    """Raters found in what entered the decoder; the best of what they leave is clustered, and stands behind the kept."""
    n, start = p["n"], p["v_start"]
    tensors = {"hidden": z["in_hidden_out"], "embeddings": z["in_embeds"], "span": [start, start + n], "grid": [1, n],
               "q": [list(rows) for rows in zip(*z["in_q_text"])], "k": [list(rows) for rows in zip(*z["in_k"])]}
    stage = ("llm:3", "positions: repack", "order: parts", "scorer: {kind: attention, query: raters, reduce: mean}",
             "selector: {kind: chain, parts: [{selector: topk}, "
             "{more: 1/10, pool_share: 3/10, pool_order: scores, selector: density}]}",
             "merger: {kind: nearest, measure: euclidean, into: 1}",
             f"budget: {budget or '{count: %d}' % len(z['out_kept'])}")
    return tensors, stage, None, {"hidden": z["out_new_hidden"], "scores": z["out_scores"]}


def sparsevlm_by_rank(p, z):
    """The same, but the rank of the raters' attention says how many stay."""
    return sparsevlm(p, z, f"{{rank: {p['scale']}, bias: {p['bias']}, rounding: double-truncate}}")


def mustdrop_keyset(p, z):
    """What the later filter may not drop; column 0 is of CLS."""
    heads = [row[1:] for row in z["in_cls_rows"][0]]
    side = math.isqrt(p["n"])
    tensors = {"features": [[v] for v in z["out_score"][0]], "cls_attention": heads, "grid": [side, side]}
    stage = ("projector", "scorer: cls-attention", "selector: topk",
             f"budget: {{ratio: {p['keep_rate']}, rounding: ceil}}")
    return tensors, stage, None, {"kept": sorted(z["out_index"][0]), "scores": z["out_score"][0]}


def mustdrop_stage2(p, z):
    """What is below both thresholds goes, but not the key set: the larger of both over their thresholds is below 1."""
    n, start = p["n"], p["v_start"]
    keys = set(z["in_key_set"])
    tensors = {"attention_rows": [list(heads) for heads in zip(*z["in_P_text"])],
               "span": [start, start + n], "grid": [1, n], "keep_always": [int(i in keys) for i in range(n)]}
    stage = ("llm:3", "scorer:", "  kind: blend", "  combine: max", "  terms:",
             f"    - {{weight: {1 / max(p['theta_g'], 1e-30):.9g}, normalise: sum, "
             "scorer: {kind: attention, query: text, reduce: sum}}",
             f"    - {{weight: {1 / max(p['theta_i'], 1e-30):.9g}, scorer: {{kind: attention, query: text, reduce: max}}}}",
             "selector: threshold")
    total = sum(z["out_g"]) * max(p["theta_g"], 1e-30)
    scores = [max(g / total, u / max(p["theta_i"], 1e-30)) for g, u in zip(z["out_g"], z["out_u"])]
    return tensors, stage, None, {"kept": z["out_survivors"], "scores": scores}


def evs(p, z):
    """The count as an engine computes it, from the share that goes."""
    side = p["spatial_merge"]
    tensors = {"features": z["in_x"], "grid": [p["T"], p["H"] // side, p["W"] // side]}
    stage = ("projector", "scorer: temporal", "selector: topk",
             f"budget: {{total_reduction: {p['q']}, rounding: double-truncate, at_least: frame}}")
    return tensors, stage, None, {"kept": z["out_kept"]}


def dycoke(p, z):
    """No published cases: a statement of ours (tests/golden/video)."""
    stage = ("projector", f"scorer: {{kind: temporal, group: {p['group']}}}", "selector: topk",
             f"budget: {{total_reduction: {p['q']}, scope: frame, rounding: double-truncate, at_least: frame, "
             f"every: {p['group']}}}")
    return {"features": z["in_x"], "grid": [p["T"], p["H"], p["W"]]}, stage, None, {"kept": z["out_kept"]}


def vidcom2(p, z):
    """Their count follows from the frames' shares; ours is asked for, and is the same then."""
    n = p["tokens_per_frame"]
    scores = [v for frame in z["out_score"] for v in frame]
    stage = ("projector", "scorer: gaussian",
             "selector: {kind: quota, order: lowest, groups: frame, weigh: {kind: gaussian, centre: video}, "
             f"rule: soft, lowest: true, temperature: 0.01, least: 1, base: {p['base_scale']}}}",
             f"budget: {{count: {len(z['out_kept'])}}}")
    return {"features": z["in_x"], "grid": [p["T"], 1, n]}, stage, None, {"kept": z["out_kept"], "scores": scores}


def holov(p, z):
    """Where a crop was to keep more than it has they emit rows of zeros, and we other tokens beside theirs."""
    stage = ("projector", "scorer: cls-attention",
             f"selector: {{kind: quota, groups: image, crops: {p['patches']}, rule: heaviest, "
             f"weigh: {{kind: variance, crops: {p['patches']}, compat: official}}}}",
             f"budget: {{count: {p['K']}}}")
    order = z["out_order"][0]
    kept = sorted(i for i in order if i >= 0)
    tensors = {"features": z["in_x"][0], "cls_attention": z["in_attention"][0], "grid": [1, p["n"]]}
    return tensors, stage, None, {"kept" if len(kept) == len(order) else "among kept": kept}


def globalcom2(p, z):
    """The picture whole, then its crops side by side without what is padding. They count crop by crop and lose the
    fractions, so the data decide how many; orders of crops are among the tokens that are no padding."""
    side, across, down = p["grid_side"], p["crops_w"], p["crops_h"]
    rows, cols = side * down, side * across
    wide, high = p["original_size_wh"]
    top = (rows - high * cols // wide) // 2 if wide * rows > high * cols else 0
    left = 0 if wide * rows > high * cols else (cols - wide * rows // high) // 2
    parts = {}  # tokens of each crop
    tensors = {"cls_attention": list(z["in_base_scores"]), "features": list(z["in_base_features"])}
    for y in range(top, rows - top):
        for x in range(left, cols - left):
            crop, at = y // side * across + x // side, y % side * side + x % side
            parts.setdefault(crop, []).append(len(tensors["features"]))
            tensors["cls_attention"].append(z["in_crop_scores"][crop][at])
            tensors["features"].append(z["in_crop_features"][crop][at])
    tensors["grid"] = [[side, side], [rows - 2 * top, cols - 2 * left]]
    tensors["tile"] = [[0, 0, 0, 0], [side, side, top % side, left % side]]
    last = "logits: true, encoder_layer: last"
    stage = ("projector", f"scorer: {{kind: blend, scope: tile, terms: [{{weight: 1, normalise: l2, scorer: "
             f"{{kind: cls-attention, {last}}}}}, {{weight: 1, normalise: l2, scorer: {{kind: overview, {last}}}}}]}}",
             f"selector: {{kind: quota, groups: tile, rule: tilt, compat: official, base: {p['retention']}, "
             f"reduce: max, temperature: {p['temperature']}, weigh: {{kind: overview, map: sum, {last}}}}}",
             "budget: {all: true, scope: image}")
    kept = sorted(z["out_thumb_order"])
    kept += sorted(parts[crop][i] for crop in parts for i in z[f"out_crop{crop}_order"])
    return tensors, stage, None, {"kept": kept, "rows": [tensors["features"][i] for i in kept]}


def vcast(p, z):
    tensors = {"features": z["in_x"], "grid": [p["T"], p["h"], p["w"]]}
    stage = ("projector",
             "scorer: {kind: blend, scope: frame, terms: ["
             "{weight: 1, complement: true, scorer: {kind: cosine, reference: mean-frame}}, "
             "{weight: 1, normalise: min-max, scorer: {kind: norm, norm: l2}}]}",
             f"selector: {{kind: quota, groups: frame, weigh: curvature, rule: {p.get('rule', 'spill')}, "
             f"temperature: {p['temperature']}, least: {p['min_k']}}}",
             f"budget: {{ratio: {p['retain_ratio']}, at_least: each-frame, min_keep: {p['T'] * p['min_k']}}}")
    return tensors, stage, None, {"kept": z["out_kept"]}


def visionzip(p, z):
    """Without CLS, which is no patch: index 0 there, and the first row."""
    crops, n = len(z["in_hidden"]), p["n"]
    side = math.isqrt(n)
    patches = [row for crop in z["in_hidden"] for row in crop[1:]]
    keys = [[sum(head[t][c] for head in crop) / len(crop) for c in range(len(crop[0][0]))]
            for crop in z["in_keys"] for t in range(1, n + 1)]
    # Heads are summed there, which ranks alike.
    scores = [sum(head[t] for head in crop) for crop in z["in_cls_rows"] for t in range(1, n + 1)]
    tensors = {"features": patches, "vision_keys": keys, "cls_attention": scores, "grid": [[side, side]] * crops}
    dominant, contextual = p["dominant_arg"], p["contextual"]
    stage = ("projector", "scorer: cls-attention",
             f"selector: {{kind: chain, parts: [{{count: {min(dominant, n)}, selector: topk}}, {{selector: stride}}]}}",
             "merger: {kind: nearest, feature: vision-keys, rule: add, into: 1}",
             f"budget: {{count: {min(dominant + contextual, n)}, scope: image}}")
    kept, rows = [], []
    for c in range(crops):
        first = [i - 1 for i in z["out_dominant"][c] if i]
        left = [i for i in range(n) if i not in first]
        slots = min(contextual, len(left))  # theirs fails where fewer are left than slots
        anchors = left[:: max(1, len(left) // slots)][:slots] if slots else []
        placed = dict(zip(first, z["out_rows"][c][1:]))
        placed |= dict(zip(anchors, z["out_rows"][c][1 + len(first):]))
        kept += [c * n + i for i in sorted(placed)]
        rows += [placed[i] for i in sorted(placed)]
    return tensors, stage, None, {"kept": kept, "rows": rows}
def mustdrop_stage1(p, z):
    """Row 0 of a picture is CLS. Theirs: merged windows first, by likeness; ours in their windows' first places."""
    side, pictures = p["grid"], len(z["in_x"])
    n = side * side
    kept, rows, sizes, to = [], [], [], []
    for c in range(pictures):
        groups = z["out_group"][c][1:]
        first = {}
        for i, g in enumerate(groups):
            first.setdefault(g, i)
        order = sorted(first.values())
        to += [len(kept) + order.index(first[g]) for g in groups]
        kept += [c * n + i for i in order]
        rows += [z["out_merged"][c][groups[i]] for i in order]
        sizes += [z["out_size"][c][groups[i]] for i in order]
    stage = ("projector",
             f"selector: {{kind: fold, window: [{p['window']}, {p['window']}], threshold: {p['threshold']}, "
             f"together: {'true' if pictures > 1 else 'false'}}}",
             "merger: fold", "budget: {all: true, scope: image}")
    return {"features": [row for x in z["in_x"] for row in x[1:]], "grid": [[side, side]] * pictures}, stage, None, {
        "kept": kept, "rows": rows, "sizes": sizes, "assignment": to}


def tome(p, z):
    """A class token comes first, then a distillation token: neither is a candidate. Ours stand in the order of
    those who stay, theirs as [first side | second side]."""
    protected = p["class_token"] + p["distill_token"]
    groups = [g for g in z["out_group"][protected:]]
    kept, seen = [], {}
    most = max(z["out_group"]) + 1
    for g in range(most):
        members = [i for i, to in enumerate(groups) if to == g]
        if members:  # who is joined is of the second side; alone, the side does not matter
            stays = [i for i in members if (i + protected) % 2] or members
            seen[stays[0]] = g
    kept = sorted(seen)
    rank = {seen[i]: k for k, i in enumerate(kept)}
    keys = [[sum(head[i][c] for head in z["in_keys"]) / len(z["in_keys"]) for c in range(len(z["in_keys"][0][0]))]
            for i in range(protected, p["tokens"])]
    count = len(kept)
    stage = ("projector",
             "selector: {kind: bipartite, feature: vision-keys, class_token: %s}" % ("false", "true")[protected % 2],
             "merger: bipartite", f"budget: {{count: {count}}}")
    return {"features": z["in_x"][protected:], "vision_keys": keys, "grid": [1, len(groups)]}, stage, None, {
        "kept": kept, "assignment": [rank[g] for g in groups], "rows": [z["out_merged"][seen[i]] for i in kept],
        "sizes": [z["out_size"][seen[i]] for i in kept]}


def vispruner(p, z):
    crops, n = len(z["in_features"]), p["n"]
    side = math.isqrt(n)
    rows = [row for crop in z["in_features"] for row in crop]
    heads = [[v for crop in z["in_cls_rows"] for v in crop[h]] for h in range(len(z["in_cls_rows"][0]))]
    tensors = {"features": rows, "vision": rows, "cls_attention": heads, "grid": [[side, side]] * crops}
    stage = ("projector", "scorer: cls-attention",
             f"selector: {{kind: chain, parts: [{{share: {ratio_text(p['important_ratio'])}, selector: topk}}, "
             "{selector: {kind: parity, feature: vision}}]}",
             f"budget: {{count: {p['K']}, scope: image}}")
    return tensors, stage, None, {"kept": [c * n + i for c, kept in enumerate(z["out_kept"]) for i in sorted(kept)]}


def ratio_text(x):
    return str(fractions.Fraction(x).limit_denominator(1000))


METHODS = {"cdpruner": cdpruner, "dart": dart, "divprune": divprune, "dycoke": dycoke, "eadp": eadp, "evs": evs,
           "fastervlm": fastervlm, "globalcom2": globalcom2, "holov": holov, "mmtok": mmtok,
           "mustdrop-keyset": mustdrop_keyset, "mustdrop-stage1": mustdrop_stage1,
           "mustdrop-stage2": mustdrop_stage2, "prunesid": prunesid, "pyramiddrop": pyramiddrop, "scope": scope,
           "sparsevlm-cluster": sparsevlm_cluster, "sparsevlm-v1.0": sparsevlm_by_rank, "sparsevlm-v1.5": sparsevlm,
           "tome": tome, "vcast": vcast, "vidcom2": vidcom2, "visionzip": visionzip, "vispruner": vispruner}


def stated(note, z):
    """A case of make_selections.py: tensors and answers by their names, and the stage."""
    tensors = {name[3:]: value for name, value in z.items() if name.startswith("in_")}
    return tensors, note["stage"], None, {name[4:]: v for name, v in z.items() if name.startswith("out_")}


def difference(got, want):
    """None, or what is wrong."""
    if got is None:
        return "is missing"
    if shape_of(got) != shape_of(want):
        return f"has shape {shape_of(got)}, wanted {shape_of(want)}"
    a, b = flat(got), flat(want)
    if isinstance(b[0], int):
        return None if a == b else f"is {a}, wanted {b}"
    worst = max(abs(x - y) / max(1.0, abs(y)) for x, y in zip(a, b))
    return None if worst <= 1e-5 else f"differs by {worst:.3g}"


def run(command, method, case, folder):
    note = json.loads(case.with_suffix(".json").read_text())
    z = load_npz(case)
    tensors, stage, keep, want = stated(note, z) if "stage" in note else METHODS[method](note["parameters"], z)
    path, out = folder / "case.safetensors", folder / "out.safetensors"
    save(path, tensors)
    policy, more = method, ["--keep", str(keep)]
    if stage:
        policy, more = folder / "policy.yaml", []
        lines = ["tokenprune: 1", "name: case", "stages:", "  - at: " + stage[0]]
        policy.write_text("\n".join(lines + ["    " + line for line in stage[1:]]) + "\n")
    wrong = []
    for backend in os.environ.get("TKP_TEST_BACKENDS", "ref auto").split():
        done = subprocess.run([command, "select", "--policy", policy, "-t", path, "-o", out, "--backend", backend]
                              + more, capture_output=True, text=True)
        if done.returncode and os.environ.get("TKP_TEST_MAY_SKIP") and NOT_HERE.search(done.stderr):
            print(f"skipped: {done.stderr.strip()}")
            sys.exit(77)
        if done.returncode:
            wrong.append(f"{backend}: {done.stderr.strip()}")
            continue
        got = load(out)
        for name, value in want.items():
            if name == "among kept":
                name, value = "kept", sorted(set(got["kept"]) | set(value))
            problem = difference(got.get(name), value)
            if problem:
                wrong.append(f"{backend}: {name} {problem}")
    return wrong


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    command, root = sys.argv[1], pathlib.Path(sys.argv[2])
    count = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for method in sys.argv[3:] or sorted(path.name for path in root.iterdir() if path.is_dir()):
            for case in sorted((root / method).glob("case*.npz")):
                count += 1
                for line in run(command, method, case, pathlib.Path(folder)):
                    failed += 1
                    print(f"FAILED {method}/{case.stem}: {line}")
    print(f"{count} published cases, {failed} failures")
    sys.exit(1 if failed or not count else 0)


if __name__ == "__main__":
    main()
