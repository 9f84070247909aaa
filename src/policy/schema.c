#include "policy/schema.h"

#define AT(struct_, field) offsetof(struct_, field)
#define KIND(name)         (1u << (name))

// clang-format off

/* --- words: enum values in lower case, '-' between their parts ------------ */

const tkp__word tkp__point_words[] = {
    {"projector", TKP_POINT_PROJECTOR},
    {"llm", TKP_POINT_LLM},
    {"vision", TKP_POINT_VISION},
    {"vision-mlp", TKP_POINT_VISION_MLP},
    {"kv", TKP_POINT_KV},
    {NULL, 0}};

static const tkp__word positions[] = {
    {"keep", TKP_POSITIONS_KEEP},
    {"repack", TKP_POSITIONS_REPACK},
    {NULL, 0}};

static const tkp__word effects[] = {
    {"cut", TKP_EFFECT_CUT},
    {"protect", TKP_EFFECT_PROTECT},
    {NULL, 0}};

static const tkp__word stage_orders[] = {
    {"rows", TKP_STAGE_ORDER_ROWS},
    {"parts", TKP_STAGE_ORDER_PARTS},
    {NULL, 0}};

static const tkp__word all_layers[] = {{"all", 0}, {NULL, 0}};

static const tkp__word scorer_kinds[] = {
    {"none", TKP_SCORER_NONE},
    {"attention", TKP_SCORER_ATTENTION},
    {"cls-attention", TKP_SCORER_CLS_ATTENTION},
    {"norm", TKP_SCORER_NORM},
    {"cosine", TKP_SCORER_COSINE},
    {"external", TKP_SCORER_EXTERNAL},
    {"blend", TKP_SCORER_BLEND},
    {"custom", TKP_SCORER_CUSTOM},
    {"relevance", TKP_SCORER_RELEVANCE},
    {"rotary", TKP_SCORER_ROTARY},
    {"value-attention", TKP_SCORER_VALUE_ATTENTION},
    {"mean-query", TKP_SCORER_MEAN_QUERY},
    {"variance", TKP_SCORER_VARIANCE},
    {"overview", TKP_SCORER_OVERVIEW},
    {"reconstruction", TKP_SCORER_RECONSTRUCTION},
    {"temporal", TKP_SCORER_TEMPORAL},
    {"gaussian", TKP_SCORER_GAUSSIAN},
    {"curvature", TKP_SCORER_CURVATURE},
    {"entropy-relevance", TKP_SCORER_ENTROPY_RELEVANCE},
    {NULL, 0}};

static const tkp__word preferences[] = {
    {"unlike", TKP_PREFER_UNLIKE},
    {"like", TKP_PREFER_LIKE},
    {NULL, 0}};

static const tkp__word queries[] = {
    {"last", TKP_QUERY_LAST},
    {"last-visual", TKP_QUERY_LAST_VISUAL},
    {"last-visual-per-image", TKP_QUERY_LAST_VISUAL_PER_IMAGE},
    {"text", TKP_QUERY_TEXT},
    {"all", TKP_QUERY_ALL},
    {"raters", TKP_QUERY_RATERS},
    {NULL, 0}};

static const tkp__word reductions[] = {
    {"last", TKP_ROW_REDUCE_LAST},
    {"mean", TKP_ROW_REDUCE_MEAN},
    {"mean-visible", TKP_ROW_REDUCE_MEAN_VISIBLE},
    {"sum", TKP_ROW_REDUCE_SUM},
    {"max", TKP_ROW_REDUCE_MAX},
    {NULL, 0}};

static const tkp__word norms[] = {
    {"l1", TKP_NORM_L1},
    {"l2", TKP_NORM_L2},
    {NULL, 0}};

static const tkp__word references[] = {
    {"last", TKP_REFERENCE_LAST},
    {"mean-visual", TKP_REFERENCE_MEAN_VISUAL},
    {"max-other", TKP_REFERENCE_MAX_OTHER},
    {"mean-other", TKP_REFERENCE_MEAN_OTHER},
    {"mean-image", TKP_REFERENCE_MEAN_IMAGE},
    {"mean-frame", TKP_REFERENCE_MEAN_FRAME},
    {NULL, 0}};

static const tkp__word compats[] = {
    {"none", TKP_COMPAT_NONE},
    {"official", TKP_COMPAT_OFFICIAL},
    {NULL, 0}};

static const tkp__word encoder_layers[] = {
    {"default", 0},
    {"last", -1},
    {NULL, 0}};

static const tkp__word quota_rules[] = {
    {"largest-remainder", TKP_QUOTA_LARGEST_REMAINDER},
    {"spill", TKP_QUOTA_SPILL},
    {"heaviest", TKP_QUOTA_HEAVIEST},
    {"tilt", TKP_QUOTA_TILT},
    {"soft", TKP_QUOTA_SOFT},
    {NULL, 0}};

static const tkp__word quota_reductions[] = {
    {"mean", TKP_ROW_REDUCE_MEAN},
    {"sum", TKP_ROW_REDUCE_SUM},
    {"max", TKP_ROW_REDUCE_MAX},
    {NULL, 0}};

static const tkp__word centres[] = {
    {"both", TKP_CENTRE_BOTH},
    {"video", TKP_CENTRE_VIDEO},
    {"frame", TKP_CENTRE_FRAME},
    {NULL, 0}};

static const tkp__word features[] = {
    {"raw", TKP_FEATURE_RAW},
    {"final-norm", TKP_FEATURE_FINAL_NORM},
    {"vision", TKP_FEATURE_VISION},
    {"vision-keys", TKP_FEATURE_VISION_KEYS},
    {"clip", TKP_FEATURE_CLIP},
    {"keys", TKP_FEATURE_KEYS},
    {"values", TKP_FEATURE_VALUES},
    {"vision-values", TKP_FEATURE_VISION_VALUES},
    {NULL, 0}};

static const tkp__word normalisations[] = {
    {"none", TKP_NORMALISE_NONE},
    {"min-max", TKP_NORMALISE_MIN_MAX},
    {"softmax", TKP_NORMALISE_SOFTMAX},
    {"rank", TKP_NORMALISE_RANK},
    {"sum", TKP_NORMALISE_SUM},
    {"l2", TKP_NORMALISE_L2},
    {NULL, 0}};

