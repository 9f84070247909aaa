#!/usr/bin/env python3
"""Hugging Face LLaVA and Qwen2-VL, pruned by any policy of tokenprune.

    python pruned.py MODEL PICTURE "What is this?" --policy fastv

The model is left as it is: its layers, its cache and PyTorch's fused attention.
Pruning is in three places, marked with (1), (2) and (3): what attention is asked to
remember, the cuts between layers, and the positions of new tokens.
"""

import argparse

import tokenprune as tkp
import torch
import torch.nn.functional as F
from transformers import AttentionInterface, DynamicCache

CAN_GIVE = {"attention", "keys", "values", "hidden", "cls_attention",
            "norm_weight", "embeddings"}


# --- (1) attention ------------------------------------------------------------------

class Watch:
    """Queries, keys, values and log-sum-exps of one layer, taken as it runs."""

    def __init__(self):
        self.layer = -1
        self.q = self.k = self.v = self.lse = None

    def __call__(self, module, q, k, v, mask, scaling=None, dropout=0.0, **_):
        groups = q.shape[1] // k.shape[1]
        seen = self.layer == module.layer_idx
        causal = mask is None and q.shape[2] > 1
        if seen:
            self.q, self.k, self.v, self.lse = q, k, v, None
        k, v = (x.repeat_interleave(groups, 1) for x in (k, v))
        if seen and q.device.type == "cpu" and mask is None:
            # The same fused kernel; it has the log-sum-exps at hand.
            out, self.lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                q, k, v, dropout, causal, scale=scaling)
        else:
            out = F.scaled_dot_product_attention(
                q, k, v, mask, dropout, causal, scale=scaling)
        return out.transpose(1, 2).contiguous(), None


def attend(module, *args, **words):
    return module.tokenprune_watch(module, *args, **words)


AttentionInterface.register("tokenprune", attend)


# --- prompts -------------------------------------------------------------------------

class Prompt:
    """One prompt as it enters the decoder."""

    def __init__(self, embeds, positions, images, cls_attention=None):
        self.embeds = embeds  # [L, D]
        self.positions = positions  # [1 or 3, L]
        self.images = images  # (start, frames, rows, cols) each
        self.cls_attention = cls_attention  # [heads, N]


def cls_rows(model, pixels, info):
    """What the CLS token of CLIP looks at, in the block that the policy names."""
    tower = model.model.vision_tower
    blocks = getattr(tower, "vision_model", tower).encoder.layers
    feature = model.config.vision_feature_layer
    number = info.cls_layer or (feature if feature > 0 else len(blocks) + 1 + feature)
    attention = blocks[number - 1 if number > 0 else number].self_attn
    seen = {}

    def listen(_, args, words):
        seen["x"] = words["hidden_states"] if "hidden_states" in words else args[0]

    hook = attention.register_forward_pre_hook(listen, with_kwargs=True)
    try:
        features = model.model.get_image_features(pixel_values=pixels).pooler_output
    finally:
        hook.remove()
    x = seen["x"]
    heads = lambda y: y.view(*y.shape[:2], -1, attention.head_dim).transpose(1, 2)
    q, k = heads(attention.q_proj(x[:, :1])), heads(attention.k_proj(x))
    logits = (q @ k.transpose(2, 3))[:, :, 0] * attention.scale
    rows = logits if info.cls_logits else logits.float().softmax(-1)
    return features, torch.cat(list(rows[:, :, 1:]), 1).float().contiguous()


def read_llava(model, inputs, info):
    ids = inputs["input_ids"][0]
    pixels = inputs["pixel_values"].to(model.dtype)
    cls = None
    if "cls_attention" in info.needs:
        features, cls = cls_rows(model, pixels, info)
    else:
        features = model.model.get_image_features(pixel_values=pixels).pooler_output
    at = (ids == model.config.image_token_id).nonzero()[:, 0]
    embeds = model.get_input_embeddings()(ids).clone()
    embeds[at] = torch.cat(list(features)).to(embeds.dtype)
    side = round(len(features[0]) ** 0.5)
    images = [(int(start), 1, side, side) for start in at[::side * side]]
    return Prompt(embeds, torch.arange(len(ids))[None], images, cls)


