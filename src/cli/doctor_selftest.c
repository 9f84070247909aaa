/* A tiny cut with a known result, through the same calls an engine makes. */
#include <stdlib.h>

#include "cli/doctor.h"

enum { TOKENS = 16, KEPT = 4, WIDTH = 8 };

typedef struct patient {
    tkp_context *context;
    tkp_exec *exec;
    tkp_policy *policy;
    tkp_layout *layout;
    tkp_sequence *sequence;
    void *workspace;
} patient;

static tkp_status make_policy(tkp_policy **out)
{
    tkp_scorer_options scorer = TKP_SCORER_OPTIONS_INIT;
    tkp_selector_options selector = TKP_SELECTOR_OPTIONS_INIT;
    tkp_budget budget = TKP_BUDGET_INIT;
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    scorer.kind = TKP_SCORER_EXTERNAL;
    selector.kind = TKP_SELECTOR_TOPK;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = KEPT;
    stage.point = TKP_POINT_PROJECTOR;
    stage.scorer = &scorer;
    stage.selector = &selector;
    stage.budget = &budget;
    TKP__TRY(tkp_policy_create(out, "selftest"));
    return tkp_policy_add_stage(*out, &stage);
}

static tkp_status make_layout(tkp_layout **out)
{
    tkp_sequence_desc sequence = TKP_SEQUENCE_DESC_INIT;
    tkp_image_desc image = TKP_IMAGE_DESC_INIT;
    sequence.length = TOKENS;
    image.rows = image.cols = 4;
    TKP__TRY(tkp_layout_create(out));
    TKP__TRY(tkp_layout_add_sequence(*out, &sequence, NULL));
    return tkp_layout_add_image(*out, &image, NULL);
}

static tkp_status prepare(patient *p, const char *backend)
{
    tkp_model_desc model = TKP_MODEL_DESC_INIT;
    tkp_requirements needs = TKP_REQUIREMENTS_INIT;
    model.dtype = TKP_DTYPE_F32;
    model.layers = 1;
    model.hidden = WIDTH;
    TKP__TRY(tkp__cli_context(&p->context, backend, 1));
    TKP__TRY(tkp_exec_create(&p->exec, p->context, NULL));
    TKP__TRY(make_policy(&p->policy));
    TKP__TRY(make_layout(&p->layout));
    TKP__TRY(tkp_sequence_create(&p->sequence, p->context));
    TKP__TRY(
        tkp_sequence_begin(p->sequence, p->exec, p->policy, p->layout, &model));
    TKP__TRY(tkp_sequence_query(p->sequence, &needs));
    p->workspace = tkp__alloc(1, needs.workspace_bytes);
    if (!p->workspace)
        return TKP_ERR_MEMORY;
    return tkp_exec_set_workspace(p->exec, p->workspace, needs.workspace_bytes);
}

/* Scores 0, 7, 14, 5, 12, ... : the best four are known by hand. */
static tkp_status cut(const patient *p)
{
    static const int32_t expected[KEPT] = {2, 4, 9, 11};
    float scores[TOKENS];
    float rows[TOKENS][WIDTH];
    float kept[KEPT][WIDTH];
    for (int32_t i = 0; i < TOKENS; i++) {
        scores[i] = (float)(i * 7 % TOKENS);
        for (int32_t j = 0; j < WIDTH; j++)
            rows[i][j] = (float)(i * WIDTH + j);
    }
    tkp_tensor given, src, dst;
    tkp_tensor_make_1d(&given, scores, TKP_DTYPE_F32, TOKENS);
    tkp_tensor_make_2d(&src, rows, TKP_DTYPE_F32, TOKENS, WIDTH);
    tkp_tensor_make_2d(&dst, kept, TKP_DTYPE_F32, KEPT, WIDTH);
    tkp_inputs inputs = TKP_INPUTS_INIT;
    tkp_point point = TKP_POINT_INIT;
    tkp_decision decision = TKP_DECISION_INIT;
    inputs.scores = &given;
    TKP__TRY(tkp_sequence_next(p->sequence, &point));
    TKP__TRY(tkp_sequence_prune(p->sequence, p->exec, &inputs, &decision));
    TKP__TRY(tkp_gather_rows(p->sequence, p->exec, &dst, &src, &decision));
    const int32_t *indices = tkp__data(&decision.indices);
    for (int32_t i = 0; i < KEPT; i++)
        TKP__CHECK(
            indices[i] == expected[i] &&
                kept[i][WIDTH - 1] == rows[expected[i]][WIDTH - 1],
            TKP_ERR_INTERNAL, "selftest: kept token %d is %d, wanted %d", i,
            indices[i], expected[i]);
    return TKP_OK;
}

tkp_status tkp__doctor_selftest(const char *backend)
{
    patient p = {0};
    tkp_status status = prepare(&p, backend);
    if (status == TKP_OK)
        status = cut(&p);
    tkp_sequence_destroy(p.sequence);
    tkp_layout_destroy(p.layout);
    tkp_policy_destroy(p.policy);
    tkp_exec_destroy(p.exec);
    tkp_context_destroy(p.context);
    tkp__free(p.workspace);
    return status;
}
