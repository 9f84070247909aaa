#!/usr/bin/env python3
"""Makes small tokenizers and what they answer: tests/golden/text/.

Oracle: the Hugging Face `tokenizers` library itself (written with 0.23.3).
Each tokenizer is trained on a corpus made here, written as the tokenizer.json
of a published model is laid out, and asked for the ids of some 1550 strings and
the text of 250 id sequences.

    make_tokenizer_fixtures.py [--train] [OUTPUT-FOLDER]

A tokenizer.json that is there is kept, and the same answers come out again;
--train makes new ones (the trainer breaks ties by chance, so not the same).

Per tokenizer:
  NAME/tokenizer.json
  NAME/encode.jsonl  [text, ids, ids where special tokens are read as text
                      (null: the same), decoded (null: the text; false: not
                      asked, since versions of the library differ)]
  NAME/decode.jsonl  [ids, text, text with special tokens kept]

qwen2_planes is not trained: its merges are of a space with any byte and of any
byte with a newline, so that ids tell where text was split, character by
character. For it there is also
  NAME/planes.txt    every character assigned, and some others, 256 a line: number of the first,
                     FNV-1a (64 bits) of the ids (i32) and of the decoded text
                     of the line's characters put into a text as in plane_text
"""

import argparse
import json
import pathlib
import random
import struct
import unicodedata

import tokenizers
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

SEED = 20240607
MARK = "\u2581"

# Qwen2's pattern, as the format of its tokenizer.json has it.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Ranges of characters to draw from: (weight, ranges).
SCRIPTS = [
    (8, [(0x20, 0x7E)]),
    (3, [(0xA0, 0x17F)]),
    (2, [(0x370, 0x3FF)]),
    (3, [(0x400, 0x4FF)]),
    (2, [(0x5D0, 0x5EA)]),
    (3, [(0x620, 0x65F), (0x6F0, 0x6F9)]),
    (2, [(0x900, 0x97F)]),
    (2, [(0xE01, 0xE5B)]),
    (1, [(0x10D0, 0x10FF), (0x1200, 0x124F)]),
    (1, [(0x1100, 0x11FF)]),
    (3, [(0x3040, 0x30FF)]),
    (5, [(0x4E00, 0x4FFF), (0x9000, 0x90FF)]),
    (3, [(0xAC00, 0xADFF)]),
    (1, [(0x2000, 0x206F), (0x2070, 0x218F)]),
    (1, [(0x2460, 0x24FF), (0x2580, 0x2600)]),
    (2, [(0x1F300, 0x1F6FF), (0x1F1E6, 0x1F1FF)]),
    (1, [(0x300, 0x36F), (0xFE00, 0xFE0F), (0x20D0, 0x20F0)]),
    (1, [(0x1D400, 0x1D7FF), (0x20000, 0x200FF), (0xE0100, 0xE0120)]),
    (1, [(0xE000, 0xE0FF), (0xFB00, 0xFB4F), (0xFF00, 0xFFEF)]),
    (1, [(0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2C60, 0x2C7F)]),
]
SPACES = [" ", " ", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", "\v",
          "\f", "\x1c", "\x85", "\xa0", "\u1680", "\u180e", "\u2003",
          "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\u200b",
          "\ufeff", " \u180e ", "\u180e\n", " \n", "\n ", "\t\t "]
CONTROLS = ["\x00", "\x01", "\x07", "\x08", "\x1b", "\x7f", "\x80", "\x9f",
            "\xad", "\u200d", "\u200e", "\u202e", "\ufffd", "\uffff",
            "\ufffe", "\U0010ffff", "\U000e0001"]
