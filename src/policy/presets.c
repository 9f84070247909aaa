/*
 * The built-in policies. Each text stands as a user would write it, with what
 * it leaves out at its default; docs/policies.md says where each comes from.
 */
#include "policy/policy.h"
#include "util/text.h"

/* One block of ToMe: of 576 tokens so many are left. */
#define TOME(block, left)                                                      \
    "  - at: vision-mlp:" block "\n"                                           \
    "    selector: {kind: bipartite, feature: vision-keys,\n"                  \
    "               class_token: true}\n"                                      \
    "    merger: {kind: bipartite, proportional: true}\n"                      \
    "    budget: {ratio: " left "/576, of: original, scope: image}\n"

/* What no word behind the picture looks at goes (MustDrop). */
#define MUSTDROP_FILTER(layer)                                                 \
    "  - at: llm:" layer "\n"                                                  \
    "    positions: repack\n"                                                  \
    "    scorer:\n"                                                            \
    "      kind: blend\n"                                                      \
    "      combine: max\n"                                                     \
    "      terms:\n"                                                           \
    "        - {weight: 1000, normalise: sum,\n"                               \
    "           scorer: {kind: attention, query: text, reduce: sum}}\n"        \
    "        - {weight: 1000,\n"                                               \
    "           scorer: {kind: attention, query: text, reduce: max}}\n"        \
    "    selector: threshold\n"

/* A cut of SparseVLM+. */
#define SPARSEVLM_PLUS(layer, left)                                            \
    "  - at: llm:" layer "\n"                                                  \
    "    scorer: {kind: attention, query: raters, reduce: mean,\n"             \
    "             heads: 14, level: true}\n"                                   \
    "    selector: topk\n"                                                     \
    "    budget: {ratio: " left "/576, of: original}\n"

#define PRESET(name_, summary_, source_, stages_)                              \
    {                                                                          \
        name_, summary_,                                                       \
            "tokenprune: 1\n"                                                  \
            "name: " name_ "\n"                                                \
            "summary: \"" summary_ "\"\n"                                      \
            "source: \"" source_ "\"\n"                                        \
            "stages:" stages_                                                  \
    }

/* The study that compared the methods below side by side. */
#define STUDY "Wen et al. 2025, arXiv 2502.11501"

