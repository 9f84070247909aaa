/*
 * Parts of src/core that the public interface does not show.
 */

#include <check.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/op_check.h"
#include "tokenprune/sys/base.h"

/* --- option structs ------------------------------------------------------------ */

struct version_1 {
    uint32_t struct_size;
    int32_t a;
};
struct version_2 {
    uint32_t struct_size;
    int32_t a;
    int32_t b;
    int32_t c;
};
struct version_3 {
    uint32_t struct_size;
    int32_t a;
    int32_t b;
    int32_t c;
    int64_t d;
};

/* We are version 2; callers of three versions. */
static tkp_status copy(struct version_2 *out, const void *src)
{
    uint32_t size;
    memcpy(&size, src, sizeof(size));
    return tkp__util_copy_options(
        out, sizeof(*out), src, size, sizeof(struct version_1), "options");
}

START_TEST(copy_options__same_version__copied)
{
    const struct version_2 src = {sizeof(src), 1, 2, 3};
    struct version_2 dst;
    memset(&dst, 0xff, sizeof(dst));
    ck_assert_int_eq(copy(&dst, &src), TKP_OK);
    ck_assert_mem_eq(&dst, &src, sizeof(src));
}
END_TEST

START_TEST(copy_options__older__rest_is_zero)
{
    const struct version_1 src = {sizeof(src), 1};
    struct version_2 dst;
    memset(&dst, 0xff, sizeof(dst));
    ck_assert_int_eq(copy(&dst, &src), TKP_OK);
    ck_assert_int_eq(dst.a, 1);
    ck_assert_int_eq(dst.b, 0);
    ck_assert_int_eq(dst.c, 0);
}
END_TEST

START_TEST(copy_options__newer__only_with_zeros_beyond)
{
    struct version_3 src = {sizeof(src), 1, 2, 3, 0};
    struct version_2 dst, untouched;
    ck_assert_int_eq(copy(&dst, &src), TKP_OK);
    ck_assert_int_eq(dst.c, 3);
    src.d = INT64_MIN; /* the last byte alone */
    memset(&dst, 0xff, sizeof(dst));
    untouched = dst;
    ck_assert_int_eq(copy(&dst, &src), TKP_ERR_OPTION);
    ck_assert_mem_eq(&dst, &untouched, sizeof(dst));
    ck_assert_str_eq(
        tkp_last_message(),
        "options: byte 23 is set, and this library knows 16 of the 24 bytes: "
        "the caller is newer");
}
END_TEST

START_TEST(copy_options__smaller_than_the_first__not_initialised)
{
    struct version_2 src = {0}, dst;
    for (uint32_t size = 0; size < sizeof(struct version_1); size++) {
        src.struct_size = size;
        ck_assert_int_eq(copy(&dst, &src), TKP_ERR_OPTION);
        ck_assert_ptr_nonnull(
            strstr(tkp_last_message(), "not initialised; use the INIT macro"));
    }
}
END_TEST

START_TEST(fill_struct__other_versions__no_further_than_their_size)
{
    const struct version_2 ours = {sizeof(ours), 1, 2, 3};
    struct version_3 newer = {sizeof(newer), 0, 0, 0, 99};
    ck_assert_int_eq(
        tkp__util_fill_struct(
            &newer, &ours, sizeof(ours), sizeof(struct version_1), "report"),
        TKP_OK);
    ck_assert_uint_eq(newer.struct_size, sizeof(newer));
    ck_assert_int_eq(newer.c, 3);
    ck_assert_int_eq(newer.d, 99);
    struct version_2 older = {sizeof(struct version_1), 0, 98, 97};
    ck_assert_int_eq(
        tkp__util_fill_struct(
            &older, &ours, sizeof(ours), sizeof(struct version_1), "report"),
        TKP_OK);
    ck_assert_int_eq(older.a, 1);
    ck_assert_int_eq(older.b, 98);
}
END_TEST

/* --- ledger -------------------------------------------------------------------- */

