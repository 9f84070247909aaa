"""What a call costs beyond the same call in C: top 2 of 6 tokens, as
tests/bench/bench_call.c measures it.

    PYTHONPATH=build/python python3 tests/bench/bench_python.py build/bin/tkp_bench_call
"""

import array
import re
import subprocess
import sys
import timeit

import tokenprune as tkp

CALLS, ROUNDS = 200_000, 9


def best(call):
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e9


def selector():
    context = tkp.Context("ref")
    layout = tkp.Layout()
    layout.add_sequence(8)
    layout.add_image(1, 2, 3)
    return (tkp.Exec(context),
            tkp.Selector(context, layout, "topk", budget={"count": 2}))


def main():
    exec_, topk = selector()
    scores = array.array("f", [0, 5, 1, 7, 2, 3])
    out = array.array("i", [0, 0])
    rows = [("array.array", scores, out)]
    try:
        import numpy
        rows.append(("NumPy", numpy.array(scores, "f4"), numpy.zeros(2, "i4")))
    except ImportError:
        pass
    try:
        import torch
        rows.append(("PyTorch (DLPack)", torch.tensor(list(scores)),
                     torch.zeros(2, dtype=torch.int32)))
    except ImportError:
        pass
    native = 0.0
    if len(sys.argv) > 1:
        said = subprocess.run(
            [sys.argv[1]], capture_output=True, text=True, check=True).stdout
        native = float(re.match(r"[\d.]+", said)[0])
        print(f"{'C':28}{native:10.0f} ns")
    for name, given, kept in rows:
        taken = best(lambda: topk.run(exec_, given, out=kept))
        print(f"{name:28}{taken:10.0f} ns, {taken - native:6.0f} more than C")
    taken = best(lambda: topk.run(exec_, scores))
    print(f"{'array.array, new Array':28}{taken:10.0f} ns, {taken - native:6.0f} more than C")


main()
