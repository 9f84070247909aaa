#include "features/static.h"

#include "tokenprune/sys/op.h"

enum {
    AT_STARTS, /* later: 0, 1, 2 ... */
    AT_HEAD,
    AT_NUMBER,
    AT_LIST,
    AT_GROUPS, /* [N + 1] */
    AT_ENDS,   /* [N + 1] rows of each head */
    AT_ROWS,
    AT_MEANS
};

static tkp_status plan_ops(tkp__static *s, float threshold, uint64_t *ops_bytes)
{
    const tkp__features *f = s->features;
    const tkp_layout *layout = f->batch->layout;
    const int64_t n = layout->visual;
    const int64_t frames = tkp__layout_units(layout, TKP_SCOPE_FRAME);
    const tkp_op_temporal starts = {
        .struct_size = sizeof(starts),
        .threshold = threshold,
    };
    const tkp_op_static_windows windows = {.struct_size = sizeof(windows)};
    const tkp_op_group_pool mean = {
        .struct_size = sizeof(mean),
        .pool = TKP_POOL_AVERAGE,
    };
    tkp_tensor args[6] = {0};
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__core_op_make(
        &s->starts, f->context, TKP_OP_TEMPORAL, args, 4, &starts, ops_bytes));
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n + 1);
    args[3] = (tkp_tensor){0};
    tkp_tensor_make_2d(&args[4], NULL, TKP_DTYPE_F32, n, f->width);
    TKP__TRY(tkp__core_op_make(
        &s->pool, f->context, TKP_OP_GROUP_POOL, args, 5, &mean, ops_bytes));
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, frames + 1);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, layout->n_images + 1);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, frames);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n);
    return tkp__core_op_make(
        &s->windows, f->context, TKP_OP_STATIC_WINDOWS, args, 6, &windows,
        ops_bytes);
}

tkp_status tkp__static_plan(
    tkp__static *s,
    const tkp__features *f,
    float threshold,
    tkp_ledger *ledger,
    uint64_t *ops_bytes)
{
    const tkp_layout *layout = f->batch->layout;
    const uint64_t n = (uint64_t)layout->visual;
    *s = (tkp__static){.features = f};
    TKP__TRY(tkp__frames_plan(&s->in, layout));
    s->before = tkp__alloc(
        (size_t)n + (size_t)tkp__layout_frame_cells(layout), sizeof(int32_t));
    if (!s->before)
        return TKP_ERR_MEMORY;
    s->latest = s->before + n;
    for (int32_t i = AT_STARTS; i < AT_MEANS; i++)
        TKP__TRY(
            tkp__ledger_book(ledger, 2 * (n + 1) * sizeof(int32_t), &s->at[i]));
    TKP__TRY(tkp__ledger_book(
        ledger, n * (uint64_t)f->width * sizeof(float), &s->at[AT_MEANS]));
    return plan_ops(s, threshold, ops_bytes);
}

void tkp__static_release(tkp__static *s)
{
    tkp__core_op_destroy(s->starts);
    tkp__core_op_destroy(s->windows);
    tkp__core_op_destroy(s->pool);
    tkp__frames_release(&s->in);
    tkp__free(s->before);
    *s = (tkp__static){0};
}

void tkp__static_bind(tkp__static *s)
{
    const tkp__batch *batch = s->features->batch;
    tkp__frames_bind(&s->in, batch);
    tkp__batch_before(batch, s->before, s->latest);
}

