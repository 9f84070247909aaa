#!/usr/bin/env python3
"""The arithmetic of docs/scaling.md: bytes and multiply-accumulates of a decoder cut over machines.

    tools/scaling.py [CONFIG.json]     a Hugging Face configuration; without it Qwen2-VL-72B
"""
import json
import sys

SHAPE = {"num_hidden_layers": 80, "hidden_size": 8192, "intermediate_size": 29568, "num_attention_heads": 64,
         "num_key_value_heads": 8, "vocab_size": 152064}
WHOLE, PRUNED, BOUNDARY = 2944, 384, 2  # rows before and after a cut of 2880 visual tokens to 320
BYTES = 2  # bf16


def main():
    c = json.load(open(sys.argv[1])) if len(sys.argv) > 1 else SHAPE
    layers, d, f = c["num_hidden_layers"], c["hidden_size"], c["intermediate_size"]
    heads, groups = c["num_attention_heads"], c.get("num_key_value_heads") or c["num_attention_heads"]
    width = d // heads
    weights = 2 * d * heads * width + 2 * d * groups * width + 3 * d * f
    ends = 2 * c["vocab_size"] * d
    rows = [WHOLE] * BOUNDARY + [PRUNED] * (layers - BOUNDARY)

    def work(r):
        return weights * r + r * (r + 1) * heads * width

    whole, pruned = layers * work(WHOLE), sum(map(work, rows))
    print(f"weights {(layers * weights + ends) * BYTES / 1e9:.1f} GB")
    print(f"prefill {whole / 1e12:.1f} TMAC, pruned {pruned / 1e12:.1f}: {whole / pruned:.2f} times less")
    keys = 2 * groups * width * BYTES
    print(f"keys and values {layers * keys * WHOLE / 1e6:.0f} MB, pruned {keys * sum(rows) / 1e6:.0f} MB")
    print("machines | weights of each GB | sent by each: prefill GB, pruned GB, a token MB")
    for p in (2, 4, 8):
        share = 2 * 2 * (p - 1) / p * d * BYTES  # two all-reduces by rings, of a row
        print(f"{p} | {(layers * weights + ends) * BYTES / p / 1e9:.1f} | {layers * WHOLE * share / 1e9:.2f} | "
              f"{sum(rows) * share / 1e9:.2f} | {layers * share / 1e6:.2f}")
    for p in (4,):
        even = [sum(map(work, rows[i * layers // p:(i + 1) * layers // p])) / pruned for i in range(p)]
        cuts, done = [], 0.0
        for i, r in enumerate(rows):
            done += work(r)
            if done >= pruned * (len(cuts) + 1) / p and len(cuts) < p - 1:
                cuts.append(i + 1)
        bounds = [0] + cuts + [layers]
        fair = [sum(map(work, rows[a:b])) / pruned for a, b in zip(bounds, bounds[1:])]
        print(f"{p} stages of {layers // p} layers: " + ", ".join(f"{x:.3f}" for x in even))
        print(f"cut behind layers {cuts}: " + ", ".join(f"{x:.3f}" for x in fair))


if __name__ == "__main__":
    main()
