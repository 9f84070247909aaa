"""The demo model's tokenizer: LLaMA's form (byte fallback, no pre-tokenizer), words of our tasks.

python tokenizer.py FILE      writes tokenizer.json; the same file each time

Merges are learned on words, so that each word and each two-decimal number of the tasks is one
token; any other text still encodes, by bytes if need be.
"""
import json
import re
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import scene as S

SPACE = "\u2581"
PIECE = re.compile(rf"{SPACE}?\d\.\d\d|{SPACE}\[|{SPACE}?[A-Za-z]+|{SPACE}\d|{SPACE}|.|\n")


def corpus():
    out = []
    for i in range(4000):
        scene = S.Scene(i % 2, S.TRAIN, 5000000 + i)
        rng = S.Rng(i)
        for task in S.TASKS:
            q = S.question(scene, task, rng.rnd)
            if q:
                out += ["\n" + q[0] + " ASSISTANT:", q[1]]
    for i in range(500):
        scenes = [S.Scene(S.HAYSTACK, S.TRAIN, 6000000 + 3 * i + j) for j in range(3)]
        q = S.haystack_question(scenes, S.Rng(i).rnd)
        if q:
            out.append("\n" + q[0] + " ASSISTANT:")
    out += ["USER: "] * 200
    for k in range(49):
        out += [f"[{S.two_decimals(k)}, {S.two_decimals(k)}]"] * 60
    for digit in range(10):
        out += [f" {digit}"] * 60
    return [SPACE + text.replace(" ", SPACE) for text in out]


def special(i, content):
    return {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True}


def build(path):
    words = (" ".join(p for p in PIECE.findall(text) if p != "\n") for text in corpus())
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    learner.train_from_iterator(words, trainers.BpeTrainer(
        vocab_size=1200, min_frequency=2, special_tokens=[], show_progress=False))
    learned = json.loads(learner.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    pieces += [p for p, _ in sorted(learned["vocab"].items(), key=lambda item: item[1])]
    n = len(pieces)
    start = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    whole = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>"),
                         special(n, "<image>"), special(n + 1, "<pad>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": SPACE},
            {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]},
        "pre_tokenizer": None,
        "post_processor": {"type": "TemplateProcessing",
                           "single": [start, {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [start, {"Sequence": {"id": "A", "type_id": 0}},
                                    {"SpecialToken": {"id": "<s>", "type_id": 1}},
                                    {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": {p: i for i, p in enumerate(pieces)}, "merges": learned["merges"]}}
    with open(path, "w") as f:
        json.dump(whole, f, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    build(sys.argv[1])
