/*
 * Which kernel table this processor gets.
 */

#include <pthread.h>

#include "cpu/cpu.h"

static struct {
    pthread_once_t once;
    const tkp__cpu_kernels *kernels;
    bool dnnl;
} choice = {PTHREAD_ONCE_INIT, NULL, false};

/* Each set builds on the one before; a file the compiler had no flags for is
 * not there. */
static const tkp__cpu_kernels *choose_kernels(void)
{
    const tkp__cpu_kernels *best = &tkp__cpu_kernels__base;
#if defined(TKP_HAVE_CPU_ISA_AVX2)
    /* F16C has no name here, but no processor has AVX2 without it. */
    if (tkp_sys_disabled("avx2") || !__builtin_cpu_supports("avx2") ||
        !__builtin_cpu_supports("fma"))
        return best;
    best = &tkp__cpu_kernels__avx2;
#    if defined(TKP_HAVE_CPU_ISA_AVX512)
    if (tkp_sys_disabled("avx512") || !__builtin_cpu_supports("avx512f") ||
        !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl"))
        return best;
    best = &tkp__cpu_kernels__avx512;
#        if defined(TKP_HAVE_CPU_ISA_AVX512_BF16)
    if (!tkp_sys_disabled("avx512_bf16") &&
        __builtin_cpu_supports("avx512bf16"))
        best = &tkp__cpu_kernels__avx512_bf16;
#        endif
#    endif
#endif
    return best;
}

static void choose(void)
{
    choice.dnnl = !tkp_sys_disabled("dnnl");
    choice.kernels = choose_kernels();
}

const tkp__cpu_kernels *tkp__cpu_kernels_get(void)
{
    pthread_once(&choice.once, choose);
    return choice.kernels;
}

bool tkp__cpu_dnnl_enabled(void)
{
    pthread_once(&choice.once, choose);
    return choice.dnnl;
}
