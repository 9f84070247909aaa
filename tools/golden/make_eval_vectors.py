#!/usr/bin/env python3
"""Answers and what they are worth, by the rules of docs/eval.md.

The rules are stated here once more, in Python, which is what the published
scorers are written in: lower(), split() and regular expressions mean the same
here as there. Writes tests/golden/eval/vectors.json, which tests/eval holds the
command's metrics against. Needs nothing but Python.
"""
import json
import pathlib
import random
import re
import string

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "golden" / "eval" / "vectors.json"

SIGNS = ";/[]\"{}()=+\\_-><@`,?!"
NUMBERS = {word: str(i) for i, word in enumerate(
    "zero one two three four five six seven eight nine ten".split())}
NUMBERS["none"] = "0"


def contractions():
    """The shipped list: it is data, not a rule."""
    text = (ROOT / "src" / "eval" / "contractions.h").read_text()
    return dict(re.findall(r'\{"([^"]+)", "([^"]+)"\}', text))


CONTRACTIONS = contractions()


# --- yes and no ---------------------------------------------------------------

def pope(answer):
    words = answer.partition(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "no", "not"} & set(words) else "yes"


def mme(answer):
    start = answer.lower()[:4]
    return next((word for word in ("yes", "no") if word in start), "other")


def lmms(answer):
    plain = answer.strip().lower()
    return plain if plain in ("yes", "no") else "other"


def vlmeval(answer):
    words = set(signs(answer.lower(), between=True).split())
    if ("yes" in words) == ("no" in words):
        return "other"
    return "yes" if "yes" in words else "no"


# --- free answers ---------------------------------------------------------------

def signs(text, between):
    out = text
    everywhere = re.search(r"\d,\d", text) is not None
    for sign in SIGNS:
        gone = everywhere or sign + " " in text or " " + sign in text
        out = out.replace(sign, "" if gone else " ")
    period = r"(?<!\d)\.(?!\d)" if between else r"\.(?!\d)"
    return re.sub(period, "", out, count=32)


def words(text):
    kept = [NUMBERS.get(word, word) for word in text.lower().split()]
    kept = [word for word in kept if word not in ("a", "an", "the")]
    return " ".join(CONTRACTIONS.get(word, word) for word in kept)


def blanks(text):
    return text.replace("\n", " ").replace("\t", " ").strip()


def evalai(text):
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return words(signs(blanks(text.strip()), between=False))


def soft(spelling):
    def score(answer, right):
        said = spelling(answer)
        same = [spelling(other) == said for other in right]
        shares = [min(1, (sum(same) - mine) / 3) for mine in same]
        return sum(shares) / len(shares), said
    return score


def official(answer, right):
    alike = len({blanks(text) for text in right}) == 1
    plain = blanks if alike else lambda t: words(signs(blanks(t), between=False))
    return soft(plain)(answer, right)


def share(answer, right):
    spelling = vlmeval_text
    said = spelling(answer)
    return sum(spelling(t) == said for t in right) / len(right), said


def vlmeval_text(text):
    return words(signs(blanks(text), between=True))


# --- the same text ----------------------------------------------------------------

def gqa(answer, right):
    said = answer.lower().rstrip(".")
    return float(said in right), said


def gqa_vlmeval(answer, right):
    said = answer.strip().lower()
    return float(said in [t.strip().lower() for t in right]), said


def em(answer, right):
    def plain(text):
        return "".join(c for c in text.lower() if c not in string.punctuation)
    return float(plain(answer) in map(plain, right)), plain(answer)


# --- letters --------------------------------------------------------------------------

def sqa(answer, options):
    if re.fullmatch(r"[A-E]", answer) or re.match(r"[A-E]\. ", answer):
        letter = answer[0]
    else:
        found = re.findall(r"The answer is ([A-Z]).", answer)
        letter = found[0] if len(found) == 1 else ""
    return letter if letter and ord(letter) - ord("A") < len(options) else ""


def mcq(answer, options):
    letters = string.ascii_uppercase[:len(options)]
    refusals = ("Sorry, I can't help with images of people yet.",
                "I can't process this file.",
                "I'm sorry, but without the image provided",
                "Cannot determine the answer")
    if "Failed to obtain answer via API" not in answer:
        if any(refusal in answer for refusal in refusals):
            return "Z"
        tokens = re.sub(r"[.()\[\],:;!*#{}]", " ", answer).split()
        found = [letter for letter in letters if letter in tokens]
        if len(found) == 1 and tokens.index(found[0]) > len(tokens) - 5:
            return found[0]
        if not found and "Z" in tokens:
            return "Z"
        verbose = re.search(r"answer\s+is\s+\**([ABCD])", answer, re.IGNORECASE)
        if verbose and verbose[1].upper() in letters:
            return verbose[1].upper()
    plain = answer.lower()
    if len(plain) > 2 * sum(map(len, options)):
        return ""
    named = [letter for letter, text in zip(letters, options)
             if text.lower() in plain]
    return named[0] if len(named) == 1 else ""


# --- boxes ------------------------------------------------------------------------------

NUMBER = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
WIDTH, HEIGHT = 640, 480


def bracket4(text):
    between = r"(?:\s*,\s*|\s+)"
    match = re.search(
        r"\[\s*" + between.join(f"({NUMBER})" for _ in range(4)) + r"\s*\]", text)
    return [float(x) for x in match.groups()] if match else None


def any4(text):
    found = re.findall(NUMBER, text)
    return [float(x) for x in found[:4]] if len(found) >= 4 else None


