#!/usr/bin/env python3
"""Methods that act inside the decoder, forward and all, stated again in NumPy.

The language model of two golden checkpoints (tests/golden/models) in double precision, its logits first
held against those that transformers gave; then a method's cut in the middle of it, as its page in
docs/methods has it, and a few tokens after it. Rows are computed anew for each token: there is no cache.

    python3 tools/golden/make_forward_methods.py     writes tests/golden/forward/

<method>-<checkpoint>.safetensors: `policy` (the YAML as bytes), `boundary`, `rows` that stay, `key_bias`
of those (if there is one), `tokens`, and `logits` of each step.
"""

import json
import pathlib

import numpy as np
from safetensors.numpy import load_file, save_file

import make_selections as selections

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
STEPS = 4


class Model:
    def __init__(self, name):
        folder = ROOT / "models" / name
        self.fixture = load_file(folder / "fixture.safetensors")
        weights = {}
        for file in sorted(folder.glob("model*.safetensors")):
            weights |= load_file(file)
        config = json.loads((folder / "config.json").read_text())["text_config"]
        self.heads, self.kv = config["num_attention_heads"], config["num_key_value_heads"]
        self.layers, self.eps = config["num_hidden_layers"], config["rms_norm_eps"]
        self.channels = config["hidden_size"] // self.heads
        self.theta = config.get("rope_theta", config.get("rope_parameters", {}).get("rope_theta", 1e4))
        self.weights = {k: v.astype(np.float64) for k, v in weights.items() if "vision" not in k}
        ids = self.fixture["input_ids"]
        self.visual = np.flatnonzero(ids == 100)
        self.embeds = self.fixture["lm.inputs_embeds"].astype(np.float64)

    def weight(self, end):
        found = [v for k, v in self.weights.items() if k.endswith("model." + end) or
                 k.split("language_model.")[-1] == end]
        assert len(found) == 1, (end, len(found))
        return found[0]

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(1, keepdims=True) + self.eps) * self.weight(name + ".weight")

    def rotate(self, x, positions):
        """[R, heads, C], halves convention."""
        half = self.channels // 2
        angle = positions[:, None] / self.theta ** (np.arange(half) * 2 / self.channels)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def project(self, layer, x, positions):
        """Before and after rotary: q, k, then q, k, v."""
        y = self.norm(x, f"layers.{layer}.input_layernorm")
        q, k, v = ((y @ self.weight(f"layers.{layer}.self_attn.{n}_proj.weight").T).reshape(len(x), -1, self.channels)
                   for n in "qkv")
        return q, k, self.rotate(q, positions), self.rotate(k, positions), v

    def probabilities(self, q, k, bias):
        logits = np.einsum("ihc,jhc->hij", q, np.repeat(k, self.heads // self.kv, 1)) / np.sqrt(self.channels) + bias
        logits = np.where(np.tril(np.ones(logits.shape[1:], bool)), logits, -np.inf)
        e = np.exp(logits - logits.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def run_layer(self, layer, x, positions, bias):
        """bias: of each key, or of each query and key."""
        _, _, q, k, v = self.project(layer, x, positions)
        p = self.probabilities(q, k, bias)
        self.seen = p.mean(0)  # [query, key], for what comes after the layer
        mixed = np.einsum("hij,jhc->ihc", p, np.repeat(v, self.heads // self.kv, 1)).reshape(len(x), -1)
        x = x + mixed @ self.weight(f"layers.{layer}.self_attn.o_proj.weight").T
        y = self.norm(x, f"layers.{layer}.post_attention_layernorm")
        gate, up, down = (self.weight(f"layers.{layer}.mlp.{n}_proj.weight") for n in ("gate", "up", "down"))
        z = y @ gate.T
        return x + (z / (1 + np.exp(-z)) * (y @ up.T)) @ down.T

    def head(self, x):
        return self.norm(x[-1:], "norm")[0] @ self.weight("lm_head.weight").T

    def forward(self, more, cuts=(), evicted=None):
        """Logits behind the last of the ids in `more`; cuts: boundary -> function of the state. Rows `evicted` are
        seen by the prompt alone."""
        x = np.concatenate([self.embeds, self.weight("embed_tokens.weight")[np.array(more, int)]])
        state = {"x": x, "positions": np.arange(len(x)), "bias": np.zeros(len(x)), "visual": self.visual,
                 "prompt": len(self.embeds)}
        for layer in range(self.layers):
            for boundary, cut in cuts:
                if boundary == layer:
                    cut(self, layer, state)
            bias = state["bias"]
            if evicted is not None and len(state["x"]) == len(x):
                bias = np.zeros((len(x), len(x)))
                bias[len(self.embeds):, evicted] = -np.inf
            state["x"] = self.run_layer(layer, state["x"], state["positions"], bias)
        return self.head(state["x"])


def check(model):
    want = model.fixture["lm.logits"][-1]
    worst = abs(model.forward([]) - want).max() / abs(want).max()
    assert worst < 1e-5, worst


# --- methods ---------------------------------------------------------------------


def pact(share, limit, evicts=False):
    def cut(model, layer, state):
        x, positions = state["x"], state["positions"]
        plain_q, plain_k, _, k, _ = model.project(layer, x, positions)
        t = {"plain_q": plain_q, "plain_k": plain_k, "k": k, "hidden": x}
        kept, _, to = selections.pact(t, state["visual"], share, limit, None)
        sizes = np.ones(len(x))
        for place, i in enumerate(kept):
            held = state["visual"][to == place]
            x[state["visual"][i]] = x[held].mean(0)
            sizes[state["visual"][i]] = len(held)
        stays = np.delete(np.arange(len(x)), np.delete(state["visual"], kept))
        state |= {"x": x[stays], "positions": positions[stays], "bias": np.log(sizes[stays])}
        state["rows"] = model.rows = stays[stays < state["prompt"]]
        model.key_bias = np.log(sizes[model.rows])
        model.evicted = np.delete(state["visual"], kept) if evicts else None

    yaml = f"""  - at: llm:2
    score_layer: next
    scorer:
      kind: blend
      combine: product
      terms:
        - {{weight: 1, scorer: mean-query}}
        - {{weight: 1, scorer: {{kind: norm, norm: l2}}}}
    selector: {{kind: clusters, feature: keys, share: {share[0]}/{share[1]}, threshold: {limit}}}
    merger: {{kind: nearest, feature: keys, within: {1.5 * limit:.6g}, proportional: true}}
    budget: all
"""
    if evicts:
        yaml += "  - at: kv\n    selector: stride\n    budget: {ratio: 1}\n"
    return yaml, [(2, cut)]


def ivc(coordinates, seeds, share):
    """Shares of the visual tokens as fractions."""

    def cut(model, layer, state):
        x, positions, visual = state["x"], state["positions"], state["visual"]
        v = model.project(layer, x, positions)[4]
        text = np.arange(visual[-1] + 1, state["prompt"])
        kept = selections.ivc(v, positions[None], visual, text, model.theta, coordinates, seeds, share)
        stays = np.delete(np.arange(len(x)), np.delete(visual, kept))
        state |= {"x": x[stays], "positions": positions[stays], "bias": np.zeros(len(stays))}
        model.rows = stays[stays < state["prompt"]]
        model.evicted = np.delete(visual, kept)

    (a, b), (c, d), (e, f) = coordinates, seeds, share
    yaml = f"""  - at: llm:2
    effect: protect
    scorer: rotary
    selector: topk
    budget: {{ratio: {a}/{b}, rounding: floor}}
  - at: llm:2
    effect: protect
    scorer: {{kind: rotary, sine: true}}
    selector: topk
    budget: {{ratio: {a}/{b}, rounding: floor}}
  - at: llm:2
    effect: protect
    score_layer: next
    scorer: value-attention
    selector: topk
    budget: {{ratio: {c}/{d}, rounding: floor, min_keep: 1}}
  - at: llm:2
    score_layer: next
    scorer: {{kind: value-attention, seeds: {c}/{d}}}
    selector: topk
    budget: {{ratio: {e}/{f}}}
  - at: kv
    selector: stride
    budget: {{ratio: 1}}
"""
    return yaml, [(2, cut)]


def aim(schedule):
    """schedule: boundary -> tokens that are left."""

    def merge(model, layer, state):
        x, visual = state["x"], state["visual"]
        weights = state.setdefault("weights", np.ones(len(visual)))
        u = selections.unit(x[visual])
        a, b = np.arange(0, len(visual), 2), np.arange(1, len(visual), 2)
        like = u[a] @ u[b].T
        gone = selections.best(like.max(1), len(visual) // 2)
        total, count = x[visual] * weights[:, None], weights.copy()
        for g in gone:
            to = b[like[g].argmax()]
            total[to] += weights[a[g]] * x[visual[a[g]]]
            count[to] += weights[a[g]]
        x[visual] = total / count[:, None]
        state["weights"] = count
        keep(model, state, np.delete(np.arange(len(visual)), a[gone]))

    def keep(model, state, kept):
        x, visual = state["x"], state["visual"]
        stays = np.delete(np.arange(len(x)), np.delete(visual, kept))
        model.rows = stays[stays < state["prompt"]]
        place = np.full(len(x), -1)
        place[stays] = np.arange(len(stays))
        state |= {"x": x[stays], "positions": state["positions"][stays], "bias": np.zeros(len(stays)),
                  "visual": place[visual[kept]], "weights": state["weights"][kept],
                  "prompt": int((stays < state["prompt"]).sum())}

    def prune(count):
        def cut(model, layer, state):
            prompt = state["prompt"]
            scores = model.seen[:prompt, state["visual"]].mean(0)  # what is decoded later has no say
            keep(model, state, selections.best(scores, count))

        return cut

    half = """  - at: projector
    selector: bipartite
    merger: bipartite
    budget: {ratio: 1/2, rounding: ceil, scope: frame}
"""
    yaml = 2 * half
    for boundary, count in schedule.items():
        yaml += f"""  - at: llm:{boundary}
    scorer: {{kind: attention, query: all, reduce: mean}}
    selector: topk
    budget: {{count: {count}}}
"""
    return yaml, [(0, merge), (0, merge)] + [(boundary, prune(count)) for boundary, count in schedule.items()]


METHODS = {"aim": aim({1: 3, 2: 1, 3: 0}), "ivc": ivc((1, 10), (1, 100), (1, 2)), "ivc-seeds": ivc((1, 4), (1, 8), (5, 8)), "pact": pact((3, 4), 0.5), "pact-mild": pact((1, 1), 0.3),
           "pact-evicts": pact((3, 4), 0.5, True)}


def main():
    (ROOT / "forward").mkdir(exist_ok=True)
    for name in ("llava-f32", "llava-kv2-sharded"):
        model = Model(name)
        check(model)
        for method, (yaml, cuts) in METHODS.items():
            tokens, logits = [], []
            model.key_bias = model.evicted = None
            for _ in range(STEPS):
                z = model.forward(tokens, cuts, model.evicted)
                best = np.sort(z)[-2:]
                assert best[1] - best[0] > 1e-3 * abs(z).max()
                tokens.append(int(np.argmax(z)))
                logits.append(z)
            text = f"tokenprune: 1\nname: {method}\nstages:\n{yaml}"
            out = {"policy": np.frombuffer(text.encode(), np.uint8), "boundary": np.array([cuts[-1][0]], np.int32),
                   "rows": model.rows.astype(np.int32), "tokens": np.array(tokens, np.int32),
                   "logits": np.array(logits, np.float32)}
            if model.key_bias is not None:
                out["key_bias"] = model.key_bias.astype(np.float32)
            save_file(out, ROOT / "forward" / f"{method}-{name}.safetensors")
            print(method, name, len(model.rows), "rows of", len(model.embeds), tokens, model.key_bias)


if __name__ == "__main__":
    main()
