/*
 * ROTARY_TABLE and ROTARY: angles in the f32 steps of the published models, so
 * each product and sum is rounded by itself.
 */

#include "cuda/device.cuh"

enum { THREADS = 256 };

static __global__ void rotary_table(
    const int32_t *positions,
    int64_t stride,
    int64_t rows,
    float *cosine,
    int64_t cosine_stride,
    float *sine,
    int64_t sine_stride,
    int64_t count,
    int64_t half,
    tkp_op_rotary_table p)
{
    for (int64_t at = tkp__thread(); at < count * half; at += tkp__threads()) {
        const int64_t m = at / half, i = at - m * half;
        const int64_t row = rows == 1 || i < p.section[0]     ? 0
                            : i < p.section[0] + p.section[1] ? 1
                                                              : 2;
        const float e = __fdiv_rn((float)(2 * i), (float)(2 * half));
        const float inv = __fdiv_rn(1.0f, (float)pow(p.theta, (double)e));
        const float angle = __fmul_rn((float)positions[row * stride + m], inv);
        cosine[m * cosine_stride + i] = cosf(angle);
        sine[m * sine_stride + i] = sinf(angle);
    }
}

static tkp_status run_rotary_table(const tkp__cuda_run *r)
{
    const tkp_tensor *positions = &r->args[0], *cosine = &r->args[1];
    const tkp_tensor *sine = &r->args[2];
    return tkp__cuda_launch(
        r, rotary_table,
        dim3(tkp__cuda_blocks(cosine->shape[0] * cosine->shape[1], THREADS)),
        THREADS, 0, tkp__cuda_arg<const int32_t>(r, 0), positions->strides[0],
        positions->shape[0], tkp__cuda_arg<float>(r, 1), cosine->strides[0],
        tkp__cuda_arg<float>(r, 2), sine->strides[0], cosine->shape[0],
        cosine->shape[1], *tkp__cuda_params<tkp_op_rotary_table>(r));
}

const tkp__cuda_op tkp__cuda_rotary_table = {
    .kind = TKP_OP_ROTARY_TABLE,
    .params_size = sizeof(tkp_op_rotary_table),
    .kernel = "rotary_table",
    .run = run_rotary_table,
};

struct head_strides {
    int64_t x, x_head, dst, dst_head, cosine, sine;
};

template <class T>
static __global__ void rotary(
    const T *x,
    const float *cosine,
    const float *sine,
    T *dst,
    int64_t rows,
    int64_t heads,
    int64_t half,
    head_strides s)
{
    for (int64_t at = tkp__thread(); at < rows * heads * half;
         at += tkp__threads()) {
        const int64_t c = at % half, h = at / half % heads;
        const int64_t m = at / half / heads;
        const T *in = x + m * s.x + h * s.x_head;
        T *out = dst + m * s.dst + h * s.dst_head;
        const float a = tkp__get(in[c]), b = tkp__get(in[c + half]);
        const float co = tkp__rounded<T>(cosine[m * s.cosine + c]);
        const float si = tkp__rounded<T>(sine[m * s.sine + c]);
        const float a_co = tkp__rounded<T>(__fmul_rn(a, co));
        const float b_si = tkp__rounded<T>(__fmul_rn(b, si));
        const float b_co = tkp__rounded<T>(__fmul_rn(b, co));
        const float a_si = tkp__rounded<T>(__fmul_rn(a, si));
        tkp__put(out + c, __fsub_rn(a_co, b_si));
        tkp__put(out + c + half, __fadd_rn(b_co, a_si));
    }
}

static tkp_status run_rotary(const tkp__cuda_run *r)
{
    const tkp_tensor *x = &r->args[0], *dst = &r->args[3];
    const int64_t half = x->shape[2] / 2;
    const head_strides s = {x->strides[0],         x->strides[1],
                            dst->strides[0],       dst->strides[1],
                            r->args[1].strides[0], r->args[2].strides[0]};
    return tkp__cuda_with(x->dtype, [&](auto *type) {
        using T = TKP__TYPE(type);
        return tkp__cuda_launch(
            r, rotary<T>,
            dim3(tkp__cuda_blocks(x->shape[0] * x->shape[1] * half, THREADS)),
            THREADS, 0, tkp__cuda_arg<const T>(r, 0),
            tkp__cuda_arg<const float>(r, 1), tkp__cuda_arg<const float>(r, 2),
            tkp__cuda_arg<T>(r, 3), x->shape[0], x->shape[1], half, s);
    });
}

const tkp__cuda_op tkp__cuda_rotary = {
    .kind = TKP_OP_ROTARY,
    .kernel = "rotary",
    .run = run_rotary,
};
