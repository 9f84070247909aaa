#!/usr/bin/env python3
"""Write docs/methods.md: every preset with its stages, needs and cost.

    taskset -c 0 build/bin/tkp_bench_select 0.3 >docs/performance_select.csv
    tools/methods_table.py build/bin/tokenprune

Facts come from `tokenprune policy list --json`, times from
docs/performance_select.csv, the prefill from docs/performance_e2e.csv.
"""

import csv
import json
import pathlib
import subprocess
import sys

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"

HEAD = """# Methods

Written by `tools/methods_table.py`; do not edit. What each preset is, its source, its options and where it
departs from its paper is in [policies.md](policies.md) and on the pages in [methods/](methods/).

- *at*: before the language model (`projector`), before a decoder layer (`llm:2`), inside the encoder (`vision:k`, `vision-mlp:k`),
  after prefill (`kv`).
- *needs*: inputs that an engine has to have (`enum tkp_need`).
- *asks*: what is kept depends on the question; without it a picture's result can be used again.
- *exact*: the budget alone says how many are kept, so the count is known before the encoder runs.
- *ms*: scoring, selection and merging of one sequence, {small[0]} visual tokens down to {small[1]}, and {large[0]} down to
  {large[1]}; hidden size 4096, bf16, 64 rows of text. Presets of several cuts keep their own budgets, and each cut is
  counted.
- *share*: of the prefill of a 7B model with those {small[0]} and 64 rows of text ({prefill:.1f} s,
  [performance_e2e.csv](performance_e2e.csv)).

Times are processor time of one thread, the median of the runs there was time for, on a machine that others used as
well (`taskset -c 0 tkp_bench_select 0.3`, shortest and number of runs in [performance_select.csv](performance_select.csv)); the prefill
had two threads, wall time. The inputs are random numbers, and no log-sum-exp is given, which an engine has.

| method | at | needs | asks | merges | exact | ms at {small[0]} | share | ms at {large[0]} |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def milliseconds(row):
    if row is None:
        return "-"
    if row["status"] != "ok":
        return "not timed"
    return f"{float(row['median_ms']):.3g}"


def share(row, prefill):
    if row is None or row["status"] != "ok":
        return "-"
    percent = 100 * float(row["median_ms"]) / (1e3 * prefill)
    return f"{percent:.2g} %" if percent >= 0.001 else "< 0.001 %"


def read_csv(name):
    lines = (DOCS / name).read_text().splitlines()
    return list(csv.DictReader(l for l in lines if not l.startswith("#")))


def page(name):
    own = DOCS / "methods" / f"{name}.md"
    return f"[`{name}`](methods/{name}.md)" if own.exists() else f"`{name}`"


def places(stages):
    """Points in order, each once; runs of neighbours as `first to last`."""
    runs = []
    for stage in dict.fromkeys(stages):
        point, _, number = stage.partition(":")
        if runs and number and runs[-1][0] == point and int(number) == runs[-1][2] + 1:
            runs[-1][2] += 1
        else:
            runs.append([point, int(number or 0), int(number or 0), bool(number)])
    out = []
    for point, first, last, counted in runs:
        name = lambda n: f"{point}:{n}" if counted else point
        out += [f"{name(first)} to {last}"] if last > first + 1 else [name(n) for n in range(first, last + 1)]
    return ", ".join(out)


def main():
    text = subprocess.run(
        [sys.argv[1], "policy", "list", "--json"],
        check=True, capture_output=True, text=True).stdout
    policies = json.loads(text)["policies"]
    times = read_csv("performance_select.csv")
    shapes = sorted({(int(r["tokens"]), int(r["kept"])) for r in times})
    small, large = shapes[0], shapes[-1]
    at = {(r["policy"], int(r["tokens"])): r for r in times}
    whole = next(
        r for r in read_csv("performance_e2e.csv") if r["policy"] == "none")
    prefill = float(whole["prefill_s"])
    yes = {True: "yes", False: ""}
    out = HEAD.format(small=small, large=large, prefill=prefill)
    for p in policies:
        first = at.get((p["name"], small[0]))
        second = at.get((p["name"], large[0]))
        cells = [
            page(p["name"]), places(p["stages"]), ", ".join(p["needs"]),
            yes[p["text_dependent"]], yes[p["merges"]], yes[p["exact_count"]],
            milliseconds(first), share(first, prefill), milliseconds(second)]
        out += "| " + " | ".join(cells) + " |\n"
    (DOCS / "methods.md").write_text(out)


if __name__ == "__main__":
    main()
