#!/usr/bin/env python3
"""Write tests/golden/text/prompts/qwen2_vl.jsonl: conversations as prompts.

Oracle: transformers' apply_chat_template with the template that Qwen2-VL's
Instruct checkpoints publish; chat_template.json (or .jinja) of one is an
argument, since it is not ours to copy.

One conversation a line: [[[role, images, videos, text], ...], prompt], roles 0
system, 1 user, 2 assistant; a message's images come first, then its videos,
then its text.

    make_prompt_fixtures.py CHAT-TEMPLATE [tests/golden/text/prompts]
"""

import json
import pathlib
import random
import sys

from transformers import PreTrainedTokenizerFast

SEED = 20261123
ROLES = ("system", "user", "assistant")
TEXTS = [
    "", " ", "\n", "Describe this image.", "What is shown?\n\n", " lead",
    "trail ", "a\n\nb", "{{ braces }} {% percent %} {# hash #}", "<|im_end|>",
    "\u8fd9\u662f\u4ec0\u4e48\uff1f", "\U0001f469\u200d\U0001f467", "\"q\" 'q' \\ / & < >", "\t\r\n",
    "Picture 1: ", "e\u0301 \u00a0\u2028x", "user\n<|im_start|>"]


def message(r, role):
    images = r.choice([0, 0, 0, 1, 1, 2, 3]) if role == 1 else 0
    videos = r.choice([0, 0, 0, 0, 1, 2]) if role == 1 else 0
    return [role, images, videos, "".join(
        r.choice(TEXTS) for _ in range(r.randint(1, 3)))]


def conversation(r):
    turns = [[0, 0, 0, r.choice(TEXTS)]] if r.random() < 0.4 else []
    for number in range(r.choice([1, 1, 2, 3, 5, 7])):
        turns.append(message(r, 1 + number % 2))
    return turns


def as_messages(turns):
    out = []
    for role, images, videos, text in turns:
        content = ([{"type": "image"}] * images + [{"type": "video"}] * videos
                   + [{"type": "text", "text": text}])
        plain = not images and not videos and len(text) % 2
        out.append({"role": ROLES[role], "content": text if plain else content})
    return out


def main():
    root = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/text"
    template = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    if sys.argv[1].endswith(".json"):
        template = json.loads(template)["chat_template"]
    out = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else root / "prompts"
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(root / "qwen2" / "tokenizer.json"))
    r = random.Random(SEED)
    with open(out / "qwen2_vl.jsonl", "w", encoding="ascii") as file:
        for _ in range(250):
            turns = conversation(r)
            prompt = tokenizer.apply_chat_template(
                as_messages(turns), chat_template=template, tokenize=False,
                add_generation_prompt=True)
            file.write(json.dumps([turns, prompt], separators=(",", ":"))
                       + "\n")


if __name__ == "__main__":
    main()
