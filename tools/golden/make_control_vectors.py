#!/usr/bin/env python3
"""Golden cases of the controls (docs/methods/controls.md): stride, uniform, drop-all, external.

An independent statement in NumPy and fractions, written from that page. Batches, budgets and the
format of the cases are those of make_policy_vectors.py.

    python3 tools/golden/make_control_vectors.py   writes tests/golden/controls/
"""

from fractions import Fraction
from math import ceil, floor

from make_policy_vectors import (
    ATT, QK, Image, Sequence, Stage, attention, case, count, free, large, protected, quarter, ragged, ratio, shares,
    square, topk, yaml)
from policy_cases import Writer


def split(total, n):
    """total over n parts, so that the sum of the first i is the whole number nearest i total / n."""
    def upto(i):
        return floor(Fraction(i * total, n) + Fraction(1, 2))

    return [upto(i + 1) - upto(i) for i in range(n)]


def middle(i, n, cells):
    return floor(Fraction(2 * i + 1, 2) * Fraction(cells, n))


def points(image, keep):
    """(frame, line, column) of the lattice."""
    for frame, k in enumerate(split(keep, image.frames)):
        if not k:
            continue
        fits = [n for n in range(1, min(image.rows, k) + 1) if ceil(k / n) <= image.cols]
        lines = min(fits, key=lambda n: (abs(n * image.cols - ceil(k / n) * image.rows), n))
        for i, m in enumerate(split(k, lines)):
            for j in range(m):
                yield frame, middle(i, lines, image.rows), middle(j, m, image.cols)


def stride(budget):
    def select(st, scores):
        members = free(st)
        keep = max(budget(len(st.tokens)) - len(protected(st)), 0)
        return protected(st) + (members[:: len(members) // keep][:keep] if keep else [])

    return select


def uniform(budget):
    def select(st, scores):
        chosen = protected(st)
        total = max(budget(len(st.tokens)) - len(chosen), 0)
        groups = {}
        for m in free(st):
            groups.setdefault(st.tokens[m][0], []).append(m)
        for number, keep in zip(groups, shares(total, [len(g) for g in groups.values()])):
            image, left = st.seq.images[number], list(groups[number])
            for frame, y, x in points(image, keep):
                def far(m):
                    line, column = divmod(st.tokens[m][1], image.cols)
                    at, row = divmod(line, image.rows)
                    return abs(at - frame), (row - y) ** 2 + (column - x) ** 2, m
                best = min(left, key=far)
                left.remove(best)
                chosen.append(best)
        return chosen

    return select


def none(st, scores):
    return protected(st)


def main():
    w = Writer("controls", ["Made by tools/golden/make_control_vectors.py"])
    presets = {
        "stride": Stage(yaml("llm:2", "", "", ""), None, stride(quarter)),
        "uniform": Stage(yaml("llm:2", "", "", ""), None, uniform(quarter)),
        "drop-all": Stage(yaml("llm:2", "", "", ""), None, none),
        "external": Stage(yaml("llm:2", "", "", ""), lambda st, t: t["scores"].astype(float), topk(quarter),
                          needs=("scores",)),
    }
    for name, stage in presets.items():
        case(w, f"{name}-6x6", square, [stage], preset=name)
        case(w, f"{name}-24x24", large, [stage], preset=name)
        if name != "external":
            case(w, f"{name}-ragged", ragged, [stage], preset=name)
    for a, b in ((1, 9), (2, 5), (7, 8), (1, 1000)):
        for name, select in (("stride", stride), ("uniform", uniform)):
            case(w, f"{name}-{a}-{b}", ragged,
                 [Stage(yaml("projector", "", name, f"{{ratio: {a}/{b}}}"), None, select(ratio(a, b)))])
    for k in (1, 7, 64, 128, 320, 575):
        for name, select in (("stride", stride), ("uniform", uniform)):
            case(w, f"{name}-{k}-of-576", large,
                 [Stage(yaml("llm:1", "", name, f"{{count: {k}}}"), None, select(count(k)))])

    def video():
        return [Sequence(1, 300, [Image(3, 5, 7, frames=8)]), Sequence(4, 40, [Image(0, 4, 9)])]

    for k in (3, 8, 11, 100):
        case(w, f"uniform-video-{k}", video,
             [Stage(yaml("llm:1", "", "uniform", f"{{count: {k}, min_keep: 1}}"), None,
                    uniform(lambda n, k=k: min(n, k)))] if k < 36 else
             [Stage(yaml("llm:1", "", "uniform", "{ratio: 1/3}"), None, uniform(ratio(1, 3)))])
    half = ratio(1, 2)
    for name, select in (("stride", stride), ("uniform", uniform)):
        case(w, f"{name}-after-a-cut", ragged,
             [Stage(yaml("llm:2", ATT, "topk", "{ratio: 1/2}"), attention, topk(half), needs=QK),
              Stage(yaml("llm:4", "", name, "{ratio: 1/2}"), None, select(half))])
    case(w, "drop-all-after-a-cut", ragged,
         [Stage(yaml("llm:2", ATT, "topk", "{ratio: 1/2}"), attention, topk(half), needs=QK),
          Stage(yaml("llm:4", "", "uniform", "{count: 0}"), None, none)])
    w.write()


if __name__ == "__main__":
    main()