PHRASES = [
    "What is shown in this image?", "Describe the image in detail.",
    "Don't, won't, I'M, we'LL, they'Ve, it'\u017f, 'tis, y'all'd've",
    "The year is 1984, not 2024; 3.14159 or 1,000,000?",
    "def f(x):\n    return x  # twice\n\n\n",
    "Qu'est-ce que c'est\u00a0? \u00c7a va\u2009!", "stra\u00dfe STRASSE \ufb01ne",
    "\u041a\u0442\u043e \u0442\u0430\u043c? \u042d\u0442\u043e \u044f.",
    "\u03a4\u03b9 \u03b5\u03af\u03bd\u03b1\u03b9 \u03b1\u03c5\u03c4\u03cc;",
    "\u05de\u05d4 \u05d6\u05d4? 123", "\u0645\u0627 \u0647\u0630\u0627\u061f \u0661\u0662\u0663",
    "\u092f\u0939 \u0915\u094d\u092f\u093e \u0939\u0948?",
    "\u0e19\u0e35\u0e48\u0e04\u0e37\u0e2d\u0e2d\u0e30\u0e44\u0e23",
    "\u8fd9\u662f\u4ec0\u4e48\uff1f\u4e00\u53ea\u732b\u3002",
    "\u3053\u308c\u306f\u4f55\u3067\u3059\u304b\u3002\u30ab\u30bf\u30ab\u30ca",
    "\uc774\uac83\uc740 \ubb34\uc5c7\uc785\ub2c8\uae4c?",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f \U0001f44d\U0001f3fd",
    "e\u0301 \u00e9 A\u030a \u212b \u1112\u1161\u11ab q\u0323\u0307 q\u0307\u0323 \u0344 \u0958",
    "\u2460\u00bd\u2162 x\u00b2 \U0001d7d8\U0001d54f",
    "<0x41> <0x0A> <0xZZ> \u2581 \u2581\u2581x \u2581", "a\u2581b \u2581c",
    "<html><s>ss</s>", "USER: <image>\nWhat? ASSISTANT:",
]
LLAVA_ADDED = ["<unk>", "<s>", "</s>", "<image>", "<pad>"]
QWEN2_SPECIAL = ["<|%s|>" % name for name in (
    "endoftext im_start im_end object_ref_start object_ref_end box_start "
    "box_end quad_start quad_end vision_start vision_end vision_pad image_pad "
    "video_pad").split()]
QWEN2_ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>",
               "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]


def characters(ranges):
    """Those assigned: tables of different Unicode versions agree on them."""
    return [chr(c) for low, high in ranges for c in range(low, high + 1)
            if unicodedata.category(chr(c)) != "Cn"]


class Source:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.scripts = [(w, characters(r)) for w, r in SCRIPTS]
        # Few words of each script, often repeated, so that merges are learnt.
        self.words = [
            (w, ["".join(self.random.choice(c) for _ in
                         range(self.random.randint(1, 6))) for _ in range(60)])
            for w, c in self.scripts]

    def pick(self, weighted):
        total = sum(w for w, _ in weighted)
        at = self.random.randrange(total)
        for weight, items in weighted:
            if at < weight:
                return items
            at -= weight
        raise AssertionError

    def word(self):
        words = self.pick(self.words)
        return words[min(int(self.random.expovariate(0.12)), len(words) - 1)]

    def noise(self, most):
        chars = self.pick(self.scripts)
        return "".join(self.random.choice(chars)
                       for _ in range(self.random.randint(1, most)))

    def text(self, pieces, added):
        r, out = self.random, []
        for _ in range(r.randint(1, pieces)):
            kind = r.random()
            if kind < 0.42:
                out.append(self.word())
            elif kind < 0.55:
                out.append(self.noise(5))
            elif kind < 0.75:
                out.append(r.choice(SPACES))
            elif kind < 0.80:
                out.append(r.choice(CONTROLS))
            elif kind < 0.85:
                phrase = r.choice(PHRASES)
                at = r.randrange(len(phrase))
                out.append(phrase[at:at + r.randint(1, 12)])
            elif kind < 0.89:
                out.append(str(r.randrange(10 ** r.randint(1, 7))))
            elif kind < 0.93 and added:
                out.append(r.choice(added))
            elif kind < 0.95 and added:
                token = r.choice(added)
                out.append(token[:r.randint(1, len(token))])
            else:
                out.append(r.choice(["'s", "'T", "'re", "'VE", "'m", "'lL",
                                     "'d", "'\u017f", "\u2019s", "..", "--",
                                     MARK, MARK * 2, "e\u0301", "\u1161"]))
            if r.random() < 0.3:
                out.append(" ")
        return "".join(out)