static const tkp__word overview_maps[] = {
    {"bilinear", TKP_OVERVIEW_BILINEAR},
    {"sum", TKP_OVERVIEW_SUM},
    {"share", TKP_OVERVIEW_SHARE},
    {NULL, 0}};

static const tkp__word combinations[] = {
    {"sum", TKP_BLEND_SUM},
    {"max", TKP_BLEND_MAX},
    {"product", TKP_BLEND_PRODUCT},
    {NULL, 0}};

static const tkp__word selector_kinds[] = {
    {"all", TKP_SELECTOR_ALL},
    {"topk", TKP_SELECTOR_TOPK},
    {"window", TKP_SELECTOR_WINDOW},
    {"window-rank", TKP_SELECTOR_WINDOW_RANK},
    {"random", TKP_SELECTOR_RANDOM},
    {"custom", TKP_SELECTOR_CUSTOM},
    {"chain", TKP_SELECTOR_CHAIN},
    {"stride", TKP_SELECTOR_STRIDE},
    {"uniform", TKP_SELECTOR_UNIFORM},
    {"diverse", TKP_SELECTOR_DIVERSE},
    {"mmr", TKP_SELECTOR_MMR},
    {"cover", TKP_SELECTOR_COVER},
    {"dpp", TKP_SELECTOR_DPP},
    {"tri", TKP_SELECTOR_TRI},
    {"parity", TKP_SELECTOR_PARITY},
    {"density", TKP_SELECTOR_DENSITY},
    {"anchors", TKP_SELECTOR_ANCHORS},
    {"static", TKP_SELECTOR_STATIC},
    {"clusters", TKP_SELECTOR_CLUSTERS},
    {"nms-groups", TKP_SELECTOR_NMS_GROUPS},
    {"quota", TKP_SELECTOR_QUOTA},
    {"bipartite", TKP_SELECTOR_BIPARTITE},
    {"outliers", TKP_SELECTOR_OUTLIERS},
    {"fold", TKP_SELECTOR_FOLD},
    {"pivots", TKP_SELECTOR_PIVOTS},
    {"threshold", TKP_SELECTOR_THRESHOLD},
    {"nominate", TKP_SELECTOR_NOMINATE},
    {NULL, 0}};

static const tkp__word nms_ranks[] = {
    {"scores", TKP_NMS_SCORES},
    {"strength", TKP_NMS_STRENGTH},
    {NULL, 0}};

static const tkp__word nms_limits[] = {
    {"by-count", TKP_NMS_LIMIT_COUNT},
    {"by-share", TKP_NMS_LIMIT_SHARE},
    {NULL, 0}};

static const tkp__word starts[] = {
    {"nearest", TKP_GREEDY_START_NEAREST},
    {"score", TKP_GREEDY_START_WEIGHT},
    {"norm", TKP_GREEDY_START_NORM},
    {NULL, 0}};

static const tkp__word measures[] = {
    {"cosine", TKP_GREEDY_COSINE},
    {"euclidean", TKP_GREEDY_EUCLIDEAN},
    {NULL, 0}};

static const tkp__word kernels[] = {
    {"cosine", TKP_GREEDY_KERNEL_COSINE},
    {"half", TKP_GREEDY_KERNEL_HALF},
    {"softmax", TKP_GREEDY_KERNEL_SOFTMAX},
    {NULL, 0}};

static const tkp__word cover_weights[] = {
    {"factor", TKP_COVER_FACTOR},
    {"demand", TKP_COVER_DEMAND},
    {"add", TKP_COVER_ADD},
    {"none", TKP_COVER_NONE},
    {NULL, 0}};

static const tkp__word determinants[] = {
    {"product", TKP_GREEDY_DPP_PRODUCT},
    {"exp", TKP_GREEDY_DPP_EXP},
    {"mix", TKP_GREEDY_DPP_MIX},
    {NULL, 0}};

static const tkp__word orders[] = {
    {"highest", TKP_ORDER_HIGHEST},
    {"lowest", TKP_ORDER_LOWEST},
    {NULL, 0}};

static const tkp__word picks[] = {
    {"score", TKP_PICK_SCORE},
    {"centre", TKP_PICK_CENTRE},
    {"first", TKP_PICK_FIRST},
    {NULL, 0}};

static const tkp__word score_layers[] = {
    {"next", TKP_SCORE_LAYER_NEXT},
    {NULL, 0}};

static const tkp__word no_pivots[] = {{"none", -1}, {NULL, 0}};

static const tkp__word whole[] = {{"all", 0}, {NULL, 0}};

static const tkp__word pool_orders[] = {
    {"candidates", TKP_POOL_BY_CANDIDATE},
    {"scores", TKP_POOL_BY_SCORE},
    {NULL, 0}};

static const tkp__word by_budget[] = {{"by-budget", 0}, {NULL, 0}};

static const tkp__word merger_kinds[] = {
    {"none", TKP_MERGER_NONE},
    {"window-average", TKP_MERGER_WINDOW_AVERAGE},
    {"window-max", TKP_MERGER_WINDOW_MAX},
    {"nearest", TKP_MERGER_NEAREST},
    {"bipartite", TKP_MERGER_BIPARTITE},
    {"bag", TKP_MERGER_BAG},
    {"knn", TKP_MERGER_KNN},
    {"fold", TKP_MERGER_FOLD},
    {"chain", TKP_MERGER_CHAIN},
    {"anchors", TKP_MERGER_ANCHORS},
    {"static", TKP_MERGER_STATIC},
    {"custom", TKP_MERGER_CUSTOM},
    {NULL, 0}};

static const tkp__word merge_rules[] = {
    {"mean", TKP_MERGE_MEAN},
    {"add", TKP_MERGE_ADD},
    {"blend", TKP_MERGE_BLEND},
    {"blend-count", TKP_MERGE_BLEND_COUNT},
    {"sum", TKP_MERGE_SUM},
    {NULL, 0}};

static const tkp__word no_part[] = {{"none", 0}, {NULL, 0}};

