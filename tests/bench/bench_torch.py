"""The cases of tkp_bench_ops in PyTorch eager, on the same cores.

    python3 tests/bench/bench_torch.py [--threads 2] [--seconds 0.5] [--op NAME]

CSV as tkp_bench_ops writes it, as far as the columns make sense here. What
PyTorch has no single call for is written as a model's eager code would.
"""

import argparse
import math
import os
import time

import torch
import torch.nn.functional as F

D, H, C, MLP, SHARE = 4096, 32, 128, 11008, 9


def rand(dtype, *shape):
    return (torch.rand(*shape) * 2 - 1).to(dtype)


def linear_of(m, dtype, w_dtype):
    x, w = rand(dtype, m, D), rand(w_dtype, MLP, D)
    if dtype == w_dtype:
        return lambda: F.linear(x, w)
    return lambda: F.linear(x, w.to(dtype))


def linear(n, dtype):
    return f"m{n}n{MLP}k{D}", linear_of(n, dtype, dtype)


def linear_f32xbf16(n, dtype):
    return f"m{n}n{MLP}k{D}", linear_of(n, dtype, torch.bfloat16)


def linear_row(_n, dtype):
    return f"m1n{MLP}k{D}", linear_of(1, dtype, dtype)


def attention_of(nq, nk, dtype):
    q, k, v = (rand(dtype, r, H, C).transpose(0, 1)[None] for r in (nq, nk, nk))
    causal = nq == nk
    return f"q{nq}k{nk}h{H}c{C}", lambda: F.scaled_dot_product_attention(
        q, k, v, is_causal=causal
    )


def attention(n, dtype):
    return attention_of(n, n, dtype)


def attention_row(n, dtype):
    return attention_of(1, n, dtype)


def rms_norm(n, dtype):
    x, w = rand(dtype, n, D), rand(dtype, D)

    def run():
        f = x.float()
        f = f * torch.rsqrt(f.pow(2).mean(-1, keepdim=True) + 1e-5)
        return w * f.to(dtype)

    return f"m{n}d{D}", run


def layer_norm(n, dtype):
    x, w, b = rand(dtype, n, D), rand(dtype, D), rand(dtype, D)
    return f"m{n}d{D}", lambda: F.layer_norm(x, (D,), w, b, 1e-5)