def corpus(source):
    # Without "<s>" and the like: merges would make those pieces anew.
    lines = [p for p in PHRASES if "<" not in p] * 3
    for _ in range(3000):
        lines.append(" ".join(source.word() for _ in
                              range(source.random.randint(1, 8))))
    for n in (2, 4, 8, 16):
        lines += [" " * n + "x = 1", "\n" * n, "=" * n, "ha" * n] * 8
    # jansson, as other readers in C, takes no NUL in a key.
    return [line.replace("\x00", "") for line in lines]


def train_pieces(source, vocab_size, byte_level):
    """(pieces in order, merges) of a BPE model."""
    tokenizer = Tokenizer(models.BPE())
    if byte_level:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        lines = corpus(source)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        # No pre-tokenizer: merges go across words and over runs of spaces.
        lines = [MARK + line.replace(" ", MARK) for line in corpus(source)]
        alphabet = [MARK]
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, limit_alphabet=700,
        max_token_length=16, show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    pieces = sorted(model["vocab"], key=model["vocab"].get)
    assert not any(p.startswith("<0x") or p in LLAVA_ADDED for p in pieces)
    return pieces, model["merges"]


def added(content, number, **flags):
    entry = {"id": number, "content": content, "single_word": False,
             "lstrip": False, "rstrip": False, "normalized": False,
             "special": True}
    entry.update(flags)
    return entry


def layout(vocab, merges, added_tokens, **parts):
    whole = {"version": "1.0", "truncation": None, "padding": None,
             "added_tokens": added_tokens, "normalizer": None,
             "pre_tokenizer": None, "post_processor": None, "decoder": None}
    model = {"type": "BPE", "dropout": None, "unk_token": None,
             "continuing_subword_prefix": None, "end_of_word_suffix": None,
             "fuse_unk": False, "byte_fallback": False,
             "ignore_merges": False, "vocab": vocab, "merges": merges}
    model.update(parts.pop("model", {}))
    whole.update(parts)
    whole["model"] = model
    return whole


LLAMA_DECODER = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": MARK}, "content": " "},
    {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}


def metaspace(scheme, split):
    return {"type": "Metaspace", "replacement": MARK,
            "prepend_scheme": scheme, "split": split}


def bos_template():
    return {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                   {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                 {"Sequence": {"id": "A", "type_id": 0}},
                 {"SpecialToken": {"id": "<s>", "type_id": 1}},
                 {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1],
                                   "tokens": ["<s>"]}}}