static const tkp__word roundings[] = {
    {"nearest", TKP_ROUND_NEAREST},
    {"floor", TKP_ROUND_FLOOR},
    {"ceil", TKP_ROUND_CEIL},
    {"double-truncate", TKP_ROUND_DOUBLE_TRUNCATE},
    {NULL, 0}};

static const tkp__word leasts[] = {
    {"none", TKP_LEAST_NONE},
    {"frame", TKP_LEAST_FRAME},
    {"each-frame", TKP_LEAST_EACH_FRAME},
    {NULL, 0}};

static const tkp__word bases[] = {
    {"present", TKP_OF_PRESENT},
    {"original", TKP_OF_ORIGINAL},
    {NULL, 0}};

const tkp__word tkp__scope_words[] = {
    {"sequence", TKP_SCOPE_SEQUENCE},
    {"image", TKP_SCOPE_IMAGE},
    {"tile", TKP_SCOPE_TILE},
    {"frame", TKP_SCOPE_FRAME},
    {NULL, 0}};

static const tkp__word labels[] = {
    {"retain", TKP_LABEL_RETAIN},
    {"equiv-in", TKP_LABEL_EQUIV_IN},
    {"equiv-out", TKP_LABEL_EQUIV_OUT},
    {NULL, 0}};

static const tkp__word training_modes[] = {
    {"composed", TKP_TRAINING_COMPOSED},
    {"literal", TKP_TRAINING_LITERAL},
    {NULL, 0}};

/* --- keys ------------------------------------------------------------------ */

#define END {.name = NULL}

static const tkp__key policy_keys[] = {
    {.name = "tokenprune", .type = TKP__KEY_I32, .required = true,
     .offset = AT(tkp__document, version), .low = 0, .high = INT32_MAX},
    {.name = "name", .type = TKP__KEY_LINE, .required = true,
     .offset = AT(tkp__document, name),
     .low = 1, .high = TKP__POLICY_NAME_BYTES - 1},
    {.name = "summary", .type = TKP__KEY_LINE,
     .offset = AT(tkp__document, summary),
     .low = 0, .high = TKP__POLICY_LINE_BYTES - 1},
    {.name = "source", .type = TKP__KEY_LINE,
     .offset = AT(tkp__document, source),
     .low = 0, .high = TKP__POLICY_LINE_BYTES - 1},
    {.name = "stages", .type = TKP__KEY_STAGES, .required = true,
     .high = TKP_POLICY_MAX_STAGES},
    END};

static const tkp__key stage_keys[] = {
    {.name = "at", .type = TKP__KEY_POINT, .required = true,
     .offset = AT(tkp_stage_options, point)},
    {.name = "score_layer", .type = TKP__KEY_I32, .words = score_layers,
     .offset = AT(tkp_stage_options, score_layer), .high = 65535},
    {.name = "positions", .type = TKP__KEY_WORD, .words = positions,
     .offset = AT(tkp_stage_options, positions)},
    {.name = "effect", .type = TKP__KEY_WORD, .words = effects,
     .offset = AT(tkp_stage_options, effect)},
    {.name = "order", .type = TKP__KEY_WORD, .words = stage_orders,
     .offset = AT(tkp_stage_options, order)},
    {.name = "layers", .type = TKP__KEY_PAIR, .words = all_layers,
     .offset = AT(tkp_stage_options, kv_begin), .high = 65536},
    {.name = "scorer", .type = TKP__KEY_PART, .part = TKP__PART_SCORER,
     .offset = AT(tkp_stage_options, scorer)},
    {.name = "selector", .type = TKP__KEY_PART, .part = TKP__PART_SELECTOR,
     .offset = AT(tkp_stage_options, selector)},
    {.name = "merger", .type = TKP__KEY_PART, .part = TKP__PART_MERGER,
     .offset = AT(tkp_stage_options, merger)},
    {.name = "budget", .type = TKP__KEY_PART, .part = TKP__PART_BUDGET,
     .offset = AT(tkp_stage_options, budget)},
    END};

enum {
    ATTENTION = KIND(TKP_SCORER_ATTENTION),
    VARIANCE = KIND(TKP_SCORER_VARIANCE),
    OVERVIEW = KIND(TKP_SCORER_OVERVIEW),
    CLS = KIND(TKP_SCORER_CLS_ATTENTION) | VARIANCE | OVERVIEW,
    ENTROPY = KIND(TKP_SCORER_ENTROPY_RELEVANCE),
    RELEVANCE = KIND(TKP_SCORER_RELEVANCE) | ENTROPY,
    RECONSTRUCTION = KIND(TKP_SCORER_RECONSTRUCTION),
    FEATURES = KIND(TKP_SCORER_NORM) | KIND(TKP_SCORER_COSINE) | RELEVANCE |
               KIND(TKP_SCORER_TEMPORAL) | KIND(TKP_SCORER_GAUSSIAN) |
               KIND(TKP_SCORER_CURVATURE) | RECONSTRUCTION | VARIANCE,
    BLEND = KIND(TKP_SCORER_BLEND)
};

