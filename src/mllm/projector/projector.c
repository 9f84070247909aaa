#include "mllm/projector/projector.h"

tkp_status tkp__projector_load(
    tkp__projector *p,
    tkp__planner *planner,
    const tkp__model_config *config,
    int64_t rows)
{
    const uint32_t bias = config->projector_bias ? TKP__LINEAR_BIAS : 0;
    TKP__TRY(tkp__linear_load(&p->first, planner, rows, bias, "proj.0"));
    TKP__TRY(tkp__linear_load(&p->second, planner, rows, bias, "proj.2"));
    p->inner = p->first.weight.shape[0];
    return tkp__activation_load(
        &p->activation, planner, rows, p->inner, config->projector_activation,
        false);
}

void tkp__projector_release(tkp__projector *p)
{
    tkp__linear_free(&p->first);
    tkp__linear_free(&p->second);
    tkp_op_destroy(p->activation);
    *p = (tkp__projector){0};
}

tkp_status tkp__projector_run(
    const tkp__projector *p,
    const tkp__forward *f,
    const tkp_tensor *features,
    const tkp_tensor *inner,
    const tkp_tensor *dst)
{
    TKP__TRY(tkp__linear_run(&p->first, f, features, NULL, inner));
    TKP__TRY(tkp__activation_run(p->activation, f, inner, NULL, inner));
    tkp__trace(f, "projector.inner", -1, inner);
    TKP__TRY(tkp__linear_run(&p->second, f, inner, NULL, dst));
    tkp__trace(f, "projector", -1, dst);
    return TKP_OK;
}