def llama_family(source):
    """LLaVA-1.5's layout, and three others that LLaMA files are met in."""
    pieces, merges = train_pieces(source, 2600, byte_level=False)
    first = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]
    vocab = {piece: i for i, piece in enumerate(first + pieces)}
    size = len(vocab)
    tokens = [added(t, i) for i, t in enumerate(LLAVA_ADDED[:3])] + [
        added(t, size + i) for i, t in enumerate(LLAVA_ADDED[3:])]
    model = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    common = {"model": model, "post_processor": bos_template()}
    prepend = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": MARK},
        {"type": "Replace", "pattern": {"String": " "}, "content": MARK}]}
    yield "llava15", layout(
        vocab, [" ".join(pair) for pair in merges], tokens,
        normalizer=prepend, decoder=LLAMA_DECODER, **common)
    yield "metaspace_first", layout(
        vocab, merges, tokens, pre_tokenizer=metaspace("first", False),
        decoder=LLAMA_DECODER, **common)
    yield "metaspace_always", layout(
        vocab, merges, tokens, pre_tokenizer=metaspace("always", True),
        decoder=metaspace("always", True), **common)
    # No bytes, unknown tokens not fused, tokens with every flag.
    vocab = {piece: i for i, piece in enumerate(first[:3] + pieces)}
    size = len(vocab)
    odd = ["<mask>", "<left>", "<right>", "word", "<norm al>", "<both>", "<bo"]
    flags = [{"lstrip": True}, {"lstrip": True, "special": False},
             {"rstrip": True}, {"single_word": True, "special": False},
             {"normalized": True, "special": False},
             {"lstrip": True, "rstrip": True}, {"special": False}]
    tokens = [added(t, i) for i, t in enumerate(LLAVA_ADDED[:3])] + [
        added(t, size + i, **f) for i, (t, f) in enumerate(zip(odd, flags))]
    yield "odd_tokens", layout(
        vocab, merges, tokens, normalizer=prepend,
        decoder=LLAMA_DECODER, post_processor=bos_template(),
        model={"unk_token": "<unk>"})


def byte_level_family(source):
    pieces, merges = train_pieces(source, 1500, byte_level=True)
    vocab = {piece: i for i, piece in enumerate(pieces)}
    size = len(vocab)
    tokens = [added(t, size + i) for i, t in enumerate(QWEN2_ADDED)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False,
                  "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": QWEN2_PATTERN},
             "behavior": "Isolated", "invert": False}
    yield "qwen2", layout(
        vocab, merges, tokens, normalizer={"type": "NFC"},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [split, byte_level]},
        post_processor=byte_level, decoder=byte_level)
    regex = dict(byte_level, add_prefix_space=True, use_regex=True)
    yield "byte_level", layout(
        vocab, merges, tokens, pre_tokenizer=regex, post_processor=regex,
        decoder=regex, model={"ignore_merges": True})


def planes():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    space, newline = "\u0120", "\u010a"
    merges = [[space, a] for a in alphabet]
    merges += [[a, newline] for a in alphabet if a != space]
    pieces = alphabet + [a + b for a, b in merges]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    tokens = [added(t, len(vocab) + i) for i, t in enumerate(QWEN2_SPECIAL)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False,
                  "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": QWEN2_PATTERN},
             "behavior": "Isolated", "invert": False}
    return layout(
        vocab, merges, tokens, normalizer={"type": "NFC"},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [split, byte_level]},
        post_processor=byte_level, decoder=byte_level)


def plane_text(first):
    """Each character before and after the kinds that a split depends on, and
    among combining marks of other classes."""
    text = []
    for code in range(first, first + 256):
        if not 0xD800 <= code < 0xE000:
            text.append("e{0}\u0301 {0}\n{0} a{0}b1{0}'s\u0345{0}"
                        "{0}\r\n".format(chr(code)))
    return "".join(text)


def fnv(data):
    value = 0xcbf29ce484222325
    for byte in bytes(data):
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return f"{value:016x}"


def ask_planes(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with open(folder / "planes.txt", "w", encoding="ascii") as file:
        for first in range(0, 0x110000, 256):
            # Planes without characters (so far): one line in 16.
            if first >> 16 not in (0, 1, 2, 3, 14) and first % 0x1000:
                continue
            ids = tokenizer.encode(plane_text(first)).ids
            text = tokenizer.decode(ids).encode()
            if ids:
                file.write(f"{first:06x} "
                           f"{fnv(struct.pack(f'<{len(ids)}i', *ids))} "
                           f"{fnv(text)}\n")


def encode_rows(tokenizer, texts, all_special, unasked):
    rows = []
    for text in texts:
        ids = tokenizer.encode(text).ids
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text).ids if all_special else ids
        tokenizer.encode_special_tokens = False
        decoded = tokenizer.decode(ids, skip_special_tokens=True)
        decoded = None if decoded == text else decoded
        rows.append([text, ids, None if plain == ids else plain,
                     False if unasked & set(ids) else decoded])
    return rows