static const tkp__key scorer_keys[] = {
    {.name = "kind", .type = TKP__KEY_WORD, .words = scorer_kinds,
     .required = true, .offset = AT(tkp_scorer_options, kind)},
    {.name = "query", .type = TKP__KEY_WORD, .words = queries,
     .kinds = ATTENTION, .offset = AT(tkp_scorer_options, query)},
    {.name = "reduce", .type = TKP__KEY_WORD, .words = reductions,
     .kinds = ATTENTION, .offset = AT(tkp_scorer_options, row_reduce)},
    {.name = "emulate_half", .type = TKP__KEY_FLAG, .kinds = ATTENTION,
     .bit = TKP_ATTENTION_EMULATE_HALF,
     .offset = AT(tkp_scorer_options, flags)},
    {.name = "logits", .type = TKP__KEY_FLAG, .kinds = ATTENTION | CLS,
     .bit = TKP_ATTENTION_LOGITS, .offset = AT(tkp_scorer_options, flags)},
    {.name = "unit", .type = TKP__KEY_FLAG, .kinds = KIND(TKP_SCORER_CLS_ATTENTION),
     .bit = TKP_ATTENTION_UNIT, .offset = AT(tkp_scorer_options, flags)},
    {.name = "encoder_layer", .type = TKP__KEY_I32, .words = encoder_layers,
     .kinds = CLS, .low = 1, .high = 65536,
     .offset = AT(tkp_scorer_options, encoder_layer)},
    {.name = "shallow", .type = TKP__KEY_BOOL, .kinds = CLS,
     .offset = AT(tkp_scorer_options, shallow)},
    {.name = "norm", .type = TKP__KEY_WORD, .words = norms,
     .kinds = KIND(TKP_SCORER_NORM), .offset = AT(tkp_scorer_options, norm)},
    {.name = "reference", .type = TKP__KEY_WORD, .words = references,
     .kinds = KIND(TKP_SCORER_COSINE),
     .offset = AT(tkp_scorer_options, reference)},
    {.name = "feature", .type = TKP__KEY_WORD, .words = features,
     .kinds = FEATURES, .offset = AT(tkp_scorer_options, feature)},
    {.name = "norm_eps", .type = TKP__KEY_DECIMAL, .kinds = FEATURES,
     .offset = AT(tkp_scorer_options, norm_eps)},
    {.name = "prefer", .type = TKP__KEY_WORD, .words = preferences,
     .kinds = RELEVANCE, .offset = AT(tkp_scorer_options, prefer)},
    {.name = "smooth", .type = TKP__KEY_BOOL, .kinds = RELEVANCE,
     .offset = AT(tkp_scorer_options, smooth)},
    {.name = "power", .type = TKP__KEY_DECIMAL, .kinds = RELEVANCE,
     .offset = AT(tkp_scorer_options, power)},
    {.name = "mix", .type = TKP__KEY_DECIMAL, .kinds = ENTROPY,
     .offset = AT(tkp_scorer_options, mix)},
    {.name = "share", .type = TKP__KEY_DECIMAL, .kinds = ENTROPY,
     .offset = AT(tkp_scorer_options, share)},
    {.name = "basis", .type = TKP__KEY_I32, .kinds = RECONSTRUCTION,
     .low = 1, .high = 4096, .offset = AT(tkp_scorer_options, basis)},
    {.name = "ridge", .type = TKP__KEY_DECIMAL, .kinds = RECONSTRUCTION,
     .offset = AT(tkp_scorer_options, ridge)},
    {.name = "scope", .type = TKP__KEY_WORD, .words = tkp__scope_words,
     .kinds = RECONSTRUCTION | BLEND | VARIANCE | KIND(TKP_SCORER_MEAN_QUERY),
     .offset = AT(tkp_scorer_options, scope)},
    {.name = "seed", .type = TKP__KEY_SEED, .kinds = RECONSTRUCTION,
     .offset = AT(tkp_scorer_options, seed)},
    {.name = "group", .type = TKP__KEY_I32, .kinds = KIND(TKP_SCORER_TEMPORAL),
     .high = 256, .offset = AT(tkp_scorer_options, group)},
    {.name = "centre", .type = TKP__KEY_WORD, .words = centres,
     .kinds = KIND(TKP_SCORER_GAUSSIAN),
     .offset = AT(tkp_scorer_options, centre)},
    {.name = "threshold", .type = TKP__KEY_DECIMAL,
     .kinds = KIND(TKP_SCORER_TEMPORAL),
     .offset = AT(tkp_scorer_options, threshold)},
    {.name = "combine", .type = TKP__KEY_WORD, .words = combinations,
     .kinds = BLEND, .offset = AT(tkp_scorer_options, combine)},
    {.name = "crops", .type = TKP__KEY_I32, .kinds = VARIANCE,
     .low = 1, .high = 65536, .offset = AT(tkp_scorer_options, crops)},
    {.name = "gain", .type = TKP__KEY_DECIMAL, .kinds = VARIANCE,
     .offset = AT(tkp_scorer_options, gain)},
    {.name = "alone", .type = TKP__KEY_BOOL, .kinds = VARIANCE,
     .offset = AT(tkp_scorer_options, alone)},
    {.name = "compat", .type = TKP__KEY_WORD, .words = compats,
     .kinds = VARIANCE, .offset = AT(tkp_scorer_options, compat)},
    {.name = "map", .type = TKP__KEY_WORD, .words = overview_maps,
     .kinds = OVERVIEW, .offset = AT(tkp_scorer_options, map)},
    {.name = "alpha", .type = TKP__KEY_DECIMAL, .kinds = OVERVIEW,
     .offset = AT(tkp_scorer_options, alpha)},
    {.name = "seeds", .type = TKP__KEY_RATIO,
     .kinds = KIND(TKP_SCORER_VALUE_ATTENTION),
     .offset = AT(tkp_scorer_options, seeds_num)},
    {.name = "sine", .type = TKP__KEY_BOOL, .kinds = KIND(TKP_SCORER_ROTARY),
     .offset = AT(tkp_scorer_options, sine)},
    {.name = "heads", .type = TKP__KEY_I32, .kinds = KIND(TKP_SCORER_ATTENTION),
     .low = 0, .high = 65536, .offset = AT(tkp_scorer_options, heads)},
    {.name = "level", .type = TKP__KEY_BOOL, .kinds = KIND(TKP_SCORER_ATTENTION),
     .offset = AT(tkp_scorer_options, level)},
    {.name = "terms", .type = TKP__KEY_TERMS, .kinds = BLEND,
     .required = true, .offset = AT(tkp_scorer_options, terms),
     .low = 1, .high = TKP_BLEND_MAX_TERMS},
    {.name = "custom", .type = TKP__KEY_LINE, .required = true,
     .kinds = KIND(TKP_SCORER_CUSTOM),
     .offset = AT(tkp_scorer_options, custom), .low = 1, .high = 63},
    END};

static const tkp__key term_keys[] = {
    {.name = "weight", .type = TKP__KEY_DECIMAL, .required = true,
     .offset = AT(tkp_blend_term, weight)},
    {.name = "normalise", .type = TKP__KEY_WORD, .words = normalisations,
     .offset = AT(tkp_blend_term, normalise)},
    {.name = "complement", .type = TKP__KEY_BOOL,
     .offset = AT(tkp_blend_term, complement)},
    {.name = "scorer", .type = TKP__KEY_PART, .part = TKP__PART_SCORER,
     .required = true, .offset = AT(tkp_blend_term, scorer)},
    END};