START_TEST(ledger_book__pieces__aligned_and_apart)
{
    tkp_ledger ledger = TKP__LEDGER_INIT;
    uint64_t a, b, c, d;
    ck_assert_int_eq(tkp__ledger_book(&ledger, 1, &a), TKP_OK);
    ck_assert_int_eq(tkp__ledger_book(&ledger, 64, &b), TKP_OK);
    ck_assert_int_eq(tkp__ledger_book(&ledger, 0, &c), TKP_OK);
    ck_assert_int_eq(tkp_sys_ledger_book(&ledger, 65, &d), TKP_OK);
    ck_assert_int_eq(tkp_sys_ledger_book(&ledger, 1, NULL), TKP_OK);
    ck_assert_uint_eq(a, 0);
    ck_assert_uint_eq(b, 64);
    ck_assert_uint_eq(c, 128);
    ck_assert_uint_eq(d, 128);
    ck_assert_uint_eq(ledger.bytes, 320);
}
END_TEST

START_TEST(ledger_book__sum_does_not_fit__refused_and_unchanged)
{
    static const uint64_t huge[] = {
        UINT64_MAX, UINT64_MAX - 63, UINT64_MAX - 200, (uint64_t)INT64_MAX};
    tkp_ledger ledger = TKP__LEDGER_INIT;
    uint64_t offset = 7;
    ck_assert_int_eq(tkp__ledger_book(&ledger, 64, NULL), TKP_OK);
    for (size_t i = 0; i < sizeof(huge) / sizeof(huge[0]); i++)
        ck_assert_int_eq(
            tkp__ledger_book(&ledger, huge[i], &offset), TKP_ERR_SHAPE);
    ck_assert_uint_eq(offset, 7);
    ck_assert_uint_eq(ledger.bytes, 64);
}
END_TEST

/* --- environment, modules -------------------------------------------------------- */

START_TEST(environment__odd_values__tamed)
{
    static const struct {
        const char *text;
        int32_t verbose;
    } table[] = {{"0", 0},  {"1", 1},   {"2", 2}, {"7", 2},
                 {"-1", 0}, {"yes", 0}, {"", 0},  {"99999999999999", 2}};
    tkp__environment environment;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        setenv("TKP_VERBOSE", table[i].text, 1);
        tkp__core_environment_read(&environment);
        ck_assert_int_eq(environment.verbose, table[i].verbose);
    }
    unsetenv("TKP_VERBOSE");
    setenv("TKP_BACKEND", "", 1);
    unsetenv("TKP_BACKEND_DIR");
    tkp__core_environment_read(&environment);
    unsetenv("TKP_BACKEND");
    ck_assert_ptr_null(environment.backends);
    ck_assert_ptr_null(environment.backend_dir);
}
END_TEST

START_TEST(disabled__long_list__whole_names_only)
{
    char list[2048];
    memset(list, 'x', sizeof(list) - 1);
    list[sizeof(list) - 1] = '\0';
    memcpy(list, "avx512,,amx ,", 13);
    list[1020] = ',';
    memcpy(list + 1021, "abcdef", 6);
    list[1027] = ',';
    setenv("TKP_DISABLE", list, 1);
    tkp__environment environment;
    tkp__core_environment_read(&environment);
    ck_assert(tkp__core_disabled("avx512"));
    ck_assert(tkp__core_disabled("amx"));
    ck_assert(!tkp__core_disabled("ab"));
    ck_assert(!tkp__core_disabled("abcdef"));
    ck_assert(!tkp__core_disabled(""));
    unsetenv("TKP_DISABLE");
    tkp__core_environment_read(&environment);
    ck_assert(!tkp__core_disabled("avx512"));
}
END_TEST

START_TEST(module_dir__beside_the_code__absolute)
{
    char dir[PATH_MAX];
    ck_assert(tkp__core_module_default_dir(dir, sizeof(dir)));
    ck_assert_int_eq(dir[0], '/');
    ck_assert_str_eq(strrchr(dir, '/'), "/tokenprune");
    char small[16];
    ck_assert(!tkp__core_module_default_dir(small, sizeof(small)));
}
END_TEST

/* --- rules ------------------------------------------------------------------------- */

START_TEST(rules__all_kinds__complete)
{
    static const tkp__op_rule *const themes[] = {
        tkp__core_rules_score, tkp__core_rules_select, tkp__core_rules_rows,
        tkp__core_rules_forward};
    int32_t count = 0;
    for (size_t t = 0; t < 4; t++)
        for (const tkp__op_rule *r = themes[t]; r->kind; r++, count++) {
            ck_assert_ptr_eq(tkp__core_op_rule(r->kind), r);
            ck_assert_int_le(r->n_args, TKP_OP_MAX_ARGS);
            ck_assert_uint_le(r->params_size, TKP__MAX_PARAMS_BYTES);
            ck_assert_int_eq(r->params_name != NULL, r->params_size > 0);
            /* Outputs come last, but for inputs that were added since. */
            int32_t last = r->n_args - 1;
            while (r->args[last].flags == TKP__ARG_OPTIONAL)
                last--;
            ck_assert_uint_eq(r->args[last].flags & TKP__ARG_OUT, TKP__ARG_OUT);
        }
    ck_assert_int_ge(count, 28);
}
END_TEST