def read_qwen(model, inputs, info):
    if "cls_attention" in info.needs:
        raise NotImplementedError("the encoder of Qwen2-VL has no CLS token")
    ids = inputs["input_ids"][0]
    grids = inputs["image_grid_thw"]
    pixels = inputs["pixel_values"].to(model.dtype)
    features = model.model.get_image_features(
        pixel_values=pixels, image_grid_thw=grids).pooler_output
    visual = ids == model.config.image_token_id
    embeds = model.get_input_embeddings()(ids).clone()
    embeds[visual] = torch.cat(list(features)).to(embeds.dtype)
    positions, _ = model.model.get_rope_index(
        ids[None], mm_token_type_ids=visual.int()[None], image_grid_thw=grids)
    merge = model.config.vision_config.spatial_merge_size
    rows = visual.nonzero()[:, 0].tolist()
    images = []
    for frames, height, width in grids.tolist():
        grid = (frames, height // merge, width // merge)
        images.append((rows[0], *grid))
        rows = rows[grid[0] * grid[1] * grid[2]:]
    return Prompt(embeds, positions[:, 0].cpu(), images)


READERS = {"llava": read_llava, "qwen2_vl": read_qwen}


# --- the engine -----------------------------------------------------------------------

class Pruned:
    """A model and a policy; `generate()` answers one prompt at a time."""

    def __init__(self, model, policy):
        kind = model.config.model_type
        if kind not in READERS:
            raise NotImplementedError(f"{kind}: wanted one of {', '.join(READERS)}")
        self.model, self.policy, self.info = model.eval(), policy, policy.info
        for point in policy.points:
            if point.kind not in ("projector", "llm", "kv"):
                raise NotImplementedError(f"{policy.name}: cuts inside the encoder")
            if point.kind == "llm" and point.score_layer == point.boundary:
                raise NotImplementedError(f"{policy.name}: reads the coming layer")
        missing = self.info.needs - CAN_GIVE
        if missing or "key_bias" in self.info.flags:
            raise NotImplementedError(
                f"{policy.name}: needs {', '.join(missing) or 'a bias of keys'}")
        self.read = READERS[kind]
        self.decoder = model.model.language_model
        self.watch = Watch()
        for layer in self.decoder.layers:
            layer.self_attn.tokenprune_watch = self.watch
        self.decoder.config._attn_implementation = "tokenprune"
        text = self.decoder.config
        self.shape = tkp.ModelShape(
            dtype=model.dtype, layers=text.num_hidden_layers,
            heads=text.num_attention_heads, kv_heads=text.num_key_value_heads,
            head_dim=self.decoder.layers[0].self_attn.head_dim,
            hidden=text.hidden_size, intermediate=text.intermediate_size,
            norm_eps=text.rms_norm_eps)
        on = model.device
        stream = torch.cuda.current_stream(on).cuda_stream if on.type == "cuda" else 0
        self.context = tkp.Context(device=str(on))
        self.exec = tkp.Exec(self.context, stream=stream)
        self.sequence = tkp.Sequence(self.exec)

    def close(self):
        """Give the model back its own attention."""
        self.decoder.config._attn_implementation = "sdpa"
        self.sequence.close()

    def begin(self, prompt):
        layout = tkp.Layout()
        last = prompt.images[-1]
        text = (last[0] + last[1] * last[2] * last[3], len(prompt.embeds))
        layout.add_sequence(len(prompt.embeds), text=text)
        for start, frames, rows, cols in prompt.images:
            layout.add_image(start, rows, cols, frames=frames)
        layout.set_positions(prompt.positions.int().contiguous())
        self.sequence.begin(self.policy, layout, self.shape)

    # --- (2) cuts ---

    def inputs(self, point, x, prompt):
        """What the point wants, of what there is."""
        watch, out = self.watch, {}
        if "attention" in point.needs:
            rows = torch.from_dlpack(self.sequence.query_rows()).long().to(x.device)
            out["q"] = watch.q[0].transpose(0, 1)[rows].contiguous()  # a few rows
            if watch.lse is not None:
                out["lse"] = watch.lse[0].t()[rows].float().contiguous()
        if point.needs & {"attention", "keys"}:
            out["k"] = watch.k[0].transpose(0, 1)  # [L, G, C], a view of the cache
        if "keys" in point.needs:  # compared as rows: the heads side by side
            out["k"] = out["k"].contiguous()
        if "values" in point.needs:
            out["values"] = watch.v[0].transpose(0, 1).contiguous()
        if "hidden" in point.needs:
            out["hidden"] = x[0]
        if "cls_attention" in point.needs:
            out["cls_attention"] = prompt.cls_attention
        if "norm_weight" in point.needs:
            out["norm_weight"] = self.decoder.norm.weight.detach()
        if "embeddings" in point.needs:
            out["embeddings"] = prompt.embeds
        return out

    def cut(self, point, x, prompt):
        """The rows that stay, and their rotary angles."""
        decision = self.sequence.prune(**self.inputs(point, x, prompt))
        kept = torch.from_dlpack(decision.indices).long().to(x.device)
        out = torch.empty(
            decision.rows_out, x.shape[2], dtype=x.dtype, device=x.device)
        decision.gather(x[0], out)
        positions = torch.from_dlpack(decision.positions).long()
        return out[None], kept, self.angles(out[None], positions)

    def evict(self, point, cache, kept):
        """After prefill: rows that are gone leave the caches of earlier layers."""
        for layer in range(point.kv_begin, point.kv_end):
            stay = torch.isin(self.rows[layer], kept)
            of = cache.layers[layer]
            of.keys, of.values = of.keys[:, :, stay], of.values[:, :, stay]
            self.rows[layer] = self.rows[layer][stay]

    def angles(self, x, positions):
        """cos and sin of positions [1 or 3, L]."""
        positions = positions.to(x.device)
        ids = positions if len(positions) == 1 else positions[:, None]
        return self.decoder.rotary_emb(x, ids)

    def prefill(self, prompt, cache):
        x = prompt.embeds[None]
        alive = torch.arange(x.shape[1], device=x.device)
        angles = self.angles(x, prompt.positions)
        self.rows = []  # of each layer: the prompt's rows in its cache
        self.begin(prompt)
        point = self.sequence.next()
        layers = self.decoder.layers
        for number in range(len(layers) + 2):
            while point is not None and self.due(point) <= number:
                x_next, kept, turned = self.cut(point, x, prompt)
                if point.kind == "kv":
                    self.evict(point, cache, alive[kept])
                else:
                    x, angles, alive = x_next, turned, alive[kept]
                point = self.sequence.next()
            if number < len(layers):
                self.watch.layer = point.score_layer if point is not None else -1
                x = self.run(number, x, angles, cache)
                self.rows.append(alive)
        return x

    def due(self, point):
        """Before which layer; behind the last: len(layers), then kv."""
        behind = len(self.decoder.layers) + 1
        return {"projector": 0, "llm": point.boundary, "kv": behind}[point.kind]

    def run(self, number, x, angles, cache):
        return self.decoder.layers[number](
            x, attention_mask=None, position_embeddings=angles,
            past_key_values=cache, use_cache=True)

    # --- (3) new tokens ---

    def step(self, token, number, cache):
        """One token through all layers; each may count positions its own way."""
        x = self.model.get_input_embeddings()(token[None, None])
        before = angles = None
        for layer in range(len(self.decoder.layers)):
            position = self.sequence.next_position(0, layer) + number
            if position != before:
                three = 3 if self.model.config.model_type == "qwen2_vl" else 1
                angles = self.angles(x, torch.full((three, 1), position))
                before = position
            x = self.run(layer, x, angles, cache)
        return x

    @torch.no_grad()
    def generate(self, inputs, max_new_tokens=32):
        """Greedy ids, and the report of what they cost."""
        prompt = self.read(self.model, inputs, self.info)
        cache = DynamicCache()
        x = self.prefill(prompt, cache)
        self.watch.layer = -1
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        out = []
        while True:
            logits = self.model.lm_head(self.decoder.norm(x[:, -1]))
            out.append(int(logits.argmax()))
            if out[-1] in ends or len(out) == max_new_tokens:
                return out, self.sequence.report()
            x = self.step(torch.tensor(out[-1], device=x.device), len(out) - 1, cache)


def main():
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("picture")
    parser.add_argument("question")
    parser.add_argument("--policy", default="fastv", help="a preset or a YAML file")
    parser.add_argument("--max-new-tokens", type=int, default=32)
    args = parser.parse_args()

    processor = AutoProcessor.from_pretrained(args.model)
    model = AutoModelForImageTextToText.from_pretrained(
        args.model, dtype="auto", attn_implementation="sdpa")
    if torch.cuda.is_available():
        model.to("cuda")
    text = processor.apply_chat_template(
        [{"role": "user", "content": [
            {"type": "image"}, {"type": "text", "text": args.question}]}],
        add_generation_prompt=True)
    inputs = processor(
        images=[Image.open(args.picture).convert("RGB")], text=[text],
        return_tensors="pt").to(model.device)
    policy = (tkp.Policy.load(args.policy) if args.policy.endswith((".yaml", ".yml"))
              else tkp.Policy.preset(args.policy))
    ids, report = Pruned(model, policy).generate(inputs, args.max_new_tokens)
    print(processor.tokenizer.decode(ids, skip_special_tokens=True))
    print(f"{report.visual_after} of {report.visual_before} visual tokens; "
          f"{report.macs / report.macs_unpruned:.0%} of the multiply-accumulates")


if __name__ == "__main__":
    main()