enum {
    RANDOM = KIND(TKP_SELECTOR_RANDOM),
    ANCHORS = KIND(TKP_SELECTOR_ANCHORS),
    STATIC = KIND(TKP_SELECTOR_STATIC),
    DENSITY = KIND(TKP_SELECTOR_DENSITY) | ANCHORS | STATIC,
    NMS_GROUPS = KIND(TKP_SELECTOR_NMS_GROUPS),
    BIPARTITE = KIND(TKP_SELECTOR_BIPARTITE),
    OUTLIERS = KIND(TKP_SELECTOR_OUTLIERS),
    FOLD = KIND(TKP_SELECTOR_FOLD),
    CLUSTERS = KIND(TKP_SELECTOR_CLUSTERS),
    WINDOW = KIND(TKP_SELECTOR_WINDOW),
    WINDOW_RANK = KIND(TKP_SELECTOR_WINDOW_RANK),
    DIVERSE = KIND(TKP_SELECTOR_DIVERSE),
    MMR = KIND(TKP_SELECTOR_MMR),
    COVER = KIND(TKP_SELECTOR_COVER),
    DPP = KIND(TKP_SELECTOR_DPP),
    TRI = KIND(TKP_SELECTOR_TRI),
    PARITY = KIND(TKP_SELECTOR_PARITY),
    SHARING = DIVERSE | MMR | COVER | DPP | TRI,
    GREEDY = DIVERSE | MMR | COVER | DPP | TRI | PARITY,
    PIVOTS = KIND(TKP_SELECTOR_PIVOTS),
    NOMINATE = KIND(TKP_SELECTOR_NOMINATE),
    QUOTA = KIND(TKP_SELECTOR_QUOTA)
};