def rotary(n, dtype):
    x = rand(dtype, n, H, C)
    cos, sin = (rand(dtype, n, 1, C) for _ in range(2))

    def run():
        turned = torch.cat((-x[..., C // 2 :], x[..., : C // 2]), -1)
        return x * cos + turned * sin

    return f"m{n}h{H}c{C}", run


def silu_gated(n, dtype):
    a, b = rand(dtype, n, MLP), rand(dtype, n, MLP)
    return f"m{n}n{MLP}", lambda: F.silu(a) * b


def gelu(n, dtype):
    x = rand(dtype, n, D)
    return f"m{n}n{D}", lambda: F.gelu(x)


def quick_gelu(n, dtype):
    x = rand(dtype, n, D)
    return f"m{n}n{D}", lambda: x * torch.sigmoid(1.702 * x)


def add(n, dtype):
    a, b = rand(dtype, n, D), rand(dtype, n, D)
    return f"m{n}d{D}", lambda: a + b


def scores_of(rows, n, dtype):
    q, k = (rand(dtype, r, H, C).transpose(0, 1) for r in (rows, n))
    mask = torch.ones(rows, n, dtype=torch.bool).tril(n - rows)
    seen = mask.sum(0).clamp(min=1)

    def run():
        logits = (q @ k.transpose(1, 2)) / math.sqrt(C)
        if rows > 1:
            logits = logits.masked_fill(~mask, float("-inf"))
        p = torch.softmax(logits, -1, dtype=torch.float32).to(dtype).mean(0)
        return p[-1] if rows == 1 else p.sum(0) / seen

    return f"q{rows}k{n}h{H}c{C}", run


def scores_last(n, dtype):
    return scores_of(1, n, dtype)


def scores_mean(n, dtype):
    return scores_of(n, n, dtype)


def row_norm(n, dtype):
    x = rand(dtype, n, D)
    return f"n{n}d{D}", lambda: x.abs().sum(-1, dtype=torch.float32)


def cosine(n, dtype):
    x, r = rand(dtype, n, D), rand(dtype, 1, D)
    return f"n{n}d{D}", lambda: F.cosine_similarity(x, r, dim=-1)


def cosine_pairs(n, dtype):
    x = rand(dtype, n, D)

    def run():
        unit = F.normalize(x.float(), dim=-1)
        s = unit @ unit.T
        s.fill_diagonal_(-2.0)
        return s.max(-1).values

    return f"n{n}d{D}", run


def blend(n, dtype):
    z = rand(dtype, 2, n)

    def run():
        low, high = z.min(1, keepdim=True).values, z.max(1, keepdim=True).values
        f = (z - low) / (high - low)
        return 0.5 * f[0] + 0.5 * (1 - f[1])

    return f"t2n{n}", run


def topk(n, dtype):
    s = rand(dtype, n)
    return f"n{n}k{n // SHARE}", lambda: s.topk(n // SHARE).indices.sort().values


def compact(n, _dtype):
    candidates = torch.arange(n) + 32
    selected = torch.arange(n // SHARE) * SHARE

    def run():
        keep = torch.ones(n + 64, dtype=torch.bool)
        keep[candidates] = False
        keep[candidates[selected]] = True
        return keep.nonzero()

    return f"n{n}k{n // SHARE}", run


def gather_rows(n, dtype):
    x, index = rand(dtype, n, D), torch.arange(n // SHARE) * SHARE
    return f"n{n}k{n // SHARE}d{D}", lambda: x.index_select(0, index)


def group_pool(n, dtype):
    x = rand(dtype, n, D)
    return f"n{n}m{n // 4}d{D}", lambda: x.view(n // 4, 4, D).mean(1)


# Greedy selection: the cosine matrix, then one choice after the other, as
# released code does it.


def cosines(x):
    unit = F.normalize(x.float(), dim=-1)
    return unit @ unit.T


def greedy(n, dtype, choose):
    x, w, k = rand(dtype, n, D), torch.rand(n), n // SHARE
    return f"n{n}k{k}d{D}", lambda: choose(cosines(x), w, k)


def choose_distance(s, _w, k):
    far = 1 - s
    far.fill_diagonal_(math.inf)
    picks = [far.min(1).values.argmax()]
    near = 1 - s[picks[0]]
    for _ in range(k - 1):
        near[picks[-1]] = -1
        picks.append(near.argmax())
        near = torch.minimum(near, 1 - s[picks[-1]])
    return torch.stack(picks)


def choose_mmr(s, w, k):
    picks, like = [w.argmax()], None
    for _ in range(k - 1):
        like = s[picks[-1]] if like is None else torch.maximum(like, s[picks[-1]])
        value = 0.5 * w - 0.5 * like
        value[torch.stack(picks)] = -math.inf
        picks.append(value.argmax())
    return torch.stack(picks)


def choose_cover(s, w, k):
    covered, free, picks = torch.zeros(len(s)), torch.zeros(len(s)), []
    for _ in range(k):
        gain = (s - covered[:, None]).clamp_min_(0).sum(0) * w + free
        picks.append(gain.argmax())
        free[picks[-1]] = -math.inf
        covered = torch.maximum(covered, s[:, picks[-1]])
    return torch.stack(picks)


def choose_dpp(s, w, k):
    kernel = w[:, None] * s * w
    left, rows, picks = kernel.diagonal().clone(), torch.zeros(k, len(s)), []
    for t in range(k):
        picks.append(left.argmax())
        j = picks[-1]
        rows[t] = (kernel[j] - rows[:t, j] @ rows[:t]) / left[j].sqrt()
        left -= rows[t] ** 2
        left[j] = -math.inf
    return torch.stack(picks)


def choose_tri(s, w, k):
    free, picks, near = torch.ones(len(s), dtype=torch.bool), [w.argmax()], None
    for _ in range(k - 1):
        j = picks[-1]
        free[j] = False
        near = s[j] if near is None else torch.maximum(near, s[j])
        cover = (s[free] - near[free][:, None]).clamp_min_(0).sum(0)
        far = 1 - near
        value = w / w[free].mean() + 0.5 * far / far[free].mean() + 0.5 * cover / cover[free].mean()
        value[~free] = -math.inf
        picks.append(value.argmax())
    return torch.stack(picks)


def density_peaks(n, dtype):
    x = rand(dtype, n, D)

    def run():
        far = torch.cdist(x.float(), x.float()) / D**0.5
        density = (-far.topk(5, largest=False).values.square().mean(1)).exp()
        denser = density[None, :] > density[:, None]
        return density * torch.where(denser, far, far.max()).min(1).values

    return f"n{n}c5d{D}", run


def nearest(n, dtype):
    x = rand(dtype, n, D)
    kept = torch.arange(n // SHARE) * SHARE

    def run():
        unit = F.normalize(x.float(), dim=-1)
        return (unit @ unit[kept].T).argmax(1)

    return f"n{n}k{n // SHARE}d{D}", run


def merge_rows(n, dtype):
    x, k = rand(dtype, n, D), n // SHARE
    to = torch.arange(n) * 7 % k

    def run():
        sums = torch.zeros(k, D).index_add_(0, to, x.float())
        return (sums / torch.bincount(to, minlength=k)[:, None]).to(dtype)

    return f"n{n}k{k}d{D}", run


# name, maker, both dtypes, the same for every n
CASES = [
    ("linear", linear, True, False),
    ("linear_f32xbf16", linear_f32xbf16, False, False),
    ("linear_row", linear_row, True, True),
    ("attention", attention, True, False),
    ("attention_row", attention_row, True, False),
    ("rms_norm", rms_norm, True, False),
    ("layer_norm", layer_norm, True, False),
    ("rotary", rotary, True, False),
    ("silu_gated", silu_gated, True, False),
    ("gelu", gelu, True, False),
    ("quick_gelu", quick_gelu, True, False),
    ("add", add, True, False),
    ("scores_last", scores_last, True, False),
    ("scores_mean", scores_mean, True, False),
    ("row_norm", row_norm, True, False),
    ("cosine", cosine, True, False),
    ("cosine_pairs", cosine_pairs, True, False),
    ("blend", blend, False, False),
    ("topk", topk, False, False),
    ("compact", compact, False, False),
    ("greedy_distance", lambda n, t: greedy(n, t, choose_distance), True, False),
    ("greedy_mmr", lambda n, t: greedy(n, t, choose_mmr), True, False),
    ("greedy_cover", lambda n, t: greedy(n, t, choose_cover), True, False),
    ("greedy_dpp", lambda n, t: greedy(n, t, choose_dpp), True, False),
    ("greedy_tri", lambda n, t: greedy(n, t, choose_tri), True, False),
    ("density_peaks", density_peaks, True, False),
    ("nearest", nearest, True, False),
    ("merge_rows", merge_rows, True, False),
    ("gather_rows", gather_rows, True, False),
    ("group_pool", group_pool, True, False),
]


def measure(run, seconds, clock):
    """As bench_measure(): 5 to 200 runs after a warm one; sorted seconds."""
    run()
    took, start = [], clock()
    while len(took) < 200 and (len(took) < 5 or clock() - start < seconds):
        begin = clock()
        run()
        took.append(clock() - begin)
    return sorted(took)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--op")
    parser.add_argument("--n", type=int, default=0)
    parser.add_argument("--cpu-clock", action="store_true")
    args = parser.parse_args()
    clock = time.thread_time if args.cpu_clock else time.perf_counter
    args.threads = 1 if args.cpu_clock else args.threads
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    print(f"# PyTorch {torch.__version__}; threads {torch.get_num_threads()}")
    print("op,kernel,dtype,shape,runs,min_ms,median_ms,load")
    for name, make, both, once in CASES:
        if args.op and args.op != name:
            continue
        for n in [args.n] if args.n else [576] if once else [576, 2880]:
            for dtype in [torch.float32] + [torch.bfloat16] * both:
                shape, run = make(n, dtype)
                took = measure(run, args.seconds, clock)
                label = "bf16" if dtype == torch.bfloat16 else "f32"
                label = "i32" if name == "compact" else label
                print(
                    f"{name},torch:eager,{label},{shape},{len(took)},"
                    f"{took[0] * 1e3:.4f},{took[len(took) // 2] * 1e3:.4f},"
                    f"{os.getloadavg()[0]:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