def random_ids(tokenizer, source):
    r = source.random
    size = tokenizer.get_vocab_size()
    bytes_first = tokenizer.token_to_id("<0x00>")
    ids = []
    while len(ids) < 1 or r.random() < 0.9:
        kind = r.random()
        if bytes_first is not None and kind < 0.35:
            run = source.noise(2).encode()
            if r.random() < 0.3:
                run = bytes(r.randrange(256) for _ in run)
            if r.random() < 0.2:
                run = run[:-1]
            ids += [bytes_first + b for b in run]
        elif kind < 0.45:
            ids += tokenizer.encode(source.noise(3)).ids[:-1]
        elif kind < 0.5:
            ids.append(size + r.randrange(40) if r.random() < 0.3
                       else r.randrange(size - 8, size))
        else:
            ids.append(r.randrange(size))
    return ids


def decode_rows(tokenizer, source, count, unasked):
    rows = []
    for _ in range(count):
        ids = [i for i in random_ids(tokenizer, source) if i not in unasked]
        rows.append([ids, tokenizer.decode(ids, skip_special_tokens=True),
                     tokenizer.decode(ids, skip_special_tokens=False)])
    return rows


def write_lines(path, rows):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=True,
                                  separators=(",", ":")) + "\n")


def train(out):
    source = Source(SEED)
    for family in (llama_family, byte_level_family):
        for name, whole in family(source):
            (out / name).mkdir(parents=True, exist_ok=True)
            (out / name / "tokenizer.json").write_text(
                json.dumps(whole, ensure_ascii=False, separators=(",", ":")),
                encoding="utf-8")


def ask(folder, seed):
    """What the tokenizer in this folder answers."""
    source = Source(seed)
    path = folder / "tokenizer.json"
    added_tokens = json.loads(path.read_text(encoding="utf-8"))["added_tokens"]
    names = [token["content"] for token in added_tokens]
    # 0.20 decodes a normalized token as it is written, 0.23 as normalised.
    unasked = {t["id"] for t in added_tokens if t["normalized"]}
    tokenizer = Tokenizer.from_file(str(path))
    texts = ["", " ", "  ", "\n", MARK, "a", " a", "a ", "\x00", "words"]
    texts += PHRASES + [n + n for n in names] + [n + "s" for n in names]
    texts += [" " + n + " x" for n in names]
    texts += [source.text(5, names) for _ in range(1500)]
    texts += [source.text(60, names) for _ in range(6)]
    all_special = all(t["special"] for t in added_tokens)
    write_lines(folder / "encode.jsonl",
                encode_rows(tokenizer, texts, all_special, unasked))
    write_lines(folder / "decode.jsonl",
                decode_rows(tokenizer, source, 250, unasked))
    print(folder.name, "pieces", tokenizer.get_vocab_size(),
          "strings", len(texts))


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true")
    parser.add_argument("output", nargs="?", type=pathlib.Path,
                        default=root / "tests" / "golden" / "text")
    options = parser.parse_args()
    if options.train:
        train(options.output)
    probe = options.output / "qwen2_planes"
    probe.mkdir(parents=True, exist_ok=True)
    (probe / "tokenizer.json").write_text(
        json.dumps(planes(), ensure_ascii=False, separators=(",", ":")),
        encoding="utf-8")
    ask_planes(probe)
    folders = sorted(p.parent for p in options.output.glob("*/tokenizer.json"))
    for number, folder in enumerate(folders):
        ask(folder, SEED + 1 + number)
    print("tokenizers", tokenizers.__version__)


if __name__ == "__main__":
    main()