// clang-format off
const tkp__preset tkp__presets[] = {
    PRESET("none", "Keep every token", "the model as it was trained",
        " []\n"),

    PRESET("random", "A uniform random subset",
        STUDY ", section 4",
        "\n"
        "  - at: llm:2\n"
        "    selector: {kind: random}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("random-stratified", "One random token of each window",
        STUDY ", section 4; stratified for less variance",
        "\n"
        "  - at: llm:2\n"
        "    selector: {kind: random, stratified: true}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("uniform", "An even lattice over each image",
        "a control: what any method has to beat",
        "\n"
        "  - at: llm:2\n"
        "    selector: {kind: uniform}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("stride", "Every fourth token, from the first",
        "a control: what any method has to beat",
        "\n"
        "  - at: llm:2\n"
        "    selector: {kind: stride}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("drop-all", "No visual token is left",
        "a control: what the text tokens know already",
        "\n"
        "  - at: llm:2\n"
        "    selector: {kind: uniform}\n"
        "    budget: {count: 0}\n"),

    PRESET("external", "The best of the scores that the caller gives",
        "for a scorer of your own",
        "\n"
        "  - at: llm:2\n"
        "    scorer: {kind: external}\n"
        "    selector: {kind: topk}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("pooling", "The token of largest L1 norm in each window, unchanged",
        STUDY ", algorithm 4 as printed",
        "\n"
        "  - at: llm:2\n"
        "    scorer: {kind: norm, norm: l1}\n"
        "    selector: {kind: window}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("pooling-avg", "The mean of each window, at its largest token",
        STUDY ", section 1 and algorithm 4 read as average pooling",
        "\n"
        "  - at: llm:2\n"
        "    scorer: {kind: norm, norm: l1}\n"
        "    selector: {kind: window}\n"
        "    merger: {kind: window-average, adaptive_overlap: true}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("pooling-max", "The channel-wise maximum of each window",
        STUDY ", algorithm 4 read as maximum pooling",
        "\n"
        "  - at: llm:2\n"
        "    scorer: {kind: norm, norm: l1}\n"
        "    selector: {kind: window}\n"
        "    merger: {kind: window-max, adaptive_overlap: true}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("dart", "What duplicates a few pivots least",
        "Wen et al. 2025, DART, arXiv 2502.11494",
        "\n"
        "  - at: llm:2\n"
        "    selector: {kind: pivots, feature: final-norm,\n"
        "               pivot_feature: keys}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("dart-embed", "The same on the rows that enter the model",
        "Wen et al. 2025, DART, arXiv 2502.11494, before the model",
        "\n"
        "  - at: projector\n"
        "    selector: {kind: pivots, feature: raw, pivot_feature: raw}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("fastervlm", "Most attention from the encoder's CLS token, by tile",
        "Zhang et al. 2024, FasterVLM, arXiv 2412.01818",
        "\n"
        "  - at: projector\n"
        "    scorer: {kind: cls-attention}\n"
        "    selector: {kind: topk}\n"
        "    budget: {ratio: 1/4, scope: tile}\n"),

    PRESET("fastv", "Most attention from the last token of the prompt",
        "Chen et al. 2024, arXiv 2403.06764",
        "\n"
        "  - at: llm:2\n"
        "    scorer: {kind: attention, query: last}\n"
        "    selector: {kind: topk}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("fastv-mean", "Most attention from all tokens that see it, meaned",
        "Chen et al. 2024, arXiv 2403.06764, as the text of the paper has it",
        "\n"
        "  - at: llm:2\n"
        "    scorer: {kind: attention, query: all, reduce: mean-visible}\n"
        "    selector: {kind: topk}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("fastv-reverse", "Least attention: what FastV would drop",
        STUDY ", algorithm 2",
        "\n"
        "  - at: llm:2\n"
        "    scorer: {kind: attention, query: last}\n"
        "    selector: {kind: topk, order: lowest}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("fastv-window", "Most attention within each window",
        STUDY ", algorithm 3",
        "\n"
        "  - at: llm:2\n"
        "    scorer: {kind: attention, query: last}\n"
        "    selector: {kind: window}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("fastv-window-128", "Two tokens of each 3 x 3 window",
        STUDY ", algorithm 3 at 128 of 24 x 24 tokens",
        "\n"
        "  - at: llm:2\n"
        "    scorer: {kind: attention, query: last}\n"
        "    selector: {kind: window, window: [3, 3], quota: 2}\n"),

    PRESET("fastv-window-rank", "Whole windows of most mean attention",
        STUDY ", algorithm 3 as printed",
        "\n"
        "  - at: llm:2\n"
        "    scorer: {kind: attention, query: last}\n"
        "    selector: {kind: window-rank, window: [2, 2]}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("fastv-vis", "Most attention from the last visual token",
        STUDY ", section 5.1",
        "\n"
        "  - at: llm:2\n"
        "    scorer: {kind: attention, query: last-visual}\n"
        "    selector: {kind: topk}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("divprune", "Tokens that differ most from each other",
        "Alvar et al. 2025, arXiv 2503.02175",
        "\n"
        "  - at: projector\n"
        "    selector: {kind: diverse, feature: raw, start: nearest}\n"
        "    budget: {ratio: 98/1000}\n"),

    PRESET("mmr", "Attention of CLS, less likeness to what is kept",
        "Carbonell and Goldstein 1998; for tokens: AngelSlim's IDPruner",
        "\n"
        "  - at: projector\n"
        "    scorer:\n"
        "      kind: blend\n"
        "      terms:\n"
        "        - {weight: 1, normalise: min-max, scorer: cls-attention}\n"
        "    selector: {kind: mmr, feature: raw, lambda: 0.5}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("scope", "Tokens that cover the picture, weighted by CLS",
        "SCOPE 2025, github.com/kinredon/SCOPE",
        "\n"
        "  - at: projector\n"
        "    scorer: cls-attention\n"
        "    selector: {kind: cover, feature: vision, weight: factor}\n"
        "    budget: {ratio: 1/9, scope: image}\n"),

    PRESET("visionzip", "Most attention of CLS; of the rest, every so many takes in what is like it",
        "Yang et al. 2024, VisionZip, arXiv 2412.04467",
        "\n"
        "  - at: projector\n"
        "    scorer: cls-attention\n"
        "    selector:\n"
        "      kind: chain\n"
        "      parts:\n"
        "        - {share: 27/32, selector: topk}\n"
        "        - {selector: stride}\n"
        "    merger: {kind: nearest, feature: vision-keys, rule: add, into: 1}\n"
        "    budget: {ratio: 1/9, scope: image}\n"),

    PRESET("vispruner", "Half by attention of CLS; of the rest, what differs most",
        "Zhang et al. 2024, VisPruner, arXiv 2412.01818",
        "\n"
        "  - at: projector\n"
        "    scorer: cls-attention\n"
        "    selector:\n"
        "      kind: chain\n"
        "      parts:\n"
        "        - {share: 1/2, selector: topk}\n"
        "        - {selector: {kind: parity, feature: vision}}\n"
        "    budget: {ratio: 1/9, scope: image}\n"),

    PRESET("vscan", "Half by windows of a shallow CLS row, half by the deep one, the rest merged",
        "Zhang et al. 2025, VScan, arXiv 2505.22654",
        "\n"
        "  - at: projector\n"
        "    scorer: cls-attention\n"
        "    selector:\n"
        "      kind: chain\n"
        "      parts:\n"
        "        - share: 1/2\n"
        "          selector:\n"
        "            kind: window\n"
        "            window: [6, 6]\n"
        "            even: true\n"
        "            scorer: {kind: cls-attention, shallow: true}\n"
        "        - {selector: topk}\n"
        "    merger: {kind: nearest, rule: mean}\n"
        "    budget: {ratio: 1/6, scope: image}\n"
        "  - at: llm:16\n"
        "    scorer: {kind: attention, query: last}\n"
        "    selector: topk\n"
        "    budget: {ratio: 1/3}\n"),

    PRESET("duet", "VisionZip from a small pool, then two cuts by what the question's words look at",
        "DUET-VLM 2026, github.com/AMD-AGI/DUET-VLM",
        "\n"
        "  - at: projector\n"
        "    scorer: cls-attention\n"
        "    selector:\n"
        "      kind: chain\n"
        "      parts:\n"
        "        - {share: 34/41, selector: topk}\n"
        "        - {pool_factor: 4, selector: stride}\n"
        "    merger: {kind: nearest, feature: vision-keys, rule: add, into: 1}\n"
        "    budget: {ratio: 205/576, scope: image}\n"
        "  - at: llm:16\n"
        "    scorer: {kind: attention, query: text, reduce: mean}\n"
        "    selector: topk\n"
        "    budget: {ratio: 1/2}\n"
        "  - at: llm:24\n"
        "    scorer: {kind: attention, query: text, reduce: mean}\n"
        "    selector: topk\n"
        "    budget: {ratio: 1/2}\n"),

    PRESET("mmtok", "Tokens that cover the picture and the question's words",
        "Dong et al. 2025, arXiv 2508.18264",
        "\n"
        "  - at: projector\n"
        "    selector:\n"
        "      kind: cover\n"
        "      feature: vision\n"
        "      kernel: softmax\n"
        "      temperature: 0.2\n"
        "      scale: 0.5\n"
        "      weight: none\n"
        "      text: true\n"
        "      text_temperature: 0.02\n"
        "    budget: {ratio: 1/9}\n"),

    PRESET("eadp", "Tokens that cover what the question points at",
        "EADP 2026, github.com/SJTU-DeepVisionLab/EADP",
        "\n"
        "  - at: projector\n"
        "    scorer:\n"
        "      kind: entropy-relevance\n"
        "      feature: clip\n"
        "      smooth: true\n"
        "      mix: 0.5\n"
        "      share: 0.2\n"
        "    selector: {kind: cover, kernel: half, weight: demand, groups: tile, least: 1}\n"
        "    budget: {ratio: 1/9}\n"),

    PRESET("cdpruner", "Relevant tokens that differ: a determinantal process",
        "Zhang et al. 2025, arXiv 2506.10967",
        "\n"
        "  - at: projector\n"
        "    scorer: {kind: relevance, feature: clip, prefer: unlike}\n"
        "    selector: {kind: dpp, feature: raw}\n"
        "    budget: {ratio: 1/9}\n"),

    PRESET("tops", "Importance, distance and coverage, in three steps",
        "TOPS 2026, arXiv 2606.27161, 64 tokens of LLaVA-1.5-7B",
        "\n"
        "  - at: projector\n"
        "    positions: repack\n"
        "    scorer: cls-attention\n"
        "    selector: {kind: tri, feature: raw, alpha: 0.5, lambda: 1.0}\n"
        "    budget: {ratio: 2/9}\n"
        "  - at: llm:12\n"
        "    positions: repack\n"
        "    scorer: {kind: attention, query: text, reduce: mean}\n"
        "    selector: {kind: tri, feature: raw, alpha: 0.5, lambda: 1.0}\n"
        "    budget: {ratio: 1/2}\n"
        "  - at: llm:24\n"
        "    positions: repack\n"
        "    scorer: {kind: attention, query: text, reduce: mean}\n"
        "    selector: {kind: tri, feature: raw, alpha: 0.5, lambda: 1.0}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("sparsevlm", "Most attention from the words that rate; the rest in clusters",
        "Zhang et al. 2024, SparseVLM, arXiv 2410.04417, 192 tokens on average",
        "\n"
        "  - at: llm:3\n"
        "    positions: repack\n"
        "    order: parts\n"
        "    scorer: {kind: attention, query: raters, reduce: mean}\n"
        "    selector: {kind: chain, parts: [\n"
        "      {selector: topk},\n"
        "      {more: 1/10, pool_share: 3/10, pool_order: scores,\n"
        "       selector: density}]}\n"
        "    merger: {kind: nearest, measure: euclidean, into: 1}\n"
        "    budget: {ratio: 300/576, of: original}\n"
        "  - at: llm:7\n"
        "    positions: repack\n"
        "    order: parts\n"
        "    scorer: {kind: attention, query: raters, reduce: mean}\n"
        "    selector: {kind: chain, parts: [\n"
        "      {selector: topk},\n"
        "      {more: 1/10, pool_share: 3/10, pool_order: scores,\n"
        "       selector: density}]}\n"
        "    merger: {kind: nearest, measure: euclidean, into: 1}\n"
        "    budget: {ratio: 200/576, of: original}\n"
        "  - at: llm:16\n"
        "    positions: repack\n"
        "    order: parts\n"
        "    scorer: {kind: attention, query: raters, reduce: mean}\n"
        "    selector: {kind: chain, parts: [\n"
        "      {selector: topk},\n"
        "      {more: 1/10, pool_share: 3/10, pool_order: scores,\n"
        "       selector: density}]}\n"
        "    merger: {kind: nearest, measure: euclidean, into: 1}\n"
        "    budget: {ratio: 110/576, of: original}\n"),

    PRESET("sparsevlm-plus", "By the words that rate, of the heads that look most, distance taken out",
        "SparseVLM+, github.com/Gumpest/SparseVLMs (2.0), 192 tokens on average",
        "\n"
        SPARSEVLM_PLUS("3", "300") SPARSEVLM_PLUS("7", "200")
        SPARSEVLM_PLUS("16", "118")),

    PRESET("sparsevlm-v1", "The same, by the rank of the raters' attention",
        "Zhang et al. 2024, SparseVLM, code of the first release, 192 tokens",
        "\n"
        "  - at: llm:3\n"
        "    positions: repack\n"
        "    order: parts\n"
        "    scorer: {kind: attention, query: raters, reduce: mean}\n"
        "    selector: {kind: chain, parts: [\n"
        "      {selector: topk},\n"
        "      {more: 1/10, pool_share: 3/10, pool_order: scores,\n"
        "       selector: density}]}\n"
        "    merger: {kind: nearest, measure: euclidean, into: 1}\n"
        "    budget: {rank: 27/2, rounding: floor, min_keep: 1}\n"
        "  - at: llm:7\n"
        "    positions: repack\n"
        "    order: parts\n"
        "    scorer: {kind: attention, query: raters, reduce: mean}\n"
        "    selector: {kind: chain, parts: [\n"
        "      {selector: topk},\n"
        "      {more: 1/10, pool_share: 3/10, pool_order: scores,\n"
        "       selector: density}]}\n"
        "    merger: {kind: nearest, measure: euclidean, into: 1}\n"
        "    budget: {rank: 27/2, rounding: floor, min_keep: 1}\n"
        "  - at: llm:16\n"
        "    positions: repack\n"
        "    order: parts\n"
        "    scorer: {kind: attention, query: raters, reduce: mean}\n"
        "    selector: {kind: chain, parts: [\n"
        "      {selector: topk},\n"
        "      {more: 1/10, pool_share: 3/10, pool_order: scores,\n"
        "       selector: density}]}\n"
        "    merger: {kind: nearest, measure: euclidean, into: 1}\n"
        "    budget: {rank: 27/2, rounding: floor, min_keep: 1}\n"
        "  - at: llm:20\n"
        "    positions: repack\n"
        "    order: parts\n"
        "    scorer: {kind: attention, query: raters, reduce: mean}\n"
        "    selector: {kind: chain, parts: [\n"
        "      {selector: topk},\n"
        "      {more: 1/10, pool_share: 3/10, pool_order: scores,\n"
        "       selector: density}]}\n"
        "    merger: {kind: nearest, measure: euclidean, into: 1}\n"
        "    budget: {rank: 27/2, rounding: floor, min_keep: 1}\n"),

    PRESET("litelvlm", "What each sentence is least like, then what the CLS row takes",
        "LiteLVLM, ICML 2026, arXiv 2605.13178",
        "\n"
        "  - at: projector\n"
        "    scorer:\n"
        "      kind: blend\n"
        "      combine: product\n"
        "      scope: image\n"
        "      terms:\n"
        "        - {weight: 1, normalise: softmax,\n"
        "           scorer: {kind: cls-attention, logits: true, unit: true,\n"
        "                    encoder_layer: last}}\n"
        "        - {weight: 1,\n"
        "           scorer: {kind: norm, norm: l2, feature: vision-values}}\n"
        "    selector: {kind: nominate, feature: clip}\n"
        "    budget: {ratio: 1/4}\n"),

    PRESET("tome", "In each block of the encoder like tokens are merged, down to a third",
        "Bolya et al. 2023, ToMe, arXiv 2210.09461, 384 over 23 blocks of CLIP",
        "\n"
        TOME("0", "559")
        TOME("1", "543")
        TOME("2", "526")
        TOME("3", "509")
        TOME("4", "493")
        TOME("5", "476")
        TOME("6", "459")
        TOME("7", "442")
        TOME("8", "426")
        TOME("9", "409")
        TOME("10", "392")
        TOME("11", "376")
        TOME("12", "359")
        TOME("13", "342")
        TOME("14", "326")
        TOME("15", "309")
        TOME("16", "292")
        TOME("17", "275")
        TOME("18", "259")
        TOME("19", "242")
        TOME("20", "225")
        TOME("21", "209")
        TOME("22", "192")),

    PRESET("mustdrop", "Windows of like patches merge, what no word looks at goes, and its cache",
        "Liu et al. 2024, MustDrop, arXiv 2411.10803, 192 tokens on average",
        "\n"
        "  - at: vision:1\n"
        "    positions: repack\n"
        "    selector: {kind: fold, window: [3, 3], threshold: 0.8}\n"
        "    merger: fold\n"
        "    budget: {all: true, scope: image}\n"
        "  - at: projector\n"
        "    effect: protect\n"
        "    scorer: {kind: cls-attention, encoder_layer: last}\n"
        "    selector: topk\n"
        "    budget: {ratio: 8/100, rounding: ceil}\n"
        MUSTDROP_FILTER("3") MUSTDROP_FILTER("7")
        MUSTDROP_FILTER("11") MUSTDROP_FILTER("15")
        "  - at: kv\n"
        "    layers: [2, 15]\n"),

    PRESET("pyramiddrop", "A half, a quarter, an eighth: the deeper, the fewer",
        "Xing et al. 2024, PyramidDrop, arXiv 2410.17247",
        "\n"
        "  - at: llm:8\n"
        "    score_layer: next\n"
        "    positions: repack\n"
        "    scorer: {kind: attention, query: last}\n"
        "    selector: {kind: topk}\n"
        "    budget: {ratio: 0.5, of: original, rounding: double-truncate}\n"
        "  - at: llm:16\n"
        "    score_layer: next\n"
        "    positions: repack\n"
        "    scorer: {kind: attention, query: last}\n"
        "    selector: {kind: topk}\n"
        "    budget: {ratio: 0.25, of: original, rounding: double-truncate}\n"
        "  - at: llm:24\n"
        "    score_layer: next\n"
        "    positions: repack\n"
        "    scorer: {kind: attention, query: last}\n"
        "    selector: {kind: topk}\n"
        "    budget: {ratio: 0.125, of: original, rounding: double-truncate}\n"),

    PRESET("apet", "What a few tokens cannot rebuild, and those few",
        "ApET, CVPR 2026, github.com/MaQianKun0/ApET, 64 tokens on average",
        "\n"
        "  - at: projector\n"
        "    scorer: {kind: reconstruction, basis: 10}\n"
        "    selector: {kind: chain, parts: [\n"
        "      {all_but: 10, selector: topk}, {selector: topk}]}\n"
        "    merger: {kind: nearest, replace: 1}\n"
        "    budget: {ratio: 1/6}\n"
        "  - at: llm:16\n"
        "    scorer: {kind: reconstruction, basis: 10}\n"
        "    selector: {kind: chain, parts: [\n"
        "      {all_but: 10, selector: topk}, {selector: topk}]}\n"
        "    merger: {kind: nearest, replace: 1}\n"
        "    budget: {ratio: 1/3}\n"),

    PRESET("apet-embed", "The same in one cut before the model",
        "ApET, CVPR 2026, for engines that cannot cut inside the decoder",
        "\n"
        "  - at: projector\n"
        "    scorer: {kind: reconstruction, basis: 10}\n"
        "    selector: {kind: chain, parts: [\n"
        "      {all_but: 10, selector: topk}, {selector: topk}]}\n"
        "    merger: {kind: nearest, replace: 1}\n"
        "    budget: {ratio: 1/9}\n"),
    PRESET("evs", "What differs from its place in the frame before",
        "EVS: vLLM, vllm/multimodal/evs.py",
        "\n"
        "  - at: projector\n"
        "    scorer: {kind: temporal, feature: raw}\n"
        "    selector: {kind: topk}\n"
        "    budget: {total_reduction: 7/10, scope: image,\n"
        "             rounding: double-truncate, at_least: frame}\n"),

    PRESET("fastvid", "Salient tokens, and anchors of segments of like frames",
        "FastVID, NeurIPS 2025, github.com/LunarShen/FastVID",
        "\n"
        "  - at: projector\n"
        "    scorer: cls-attention\n"
        "    selector: {kind: chain, parts: [\n"
        "      {all_but_share: 2/5, selector: topk}, {selector: {kind: anchors,\n"
        "       cut: 0.9, segments: 8, stride: 4, neighbours: 4}}]}\n"
        "    merger: {kind: anchors, cut: 0.9, segments: 8, beta: 0.6}\n"
        "    budget: {ratio: 1/10, rounding: floor, scope: frame}\n"),

    PRESET("holitom", "What only repeats once, the rest by attention; then again",
        "HoliTom, NeurIPS 2025, github.com/cokeshao/HoliTom",
        "\n"
        "  - at: projector\n"
        "    scorer: cls-attention\n"
        "    selector: {kind: static, threshold: 0.8, neighbours: 7}\n"
        "    merger: {kind: static, threshold: 0.8}\n"
        "    budget: {ratio: 1/10, scope: image}\n"
        "  - at: llm:18\n"
        "    scorer: {kind: attention, query: last}\n"
        "    selector: topk\n"
        "    merger: nearest\n"
        "    budget: {ratio: 1/2}\n"),

    PRESET("framefusion", "Like tokens of frame after frame merged, then attention",
        "FrameFusion, ICCV 2025, github.com/thu-nics/FrameFusion",
        "\n"
        "  - at: llm:1\n"
        "    scorer:\n"
        "      kind: blend\n"
        "      terms:\n"
        "        - {weight: 1, normalise: rank,\n"
        "           scorer: {kind: attention, query: last}}\n"
        "        - {weight: 2, scorer: {kind: temporal, threshold: 0.6}}\n"
        "    selector: topk\n"
        "    merger: {kind: chain, threshold: 0.6}\n"
        "    budget: {ratio: 3/10, label: equiv-in}\n"),
    PRESET("dycoke", "Of four frames one whole, of the others what differs",
        "DyCoke, CVPR 2025, github.com/KD-TAO/DyCoke, before the model",
        "\n"
        "  - at: projector\n"
        "    scorer: {kind: temporal, feature: raw, group: 4}\n"
        "    selector: topk\n"
        "    budget: {total_reduction: 7/10, scope: frame,\n"
        "             rounding: double-truncate, at_least: frame, every: 4}\n"),

    PRESET("globalcom2", "What the whole picture and its tiles look at, more of busy tiles",
        "Liu et al. 2025, GlobalCom2, arXiv 2501.05179",
        "\n"
        "  - at: projector\n"
        "    scorer:\n"
        "      kind: blend\n"
        "      scope: tile\n"
        "      terms:\n"
        "        - weight: 1\n"
        "          normalise: l2\n"
        "          scorer: {kind: cls-attention, logits: true, encoder_layer: last}\n"
        "        - weight: 1\n"
        "          normalise: l2\n"
        "          scorer: {kind: overview, map: bilinear, logits: true,\n"
        "                   encoder_layer: last}\n"
        "    selector:\n"
        "      kind: quota\n"
        "      groups: tile\n"
        "      weigh: {kind: overview, map: sum, logits: true, encoder_layer: last}\n"
        "      reduce: max\n"
        "      temperature: 10\n"
        "      rule: tilt\n"
        "    budget: {ratio: 1/4, rounding: floor, scope: image}\n"),

    PRESET("hired", "Half for the whole picture, the rest for its tiles as it looks at them",
        "Arif et al. 2024, HiRED, arXiv 2408.10945",
        "\n"
        "  - at: projector\n"
        "    scorer: cls-attention\n"
        "    selector:\n"
        "      kind: quota\n"
        "      groups: tile\n"
        "      weigh: {kind: overview, map: share, alpha: 0.5, shallow: true,\n"
        "              encoder_layer: 1}\n"
        "      reduce: max\n"
        "    budget: {ratio: 1/5, rounding: floor}\n"),

    PRESET("holov", "The best of sixteen crops, more of those that have more",
        "HoloV 2025, github.com/obananas/HoloV",
        "\n"
        "  - at: projector\n"
        "    scorer: cls-attention\n"
        "    selector:\n"
        "      kind: quota\n"
        "      groups: image\n"
        "      crops: 16\n"
        "      weigh: {kind: variance, feature: vision, scope: image, crops: 16}\n"
        "      rule: heaviest\n"
        "    budget: {ratio: 1/9, scope: image}\n"),

    PRESET("vidcom2", "What differs from the middle of video and frame",
        "VidCom2 2025, arXiv 2505.14454",
        "\n"
        "  - at: projector\n"
        "    scorer: {kind: gaussian, feature: raw, centre: both}\n"
        "    selector:\n"
        "      kind: quota\n"
        "      order: lowest\n"
        "      groups: frame\n"
        "      weigh: {kind: gaussian, feature: raw, centre: video}\n"
        "      rule: soft\n"
        "      lowest: true\n"
        "      temperature: 0.01\n"
        "      least: 1\n"
        "    budget: {ratio: 1/4, scope: image, rounding: double-truncate}\n"),

    PRESET("v-cast", "Outliers of each frame, more where the video turns",
        "V-CAST 2026, arXiv 2603.27650",
        "\n"
        "  - at: projector\n"
        "    scorer:\n"
        "      kind: blend\n"
        "      scope: frame\n"
        "      terms:\n"
        "        - weight: 1\n"
        "          complement: true\n"
        "          scorer: {kind: cosine, reference: mean-frame, feature: raw}\n"
        "        - weight: 1\n"
        "          normalise: min-max\n"
        "          scorer: {kind: norm, norm: l2, feature: raw}\n"
        "    selector:\n"
        "      kind: quota\n"
        "      groups: frame\n"
        "      weigh: {kind: curvature, feature: raw}\n"
        "      rule: spill\n"
        "      temperature: 0.7\n"
        "      least: 1\n"
        "    budget: {ratio: 1/4, scope: image, at_least: each-frame}\n"),

    PRESET("prunesid", "The best of each principal component, none alike",
        "PruneSID, ICLR 2026, arXiv 2603.09480",
        "\n"
        "  - at: projector\n"
        "    scorer: cls-attention\n"
        "    selector: {kind: nms-groups, feature: vision, class_token: true}\n"
        "    budget: {ratio: 1/9, scope: image}\n"),

    PRESET("prunesid-qwen", "The same without a class token",
        "PruneSID, ICLR 2026, arXiv 2603.09480, as its code has it for Qwen",
        "\n"
        "  - at: projector\n"
        "    selector: {kind: nms-groups, feature: raw, rank: strength,\n"
        "               limit: by-share}\n"
        "    budget: {ratio: 1/9, scope: image}\n"),

    PRESET("aim", "Like tokens merged to a quarter, then by attention until none is left",
        "Zhong et al. 2024, AIM, arXiv 2412.03248, LLaVA-OneVision-7B",
        "\n"
        "  - at: projector\n"
        "    selector: bipartite\n"
        "    merger: bipartite\n"
        "    budget: {ratio: 1/2, rounding: ceil, scope: frame}\n"
        "  - at: projector\n"
        "    selector: bipartite\n"
        "    merger: bipartite\n"
        "    budget: {ratio: 1/2, rounding: ceil, scope: frame}\n"
        "  - at: llm:15\n"
        "    scorer: {kind: attention, query: all, reduce: mean}\n"
        "    selector: topk\n"
        "    budget: {ratio: 7/32, of: original}\n"
        "  - at: llm:16\n"
        "    scorer: {kind: attention, query: all, reduce: mean}\n"
        "    selector: topk\n"
        "    budget: {ratio: 6/32, of: original}\n"
        "  - at: llm:17\n"
        "    scorer: {kind: attention, query: all, reduce: mean}\n"
        "    selector: topk\n"
        "    budget: {ratio: 5/32, of: original}\n"
        "  - at: llm:18\n"
        "    scorer: {kind: attention, query: all, reduce: mean}\n"
        "    selector: topk\n"
        "    budget: {ratio: 4/32, of: original}\n"
        "  - at: llm:19\n"
        "    scorer: {kind: attention, query: all, reduce: mean}\n"
        "    selector: topk\n"
        "    budget: {ratio: 3/32, of: original}\n"
        "  - at: llm:20\n"
        "    scorer: {kind: attention, query: all, reduce: mean}\n"
        "    selector: topk\n"
        "    budget: {ratio: 2/32, of: original}\n"
        "  - at: llm:21\n"
        "    scorer: {kind: attention, query: all, reduce: mean}\n"
        "    selector: topk\n"
        "    budget: {ratio: 1/32, of: original}\n"
        "  - at: llm:22\n"
        "    selector: uniform\n"
        "    budget: {count: 0}\n"),

    PRESET("ivc", "Tokens that coordinates refer to, and those that the question is about",
        "IVC-Prune, ICLR 2026, arXiv 2602.03060, LLaVA-1.5-7B",
        "\n"
        "  - at: llm:16\n"
        "    effect: protect\n"
        "    scorer: rotary\n"
        "    selector: topk\n"
        "    budget: {ratio: 1/10, rounding: floor}\n"
        "  - at: llm:16\n"
        "    effect: protect\n"
        "    scorer: {kind: rotary, sine: true}\n"
        "    selector: topk\n"
        "    budget: {ratio: 1/10, rounding: floor}\n"
        "  - at: llm:16\n"
        "    effect: protect\n"
        "    score_layer: next\n"
        "    scorer: value-attention\n"
        "    selector: topk\n"
        "    budget: {ratio: 1/100, rounding: floor, min_keep: 1}\n"
        "  - at: llm:16\n"
        "    score_layer: next\n"
        "    scorer: {kind: value-attention, seeds: 1/100}\n"
        "    selector: topk\n"
        "    budget: {ratio: 1/2}\n"
        "  - at: kv\n"
        "    selector: stride\n"
        "    budget: {ratio: 1}\n"),

    PRESET("pact", "Of what matters the centres of clusters, each weighing what it holds",
        "Dhouib et al. 2025, PACT, arXiv 2504.08966, LLaVA-OneVision-7B",
        "\n"
        "  - at: llm:4\n"
        "    score_layer: next\n"
        "    scorer:\n"
        "      kind: blend\n"
        "      combine: product\n"
        "      terms:\n"
        "        - {weight: 1, scorer: mean-query}\n"
        "        - {weight: 1, scorer: {kind: norm, norm: l2}}\n"
        "    selector: {kind: clusters, feature: keys, share: 55/100,\n"
        "               threshold: 0.21}\n"
        "    merger: {kind: nearest, feature: keys, within: 0.315,\n"
        "             proportional: true}\n"
        "    budget: all\n"),

    PRESET("prumerge", "What CLS looks at unusually much; the rest goes into it",
        "Shang et al. 2024, PruMerge, arXiv 2403.15388",
        "\n"
        "  - at: projector\n"
        "    scorer: cls-attention\n"
        "    selector: {kind: outliers, spare: true}\n"
        "    merger: {kind: knn, feature: vision-keys, neighbours: 32,\n"
        "             rule: sum, bag: 1}\n"
        "    budget: {all: true, scope: image}\n"),

    PRESET("prumerge-plus", "The same, and every so many-th token",
        "Shang et al. 2024, PruMerge, arXiv 2403.15388",
        "\n"
        "  - at: projector\n"
        "    scorer: cls-attention\n"
        "    selector: {kind: outliers, uniform: true, spare: true}\n"
        "    merger: {kind: knn, feature: vision-keys, neighbours: 32,\n"
        "             rule: sum, bag: 1}\n"
        "    budget: {all: true, scope: image}\n"),

    PRESET("alpha-blend",
        "Half attention, half unlikeness to the last token",
        STUDY ", equation 6",
        "\n"
        "  - at: llm:2\n"
        "    scorer:\n"
        "      kind: blend\n"
        "      terms:\n"
        "        - weight: 0.5\n"
        "          normalise: min-max\n"
        "          scorer: {kind: attention, query: last}\n"
        "        - weight: 0.5\n"
        "          normalise: min-max\n"
        "          complement: true\n"
        "          scorer: {kind: cosine, reference: last}\n"
        "    selector: {kind: topk}\n"
        "    budget: {ratio: 1/4}\n"),
};
// clang-format on

