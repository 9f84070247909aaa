#!/usr/bin/env python3
"""Write tests/golden/text/penalty.jsonl: logits after the repetition penalty.

Oracle: transformers' RepetitionPenaltyLogitsProcessor. One case a line:
[penalty, ids of the text so far, logits before, logits after]; every number is
an f32, written with as many digits as it has.

    make_penalty_vectors.py [tests/golden/text/penalty.jsonl]
"""

import json
import pathlib
import sys

import torch
from transformers import RepetitionPenaltyLogitsProcessor

SEED = 20261123
VOCAB = 48


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    path = sys.argv[1] if len(sys.argv) > 1 else (
        root / "tests" / "golden" / "text" / "penalty.jsonl")
    generator = torch.Generator().manual_seed(SEED)
    with open(path, "w", encoding="ascii") as file:
        for number in range(60):
            penalty = (1.05, 1.0, 1.1, 1.2, 2.0, 0.8, 1.3, 1e6)[number % 8]
            count = 1 + number % 20
            ids = torch.randint(0, VOCAB, (1, count), generator=generator)
            logits = torch.randn((1, VOCAB), generator=generator) * 5
            if number % 3 == 0:
                logits = logits.bfloat16().float()
            logits[0, number % VOCAB] = 0.0
            after = RepetitionPenaltyLogitsProcessor(penalty)(
                ids, logits.clone())
            file.write(json.dumps([penalty, ids[0].tolist(),
                                   logits[0].tolist(), after[0].tolist()],
                                  separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