START_TEST(shape_string__letters_or_sizes__cut_when_long)
{
    tkp_tensor args[3];
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_F32, 640, 4096);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_F32, 4096);
    args[2] = args[0];
    char text[64];
    const tkp__op_rule *norm = tkp__core_op_rule(TKP_OP_RMS_NORM);
    ck_assert_str_eq(
        tkp__core_op_shape_string(text, sizeof(text), norm, args, 3),
        "m640d4096");
    ck_assert_str_eq(
        tkp__core_op_shape_string(text, sizeof(text), NULL, args, 2),
        "s640x4096_4096");
    ck_assert_str_eq(
        tkp__core_op_shape_string(text, 8, norm, args, 3), "m640d40");
    ck_assert_str_eq(tkp__core_op_shape_string(text, 1, norm, args, 3), "");
}
END_TEST

/* --- memory of the context, slices of workspace -------------------------------------- */

static struct {
    int allocs, frees, uploads;
    void *workspace;
} device;

static int32_t device_score(void)
{
    return 90;
}

static const char *device_info(void)
{
    return "memory of its own";
}

static tkp_status device_count(int32_t *count_out)
{
    *count_out = 1;
    return TKP_OK;
}

static tkp_status device_supports(const tkp_op_desc *desc)
{
    return desc->kind == TKP_OP_USER_FIRST ? TKP_OK : TKP_ERR_UNSUPPORTED;
}

static tkp_status device_plan(
    void **plan_out,
    const char **kernel_out,
    tkp_ledger *ledger,
    const tkp_op_desc *desc,
    int32_t threads)
{
    (void)desc;
    (void)threads;
    *plan_out = NULL;
    *kernel_out = "device";
    return tkp_sys_ledger_book(ledger, 100, NULL);
}

static tkp_status device_run(
    const void *plan,
    void *exec_state,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace)
{
    (void)plan;
    (void)exec_state;
    (void)args;
    (void)n_args;
    device.workspace = workspace;
    return TKP_OK;
}

static void device_plan_destroy(void *plan)
{
    ck_assert_ptr_null(plan);
}

static tkp_status device_alloc(void **out, uint64_t bytes, int32_t device_id)
{
    ck_assert_int_eq(device_id, 0);
    *out = tkp_sys_alloc((size_t)bytes);
    device.allocs++;
    return *out ? TKP_OK : TKP_ERR_MEMORY;
}

static void device_free(void *memory, int32_t device_id)
{
    ck_assert_int_eq(device_id, 0);
    tkp_sys_free(memory);
    device.frees++;
}

static tkp_status
device_upload(void *exec_state, void *dst, const void *src, uint64_t bytes)
{
    ck_assert_ptr_null(exec_state);
    memcpy(dst, src, (size_t)bytes);
    device.uploads++;
    return TKP_OK;
}

static const tkp_backend_vtable device_backend = {
    .abi_version = TKP_BACKEND_ABI_VERSION,
    .struct_size = sizeof(tkp_backend_vtable),
    .name = "device",
    .device_type = TKP_DEVICE_CPU,
    .score = device_score,
    .info = device_info,
    .device_count = device_count,
    .supports = device_supports,
    .plan = device_plan,
    .run = device_run,
    .plan_destroy = device_plan_destroy,
    .memory_alloc = device_alloc,
    .memory_free = device_free,
    .memory_upload = device_upload,
};

static tkp_context *context_of(const char *backends)
{
    static int registered;
    if (!registered)
        registered = tkp_backend_register(&device_backend) == TKP_OK;
    unsetenv("TKP_BACKEND");
    tkp_context_options o = TKP_CONTEXT_OPTIONS_INIT;
    o.backends = backends;
    o.backend_dir = "/nonexistent";
    tkp_context *context = NULL;
    ck_assert_int_eq(tkp_context_create(&context, &o), TKP_OK);
    return context;
}