def seed(text):
    match = re.search(r"\[*\[(.*?),(.*?),(.*?),(.*?)\]", text)
    if not match:
        return [0.0] * 4
    try:
        return [float(x) for x in match.groups()]
    except ValueError:
        return [0.0] * 4


def iou(a, b):
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    area = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - both
    return both / area if area > 0 else 0.0


def to_pixels(box, scale, padded):
    most = max(map(abs, box))
    if scale == "seed":
        unit = 1e-3 if sum(box) >= 4 else 1.0
    else:
        unit = 1.0 if most <= 1.5 else 1e-3 if most <= 1000 else None
    out = []
    for value, side in zip(box, (WIDTH, HEIGHT, WIDTH, HEIGHT)):
        if padded:
            square = max(WIDTH, HEIGHT)
            value = value if unit is None else value * unit * square
            value -= (square - side) / 2
        elif unit is not None:
            value *= unit * side
        out.append(value if scale == "seed" else min(max(value, 0), side))
    if scale != "seed":
        out = [min(out[0], out[2]), min(out[1], out[3]),
               max(out[0], out[2]), max(out[1], out[3])]
    return out


def box_score(answer, gold, rule):
    if rule == "seed":
        box = seed(answer)
    else:
        box = bracket4(answer) or any4(answer)
    if box is None:
        return 0.0
    if not all(abs(x) < 1e300 for x in box):
        return 0.0
    return iou(to_pixels(box, rule if rule == "seed" else "auto",
                         rule == "padded"), gold)


# --- vectors ----------------------------------------------------------------------------------

REPLIES = ["yes", "no", "Yes", "No", "NO", "not", "nothing", "yes.", "no,", ".",
           " ", ",", "\n", "maybe", "!", "?", "n,o", "*", "/", "é"]
PIECES = ["The two dogs", "it's", "dont", "3.5", "U.S.", "$1,000", "black/white",
          "none", "cat", "a", "the", "an", "ten", "Ä", "٣", ".", "..", ",", "?",
          "'s", ";", "/", "(", "-", "`", "!", "\n", "\t", "\u00a0", "\u3000", "%",
          "couldnt've", "somebody'd", "thats", " "]
TOKENS = ["A", "B", "C", "D", "A.", "(B)", "**C**", "answer is", "a", "b", "cat",
          "The correct answer is", "dog", "the dog is big", "two", "A red car",
          "and", ".", "Z", "E", "is", "Cannot determine the answer", "The answer is B.",
          "picture", "of", "it", "é", "B. dog"]
OPTIONS = ["cat", "dog", "A red car", "two", "the dog is big", "B", "é"]


def join(rng, pieces, most, gaps=("", " ")):
    gap = rng.choice(gaps)
    return gap.join(rng.choice(pieces) for _ in range(rng.randint(0, most)))


def number(rng):
    return rng.choice([str(round(rng.random(), 3)), str(rng.randint(0, 999)),
                       "-0.1", "1e-1", ".5", "5.", "0", "1.6", "1200"])


def boxes(rng):
    gap = rng.choice([", ", ",", " ", " ,\n"])
    count = rng.choice([3, 4, 4, 4, 4, 5])
    return (rng.choice(["", "the [x] ", "[1,2] ", "at "]) +
            rng.choice(["[", "", "[[", "("]) +
            gap.join(number(rng) for _ in range(count)) +
            rng.choice(["]", "", "]]", ")"]) + rng.choice(["", " ok 3", "."]))


def main():
    rng = random.Random(20261123)
    rows = []
    for name, rule in (("yesno_pope", pope), ("yesno_mme", mme),
                       ("yesno_lmms", lmms), ("yesno_vlmeval", vlmeval)):
        for _ in range(150):
            answer = join(rng, REPLIES, 5)
            gold = rng.choice(["yes", "No"])
            said = rule(answer)
            rows.append({"metric": name, "answer": answer, "right": [gold],
                         "value": float(said == gold.lower()), "parsed": said})
    for name, rule in (("gqa_llava", gqa), ("gqa_vlmeval", gqa_vlmeval),
                       ("em_lmms", em), ("vqa_soft_m4c", soft(evalai)),
                       ("vqa_vlmeval", soft(vlmeval_text)),
                       ("vqa_official", official), ("vizwiz_vlmeval", share)):
        for _ in range(200):
            answer = join(rng, PIECES, 4)
            right = [rng.choice([answer, answer.upper(), "a " + answer,
                                 join(rng, PIECES, 3)])
                     for _ in range(rng.choice([1, 3, 10, 10]))]
            value, said = rule(answer, right)
            rows.append({"metric": name, "answer": answer, "right": right,
                         "value": value, "parsed": said})
    for name, rule in (("sqa_llava", sqa), ("mcq_vlmeval", mcq)):
        for _ in range(300):
            answer = join(rng, TOKENS, 8, gaps=(" ",))
            options = rng.sample(OPTIONS, rng.choice([2, 3, 4]))
            said = rule(answer, options)
            rows.append({"metric": name, "answer": answer, "right": ["A"],
                         "options": options, "value": float(said == "A"),
                         "parsed": said})
    for rule in ("image", "padded", "seed"):
        for _ in range(200):
            answer = boxes(rng)
            x = sorted(rng.sample(range(WIDTH + 1), 2))
            y = sorted(rng.sample(range(HEIGHT + 1), 2))
            gold = [x[0], y[0], x[1], y[1]]
            measure = box_score(answer, gold, rule)
            rows.append({"metric": "box_iou", "rule": rule, "answer": answer,
                         "box": gold, "value": float(measure >= 0.5),
                         "measure": measure})
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    OUT.write_text("[\n" + lines + "\n]\n", encoding="utf-8")
    print(f"{len(rows)} vectors in {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