static tkp_status find_windows(
    const tkp__static *s,
    tkp_exec *exec,
    const tkp_tensor *x,
    const tkp_tensor *rows,
    void *workspace,
    void *ops_workspace,
    uint64_t ops_bytes,
    tkp__static_found *out)
{
    const int64_t n = s->features->batch->candidates;
    int32_t *head = tkp__ledger_at(workspace, s->at[AT_HEAD]);
    tkp_tensor args[6] = {[0] = *x, [1] = *rows};
    tkp_tensor_make_1d(&args[2], s->before, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(
        &args[3], tkp__ledger_at(workspace, s->at[AT_STARTS]), TKP_DTYPE_F32,
        n);
    TKP__TRY(
        tkp__core_op_run(s->starts, exec, args, 4, ops_workspace, ops_bytes));
    args[0] = args[3];
    args[1] = args[2];
    tkp_tensor_make_1d(
        &args[2], s->in.frame_ends, TKP_DTYPE_I32, s->in.frames + 1);
    tkp_tensor_make_1d(
        &args[3], s->in.video_ends, TKP_DTYPE_I32, s->in.videos + 1);
    tkp_tensor_make_1d(&args[4], head + n, TKP_DTYPE_I32, s->in.frames);
    tkp_tensor_make_1d(&args[5], head, TKP_DTYPE_I32, n);
    out->head = head;
    out->window = head + n;
    return tkp__core_op_run(
        s->windows, exec, args, 6, ops_workspace, ops_bytes);
}

/* Heads in order, and the rows of x that each stands for. */
static void list_heads(
    const tkp__static *s,
    const int32_t *rows,
    void *workspace,
    tkp__static_found *out)
{
    const int32_t n = (int32_t)s->features->batch->candidates;
    int32_t *number = tkp__ledger_at(workspace, s->at[AT_NUMBER]);
    int32_t *list = tkp__ledger_at(workspace, s->at[AT_LIST]);
    int32_t *groups = tkp__ledger_at(workspace, s->at[AT_GROUPS]);
    int32_t *ends = tkp__ledger_at(workspace, s->at[AT_ENDS]);
    int32_t *members = tkp__ledger_at(workspace, s->at[AT_ROWS]);
    int32_t last = -1;
    out->heads = out->groups = 0;
    for (int32_t i = 0; i < n; i++) {
        number[i] = -1;
        if (out->head[i] != i)
            continue;
        const int32_t window = out->window[s->in.frame_of[i]];
        if (window != last)
            groups[out->groups++] = out->heads;
        last = window;
        number[i] = out->heads;
        list[out->heads++] = i;
    }
    groups[out->groups] = out->heads;
    for (int32_t h = 0; h <= out->heads; h++)
        ends[h] = 0;
    for (int32_t i = 0; i < n; i++)
        if (out->head[i] >= 0)
            ends[number[out->head[i]] + 1]++;
    for (int32_t h = 0; h < out->heads; h++)
        ends[h + 1] += ends[h];
    int32_t *next = members + n; /* where each head's next row goes */
    memcpy(next, ends, (size_t)out->heads * sizeof(*next));
    for (int32_t i = 0; i < n; i++)
        if (out->head[i] >= 0)
            members[next[number[out->head[i]]]++] = rows[i];
    out->number = number;
    out->list = list;
    out->group_end = groups;
}

tkp_status tkp__static_run(
    const tkp__static *s,
    tkp_exec *exec,
    const tkp_tensor *x,
    const tkp_tensor *rows,
    void *workspace,
    void *ops_workspace,
    uint64_t ops_bytes,
    tkp__static_found *out)
{
    TKP__TRY(find_windows(
        s, exec, x, rows, workspace, ops_workspace, ops_bytes, out));
    list_heads(s, tkp__data(rows), workspace, out);
    int32_t *order = tkp__ledger_at(workspace, s->at[AT_STARTS]);
    int32_t *ends = tkp__ledger_at(workspace, s->at[AT_ENDS]);
    for (int32_t h = 0; h < out->heads; h++)
        order[h] = h;
    tkp_tensor_make_1d(&out->order, order, TKP_DTYPE_I32, out->heads);
    tkp_tensor_make_2d(
        &out->means, tkp__ledger_at(workspace, s->at[AT_MEANS]), TKP_DTYPE_F32,
        out->heads, s->features->width);
    if (out->heads == 0)
        return TKP_OK;
    tkp_tensor args[5] = {[0] = *x, [4] = out->means};
    tkp_tensor_make_1d(&args[1], ends, TKP_DTYPE_I32, out->heads + 1);
    tkp_tensor_make_1d(
        &args[2], tkp__ledger_at(workspace, s->at[AT_ROWS]), TKP_DTYPE_I32,
        ends[out->heads]);
    return tkp__core_op_run(s->pool, exec, args, 5, ops_workspace, ops_bytes);
}