static void use_memory(const char *backends)
{
    tkp_context *context = context_of(backends);
    tkp_exec *exec = NULL;
    ck_assert_int_eq(tkp_exec_create(&exec, context, NULL), TKP_OK);
    void *memory = NULL;
    ck_assert_int_eq(tkp__core_memory_alloc(context, &memory, 6), TKP_OK);
    ck_assert_uint_eq((uintptr_t)memory % 64, 0);
    ck_assert_int_eq(tkp__core_memory_upload(exec, memory, "hello", 6), TKP_OK);
    ck_assert_str_eq(memory, "hello");
    ck_assert_int_eq(tkp__core_memory_upload(exec, NULL, NULL, 0), TKP_OK);
    tkp__core_memory_free(context, memory);
    tkp__core_memory_free(context, NULL);
    ck_assert_int_eq(tkp__core_memory_alloc(context, &memory, 0), TKP_OK);
    tkp__core_memory_free(context, memory);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
}

START_TEST(memory__host_and_device__the_backends_own)
{
    memset(&device, 0, sizeof(device));
    use_memory("ref");
    ck_assert_int_eq(device.allocs, 0);
    use_memory("ref,device");
    ck_assert_int_eq(device.allocs, 2);
    ck_assert_int_eq(device.frees, 2);
    ck_assert_int_eq(device.uploads, 1);
}
END_TEST

START_TEST(op_run__slice_of_workspace__checked_and_handed_on)
{
    static _Alignas(64) unsigned char memory[512];
    tkp_context *context = context_of("device");
    tkp_op_desc desc = TKP_OP_DESC_INIT;
    desc.kind = TKP_OP_USER_FIRST;
    tkp_op *op = NULL;
    ck_assert_int_eq(tkp__core_op_create(&op, context, &desc), TKP_OK);
    tkp_exec *exec = NULL;
    ck_assert_int_eq(tkp__core_exec_create(&exec, context, NULL), TKP_OK);
    ck_assert_uint_eq(tkp__core_op_workspace(op), 128);
    ck_assert_int_eq(
        tkp__core_op_run(op, exec, NULL, 0, memory + 64, 128), TKP_OK);
    ck_assert_ptr_eq(device.workspace, memory + 64);
    ck_assert_int_eq(
        tkp__core_op_run(op, exec, NULL, 0, memory + 64, 127),
        TKP_ERR_WORKSPACE);
    ck_assert_int_eq(
        tkp__core_op_run(op, exec, NULL, 0, memory + 8, 128),
        TKP_ERR_WORKSPACE);
    ck_assert_int_eq(
        tkp__core_op_run(op, exec, NULL, 0, NULL, 128), TKP_ERR_WORKSPACE);
    ck_assert_int_eq(
        tkp__core_exec_set_workspace(exec, memory, sizeof(memory)), TKP_OK);
    ck_assert_int_eq(tkp__core_exec_check_workspace(exec, 512), TKP_OK);
    ck_assert_int_eq(
        tkp__core_exec_check_workspace(exec, 513), TKP_ERR_WORKSPACE);
    ck_assert_str_eq(tkp_last_message(), "workspace: 512 bytes, wanted 513");
    tkp__core_op_destroy(op);
    tkp__core_exec_destroy(exec);
    tkp__core_context_release(context);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("unit/core");

    TCase *structs = tcase_create("structs");
    tcase_add_test(structs, copy_options__same_version__copied);
    tcase_add_test(structs, copy_options__older__rest_is_zero);
    tcase_add_test(structs, copy_options__newer__only_with_zeros_beyond);
    tcase_add_test(
        structs, copy_options__smaller_than_the_first__not_initialised);
    tcase_add_test(
        structs, fill_struct__other_versions__no_further_than_their_size);
    suite_add_tcase(suite, structs);

    TCase *parts = tcase_create("parts");
    tcase_add_test(parts, ledger_book__pieces__aligned_and_apart);
    tcase_add_test(parts, ledger_book__sum_does_not_fit__refused_and_unchanged);
    tcase_add_test(parts, environment__odd_values__tamed);
    tcase_add_test(parts, disabled__long_list__whole_names_only);
    tcase_add_test(parts, module_dir__beside_the_code__absolute);
    tcase_add_test(parts, rules__all_kinds__complete);
    tcase_add_test(parts, shape_string__letters_or_sizes__cut_when_long);
    suite_add_tcase(suite, parts);

    TCase *slices = tcase_create("slices");
    tcase_add_test(slices, memory__host_and_device__the_backends_own);
    tcase_add_test(slices, op_run__slice_of_workspace__checked_and_handed_on);
    suite_add_tcase(suite, slices);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