const int32_t tkp__preset_count =
    (int32_t)(sizeof(tkp__presets) / sizeof(tkp__presets[0]));

static const char *preset_name(const void *presets, int32_t i)
{
    return i < tkp__preset_count ? ((const tkp__preset *)presets)[i].name
                                 : NULL;
}

static tkp_status unknown_preset(const char *name)
{
    const int32_t near = tkp__nearest(name, preset_name, tkp__presets);
    char all[1024] = "";
    for (int32_t i = 0; i < tkp__preset_count; i++) {
        strncat(all, i ? ", " : "", sizeof(all) - strlen(all) - 1);
        strncat(all, tkp__presets[i].name, sizeof(all) - strlen(all) - 1);
    }
    return tkp__fail(
        TKP_ERR_POLICY, "no preset '%s', %s%s%s", tkp__show(name).text,
        near >= 0 ? "did you mean '" : "wanted one of ",
        near >= 0 ? tkp__presets[near].name : all, near >= 0 ? "'" : "");
}

tkp_status tkp__policy_preset(tkp_policy **out, const char *name)
{
    for (int32_t i = 0; i < tkp__preset_count; i++)
        if (!strcmp(tkp__presets[i].name, name))
            return tkp__policy_from_yaml(
                out, tkp__presets[i].yaml, strlen(tkp__presets[i].yaml), name);
    return unknown_preset(name);
}