static const tkp__key selector_keys[] = {
    {.name = "kind", .type = TKP__KEY_WORD, .words = selector_kinds,
     .required = true, .offset = AT(tkp_selector_options, kind)},
    {.name = "order", .type = TKP__KEY_WORD, .words = orders,
     .kinds = KIND(TKP_SELECTOR_TOPK) | WINDOW | WINDOW_RANK | QUOTA,
     .offset = AT(tkp_selector_options, order)},
    {.name = "threshold", .type = TKP__KEY_DECIMAL,
     .kinds = KIND(TKP_SELECTOR_THRESHOLD) | STATIC | FOLD | CLUSTERS,
     .offset = AT(tkp_selector_options, threshold)},
    {.name = "together", .type = TKP__KEY_BOOL, .kinds = FOLD,
     .offset = AT(tkp_selector_options, together)},
    {.name = "window", .type = TKP__KEY_PAIR, .words = by_budget,
     .kinds = WINDOW | WINDOW_RANK | RANDOM | FOLD, .low = 1, .high = INT32_MAX,
     .offset = AT(tkp_selector_options, window_rows)},
    {.name = "pick", .type = TKP__KEY_WORD, .words = picks, .kinds = WINDOW,
     .offset = AT(tkp_selector_options, pick)},
    {.name = "quota", .type = TKP__KEY_I32, .words = by_budget,
     .kinds = WINDOW | RANDOM, .low = 1, .high = INT32_MAX,
     .offset = AT(tkp_selector_options, quota)},
    {.name = "even", .type = TKP__KEY_BOOL, .kinds = WINDOW,
     .offset = AT(tkp_selector_options, even)},
    {.name = "stratified", .type = TKP__KEY_BOOL, .kinds = RANDOM,
     .offset = AT(tkp_selector_options, stratified)},
    {.name = "seed", .type = TKP__KEY_SEED, .kinds = RANDOM,
     .offset = AT(tkp_selector_options, seed)},
    {.name = "feature", .type = TKP__KEY_WORD, .words = features,
     .kinds = GREEDY | PIVOTS | DENSITY | NMS_GROUPS | BIPARTITE | FOLD |
              CLUSTERS | NOMINATE,
     .offset = AT(tkp_selector_options, feature)},
    {.name = "prefer", .type = TKP__KEY_WORD, .words = preferences,
     .kinds = NOMINATE, .offset = AT(tkp_selector_options, prefer)},
    {.name = "neighbours", .type = TKP__KEY_I32, .kinds = DENSITY,
     .low = 1, .high = INT32_MAX, .words = by_budget,
     .offset = AT(tkp_selector_options, neighbours)},
    {.name = "others", .type = TKP__KEY_BOOL, .kinds = DENSITY,
     .offset = AT(tkp_selector_options, others)},
    {.name = "rank", .type = TKP__KEY_WORD, .words = nms_ranks,
     .kinds = NMS_GROUPS, .offset = AT(tkp_selector_options, rank)},
    {.name = "limit", .type = TKP__KEY_WORD, .words = nms_limits,
     .kinds = NMS_GROUPS, .offset = AT(tkp_selector_options, limit)},
    {.name = "components", .type = TKP__KEY_I32, .kinds = NMS_GROUPS,
     .low = 1, .high = INT32_MAX, .words = by_budget,
     .offset = AT(tkp_selector_options, components)},
    {.name = "class_token", .type = TKP__KEY_BOOL,
     .kinds = NMS_GROUPS | BIPARTITE,
     .offset = AT(tkp_selector_options, class_token)},
    {.name = "uniform", .type = TKP__KEY_BOOL, .kinds = OUTLIERS,
     .offset = AT(tkp_selector_options, uniform)},
    {.name = "spare", .type = TKP__KEY_BOOL, .kinds = OUTLIERS,
     .offset = AT(tkp_selector_options, spare)},
    {.name = "share", .type = TKP__KEY_RATIO, .kinds = CLUSTERS,
     .offset = AT(tkp_selector_options, share_num)},
    {.name = "plain", .type = TKP__KEY_BOOL, .kinds = NMS_GROUPS,
     .offset = AT(tkp_selector_options, plain)},
    {.name = "cut", .type = TKP__KEY_DECIMAL, .kinds = ANCHORS,
     .offset = AT(tkp_selector_options, cut)},
    {.name = "segments", .type = TKP__KEY_I32, .kinds = ANCHORS,
     .low = 1, .high = INT32_MAX, .offset = AT(tkp_selector_options, segments)},
    {.name = "stride", .type = TKP__KEY_I32, .kinds = ANCHORS,
     .low = 1, .high = INT32_MAX, .offset = AT(tkp_selector_options, stride)},
    {.name = "start", .type = TKP__KEY_WORD, .words = starts,
     .kinds = DIVERSE | MMR, .offset = AT(tkp_selector_options, start)},
    {.name = "measure", .type = TKP__KEY_WORD, .words = measures,
     .kinds = DIVERSE, .offset = AT(tkp_selector_options, measure)},
    {.name = "weighted", .type = TKP__KEY_BOOL, .kinds = DIVERSE,
     .offset = AT(tkp_selector_options, weighted)},
    {.name = "kernel", .type = TKP__KEY_WORD, .words = kernels,
     .kinds = COVER, .offset = AT(tkp_selector_options, kernel)},
    {.name = "weight", .type = TKP__KEY_WORD, .words = cover_weights,
     .kinds = COVER, .offset = AT(tkp_selector_options, weight)},
    {.name = "power", .type = TKP__KEY_DECIMAL, .kinds = COVER,
     .offset = AT(tkp_selector_options, power)},
    {.name = "scale", .type = TKP__KEY_DECIMAL, .kinds = COVER,
     .offset = AT(tkp_selector_options, scale)},
    {.name = "temperature", .type = TKP__KEY_DECIMAL, .kinds = COVER | QUOTA,
     .offset = AT(tkp_selector_options, temperature)},
    {.name = "text", .type = TKP__KEY_BOOL, .kinds = COVER,
     .offset = AT(tkp_selector_options, text)},
    {.name = "text_temperature", .type = TKP__KEY_DECIMAL, .kinds = COVER,
     .offset = AT(tkp_selector_options, text_temperature)},
    {.name = "determinant", .type = TKP__KEY_WORD, .words = determinants,
     .kinds = DPP, .offset = AT(tkp_selector_options, determinant)},
    {.name = "theta", .type = TKP__KEY_DECIMAL, .kinds = DPP,
     .offset = AT(tkp_selector_options, theta)},
    {.name = "alpha", .type = TKP__KEY_DECIMAL, .kinds = TRI,
     .offset = AT(tkp_selector_options, alpha)},
    {.name = "lambda", .type = TKP__KEY_DECIMAL, .kinds = MMR | TRI,
     .offset = AT(tkp_selector_options, lambda)},
    {.name = "step", .type = TKP__KEY_I32, .kinds = PARITY, .low = 1,
     .high = INT32_MAX, .offset = AT(tkp_selector_options, step)},
    {.name = "min_max", .type = TKP__KEY_BOOL, .kinds = TRI,
     .offset = AT(tkp_selector_options, min_max)},
    {.name = "pivot_feature", .type = TKP__KEY_WORD, .words = features,
     .kinds = PIVOTS, .offset = AT(tkp_selector_options, pivot_feature)},
    {.name = "pivots_visual", .type = TKP__KEY_I32, .words = no_pivots,
     .kinds = PIVOTS, .high = 65536,
     .offset = AT(tkp_selector_options, pivots_visual)},
    {.name = "pivots_text", .type = TKP__KEY_I32, .words = no_pivots,
     .kinds = PIVOTS, .high = 65536,
     .offset = AT(tkp_selector_options, pivots_text)},
    {.name = "per_pivot", .type = TKP__KEY_I32, .words = by_budget,
     .kinds = PIVOTS, .low = 1, .high = INT32_MAX,
     .offset = AT(tkp_selector_options, per_pivot)},
    {.name = "weigh", .type = TKP__KEY_PART, .part = TKP__PART_SCORER,
     .required = true, .kinds = QUOTA,
     .offset = AT(tkp_selector_options, weigh)},
    {.name = "groups", .type = TKP__KEY_WORD, .words = tkp__scope_words,
     .kinds = QUOTA | SHARING, .offset = AT(tkp_selector_options, groups)},
    {.name = "crops", .type = TKP__KEY_I32, .kinds = QUOTA,
     .low = 1, .high = 65536, .offset = AT(tkp_selector_options, crops)},
    {.name = "rule", .type = TKP__KEY_WORD, .words = quota_rules,
     .kinds = QUOTA | SHARING, .offset = AT(tkp_selector_options, rule)},
    {.name = "reduce", .type = TKP__KEY_WORD, .words = quota_reductions,
     .kinds = QUOTA | SHARING, .offset = AT(tkp_selector_options, reduce)},
    {.name = "lowest", .type = TKP__KEY_BOOL, .kinds = QUOTA,
     .offset = AT(tkp_selector_options, lowest)},
    {.name = "least", .type = TKP__KEY_I32, .kinds = QUOTA | SHARING, .high = INT32_MAX,
     .offset = AT(tkp_selector_options, least)},
    {.name = "base", .type = TKP__KEY_DECIMAL, .kinds = QUOTA | SHARING,
     .offset = AT(tkp_selector_options, base)},
    {.name = "compat", .type = TKP__KEY_WORD, .words = compats, .kinds = QUOTA | SHARING,
     .offset = AT(tkp_selector_options, compat)},
    {.name = "scorer", .type = TKP__KEY_PART, .part = TKP__PART_SCORER,
     .kinds = KIND(TKP_SELECTOR_TOPK) | WINDOW | WINDOW_RANK | GREEDY | QUOTA |
              NOMINATE,
     .offset = AT(tkp_selector_options, scorer)},
    {.name = "parts", .type = TKP__KEY_PARTS, .required = true,
     .kinds = KIND(TKP_SELECTOR_CHAIN),
     .offset = AT(tkp_selector_options, parts),
     .low = 1, .high = TKP_CHAIN_MAX_PARTS},
    {.name = "custom", .type = TKP__KEY_LINE, .required = true,
     .kinds = KIND(TKP_SELECTOR_CUSTOM),
     .offset = AT(tkp_selector_options, custom), .low = 1, .high = 63},
    END};

