"""Put rounds of tkp_bench_ops and bench_torch.py side by side, as Markdown.

    python3 tests/bench/merge_ops.py ROUND.csv... > table.md

Of each program the shortest time over all rounds counts; the share of the
floor is that of the round with the shortest time.
"""

import csv
import sys


def read(path, best, remarks):
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file if line.strip()]
    remarks += [line[2:].strip() for line in lines if line.startswith("#")]
    for row in csv.DictReader(l for l in lines if not l.startswith("#")):
        who = "torch" if row["kernel"].startswith("torch") else "ours"
        key = (row["op"], row["dtype"], row["shape"])
        held = best.setdefault(key, {}).get(who)
        if held is None or float(row["min_ms"]) < float(held["min_ms"]):
            best[key][who] = row


def floor(row):
    """What the op is bound by, and the share of it that is reached."""
    if float(row["flops"]) > 0:
        return (
            f"{float(row['gflop_s']):.0f} GFLOP/s",
            f"{float(row['percent_of_product']):.0f} % of product",
        )
    return (
        f"{float(row['gb_s']):.1f} GB/s",
        f"{float(row['percent_of_read']):.0f} % of read",
    )


def main():
    best, remarks = {}, []
    for path in sys.argv[1:]:
        read(path, best, remarks)
    for remark in dict.fromkeys(remarks):
        print(f"- {remark}")
    print()
    print("| op | dtype | shape | min ms | median ms | rate | floor | torch | ratio |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (op, dtype, shape), who in best.items():
        ours, torch = who.get("ours"), who.get("torch")
        if ours is None:
            continue
        rate, share = floor(ours)
        theirs = f"{float(torch['min_ms']):.3f}" if torch else "-"
        ratio = (
            f"{float(torch['min_ms']) / float(ours['min_ms']):.2f}"
            if torch
            else "-"
        )
        print(
            f"| {op} | {dtype} | {shape} | {float(ours['min_ms']):.3f} "
            f"| {float(ours['median_ms']):.3f} | {rate} | {share} "
            f"| {theirs} | {ratio} |"
        )


if __name__ == "__main__":
    main()