static const tkp__key part_keys[] = {
    {.name = "share", .type = TKP__KEY_RATIO, .gives = TKP_CHAIN_SHARE,
     .kinds = KIND(TKP_CHAIN_SHARE), .offset = AT(tkp_chain_part, share_num)},
    {.name = "count", .type = TKP__KEY_I64, .gives = TKP_CHAIN_COUNT,
     .kinds = KIND(TKP_CHAIN_COUNT), .offset = AT(tkp_chain_part, count),
     .high = INT32_MAX},
    {.name = "all_but", .type = TKP__KEY_I64, .gives = TKP_CHAIN_ALL_BUT,
     .kinds = KIND(TKP_CHAIN_ALL_BUT), .offset = AT(tkp_chain_part, count),
     .high = INT32_MAX},
    {.name = "more", .type = TKP__KEY_RATIO, .gives = TKP_CHAIN_MORE,
     .kinds = KIND(TKP_CHAIN_MORE), .offset = AT(tkp_chain_part, share_num)},
    {.name = "pool_count", .type = TKP__KEY_I32, .words = whole, .gives = -1,
     .low = 1, .high = INT32_MAX, .offset = AT(tkp_chain_part, pool_count)},
    {.name = "pool_factor", .type = TKP__KEY_I32, .words = whole, .gives = -1,
     .low = 1, .high = INT32_MAX, .offset = AT(tkp_chain_part, pool_factor)},
    {.name = "pool_share", .type = TKP__KEY_RATIO, .gives = -1,
     .offset = AT(tkp_chain_part, pool_num)},
    {.name = "pool_order", .type = TKP__KEY_WORD, .words = pool_orders,
     .gives = -1, .offset = AT(tkp_chain_part, pool_order)},
    {.name = "all_but_share", .type = TKP__KEY_RATIO,
     .gives = TKP_CHAIN_ALL_BUT_SHARE, .kinds = KIND(TKP_CHAIN_ALL_BUT_SHARE),
     .offset = AT(tkp_chain_part, share_num)},
    {.name = "selector", .type = TKP__KEY_PART, .part = TKP__PART_SELECTOR,
     .required = true, .gives = -1, .offset = AT(tkp_chain_part, selector)},
    END};

enum { WEIGHS = KIND(TKP_MERGER_BAG) | KIND(TKP_MERGER_KNN) };

static const tkp__key merger_keys[] = {
    {.name = "kind", .type = TKP__KEY_WORD, .words = merger_kinds,
     .required = true, .offset = AT(tkp_merger_options, kind)},
    {.name = "adaptive_overlap", .type = TKP__KEY_BOOL,
     .kinds = KIND(TKP_MERGER_WINDOW_AVERAGE) | KIND(TKP_MERGER_WINDOW_MAX),
     .offset = AT(tkp_merger_options, adaptive_overlap)},
    {.name = "feature", .type = TKP__KEY_WORD, .words = features,
     .kinds = KIND(TKP_MERGER_NEAREST) | KIND(TKP_MERGER_CHAIN) |
               KIND(TKP_MERGER_ANCHORS) | KIND(TKP_MERGER_KNN) |
               KIND(TKP_MERGER_STATIC),
     .offset = AT(tkp_merger_options, feature)},
    {.name = "measure", .type = TKP__KEY_WORD, .words = measures,
     .kinds = KIND(TKP_MERGER_NEAREST) | KIND(TKP_MERGER_KNN),
     .offset = AT(tkp_merger_options, measure)},
    {.name = "rule", .type = TKP__KEY_WORD, .words = merge_rules,
     .kinds = KIND(TKP_MERGER_NEAREST) | WEIGHS,
     .offset = AT(tkp_merger_options, rule)},
    {.name = "anchor", .type = TKP__KEY_DECIMAL,
     .kinds = KIND(TKP_MERGER_NEAREST) | WEIGHS,
     .offset = AT(tkp_merger_options, anchor)},
    {.name = "beta", .type = TKP__KEY_DECIMAL,
     .kinds = KIND(TKP_MERGER_NEAREST) | WEIGHS | KIND(TKP_MERGER_ANCHORS),
     .offset = AT(tkp_merger_options, beta)},
    {.name = "into", .type = TKP__KEY_I32, .words = whole,
     .kinds = KIND(TKP_MERGER_NEAREST), .low = 1,
     .high = TKP_CHAIN_MAX_PARTS - 1,
     .offset = AT(tkp_merger_options, into)},
    {.name = "replace", .type = TKP__KEY_I32, .words = no_part,
     .kinds = KIND(TKP_MERGER_NEAREST), .low = 1,
     .high = TKP_CHAIN_MAX_PARTS - 1,
     .offset = AT(tkp_merger_options, replace)},
    {.name = "replace_share", .type = TKP__KEY_DECIMAL,
     .kinds = KIND(TKP_MERGER_NEAREST),
     .offset = AT(tkp_merger_options, replace_share)},
    {.name = "within", .type = TKP__KEY_DECIMAL,
     .kinds = KIND(TKP_MERGER_NEAREST),
     .offset = AT(tkp_merger_options, within)},
    {.name = "proportional", .type = TKP__KEY_BOOL,
     .kinds = ~KIND(TKP_MERGER_NONE),
     .offset = AT(tkp_merger_options, proportional)},
    {.name = "seed", .type = TKP__KEY_SEED, .kinds = KIND(TKP_MERGER_NEAREST),
     .offset = AT(tkp_merger_options, seed)},
    {.name = "threshold", .type = TKP__KEY_DECIMAL,
     .kinds = KIND(TKP_MERGER_CHAIN) | KIND(TKP_MERGER_STATIC),
     .offset = AT(tkp_merger_options, threshold)},
    {.name = "cut", .type = TKP__KEY_DECIMAL,
     .kinds = KIND(TKP_MERGER_ANCHORS), .offset = AT(tkp_merger_options, cut)},
    {.name = "segments", .type = TKP__KEY_I32,
     .kinds = KIND(TKP_MERGER_ANCHORS), .low = 1, .high = INT32_MAX,
     .offset = AT(tkp_merger_options, segments)},
    {.name = "neighbours", .type = TKP__KEY_I32, .kinds = KIND(TKP_MERGER_KNN),
     .low = 1, .high = 4096, .offset = AT(tkp_merger_options, neighbours)},
    {.name = "bag", .type = TKP__KEY_I32, .words = no_part, .kinds = WEIGHS,
     .low = 1, .high = TKP_CHAIN_MAX_PARTS - 1,
     .offset = AT(tkp_merger_options, bag)},
    {.name = "custom", .type = TKP__KEY_LINE, .required = true,
     .kinds = KIND(TKP_MERGER_CUSTOM),
     .offset = AT(tkp_merger_options, custom), .low = 1, .high = 63},
    END};

enum {
    COUNT = KIND(TKP_BUDGET_COUNT),
    RATIO = KIND(TKP_BUDGET_RATIO),
    TOTAL = KIND(TKP_BUDGET_TOTAL_REDUCTION),
    BY_RANK = KIND(TKP_BUDGET_RANK)
};

static const tkp__key budget_keys[] = {
    {.name = "all", .type = TKP__KEY_TRUE, .gives = TKP_BUDGET_ALL,
     .kinds = KIND(TKP_BUDGET_ALL)},
    {.name = "count", .type = TKP__KEY_I64, .gives = TKP_BUDGET_COUNT,
     .kinds = COUNT, .offset = AT(tkp_budget, count), .high = INT32_MAX},
    {.name = "ratio", .type = TKP__KEY_RATIO, .gives = TKP_BUDGET_RATIO,
     .kinds = RATIO, .offset = AT(tkp_budget, ratio_num)},
    {.name = "total_reduction", .type = TKP__KEY_RATIO,
     .gives = TKP_BUDGET_TOTAL_REDUCTION, .kinds = TOTAL,
     .offset = AT(tkp_budget, ratio_num)},
    {.name = "rank", .type = TKP__KEY_RATIO, .gives = TKP_BUDGET_RANK,
     .kinds = BY_RANK, .offset = AT(tkp_budget, ratio_num)},
    {.name = "bias", .type = TKP__KEY_I64, .kinds = BY_RANK, .gives = -1,
     .offset = AT(tkp_budget, count), .low = -INT32_MAX, .high = INT32_MAX},
    {.name = "training", .type = TKP__KEY_WORD, .words = training_modes,
     .kinds = TOTAL, .gives = -1, .offset = AT(tkp_budget, training_mode)},
    {.name = "tacr", .type = TKP__KEY_RATIO, .kinds = TOTAL, .gives = -1,
     .offset = AT(tkp_budget, tacr_num)},
    {.name = "rounding", .type = TKP__KEY_WORD, .words = roundings,
     .kinds = COUNT | RATIO | TOTAL | BY_RANK, .gives = -1,
     .offset = AT(tkp_budget, rounding)},
    {.name = "scope", .type = TKP__KEY_WORD, .words = tkp__scope_words, .gives = -1,
     .offset = AT(tkp_budget, scope)},
    {.name = "label", .type = TKP__KEY_WORD, .words = labels,
     .kinds = COUNT | RATIO | TOTAL, .gives = -1,
     .offset = AT(tkp_budget, label)},
    {.name = "min_keep", .type = TKP__KEY_I64,
     .kinds = COUNT | RATIO | TOTAL | BY_RANK, .gives = -1,
     .offset = AT(tkp_budget, min_keep), .high = INT64_MAX},
    {.name = "at_least", .type = TKP__KEY_WORD, .words = leasts,
     .kinds = COUNT | RATIO | TOTAL, .gives = -1,
     .offset = AT(tkp_budget, at_least)},
    {.name = "every", .type = TKP__KEY_I32,
     .kinds = COUNT | RATIO | TOTAL, .gives = -1, .high = INT32_MAX,
     .offset = AT(tkp_budget, every)},
    {.name = "of", .type = TKP__KEY_WORD, .words = bases, .kinds = RATIO,
     .gives = -1, .offset = AT(tkp_budget, of)},
    END};

/* --- sections --------------------------------------------------------------- */

const tkp__section tkp__section_policy = {
    .name = "policy", .keys = policy_keys, .bytes = sizeof(tkp__document),
    .kind_at = -1};
const tkp__section tkp__section_stage = {
    .name = "stage", .keys = stage_keys, .bytes = sizeof(tkp_stage_options),
    .sized = true, .kind_at = -1};
const tkp__section tkp__section_scorer = {
    .name = "scorer", .keys = scorer_keys,
    .bytes = sizeof(tkp_scorer_options), .sized = true,
    .kind_at = AT(tkp_scorer_options, kind)};
const tkp__section tkp__section_term = {
    .name = "term", .keys = term_keys, .bytes = sizeof(tkp_blend_term),
    .kind_at = -1};
const tkp__section tkp__section_selector = {
    .name = "selector", .keys = selector_keys,
    .bytes = sizeof(tkp_selector_options), .sized = true,
    .kind_at = AT(tkp_selector_options, kind)};
const tkp__section tkp__section_part = {
    .name = "part", .keys = part_keys, .bytes = sizeof(tkp_chain_part),
    .kind_at = AT(tkp_chain_part, amount), .kind_by_keys = true,
    .kind_or_none = true};
const tkp__section tkp__section_merger = {
    .name = "merger", .keys = merger_keys,
    .bytes = sizeof(tkp_merger_options), .sized = true,
    .kind_at = AT(tkp_merger_options, kind)};
const tkp__section tkp__section_budget = {
    .name = "budget", .keys = budget_keys, .bytes = sizeof(tkp_budget),
    .sized = true, .kind_at = AT(tkp_budget, kind), .kind_by_keys = true};

// clang-format on

const tkp__section *tkp__part_section(int32_t part)
{
    switch (part) {
    case TKP__PART_SCORER:
        return &tkp__section_scorer;
    case TKP__PART_SELECTOR:
        return &tkp__section_selector;
    case TKP__PART_MERGER:
        return &tkp__section_merger;
    default:
        return &tkp__section_budget;
    }
}

bool tkp__point_counted(int32_t point)
{
    return point == TKP_POINT_LLM || tkp__point_in_encoder(point);
}

const char *tkp__word_of(const tkp__word *words, int32_t value)
{
    for (; words && words->text; words++)
        if (words->value == value)
            return words->text;
    return NULL;
}
