/* Custom scorers in Python. */

#include "callbacks.h"

#include <string.h>

#include "tokenprune/sys/base.h"

/* --- exceptions that pass through native code ------------------------------------ */

/* In the thread's dictionary, which all modules of the package share. */
static const char kept_key[] = "tokenprune.exception";

void tkpy_keep_exception(void)
{
    PyObject *type;
    PyObject *value;
    PyObject *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace && value)
        PyException_SetTraceback(value, trace);
    PyObject *dict = PyThreadState_GetDict();
    if (dict && value)
        PyDict_SetItemString(dict, kept_key, value);
    PyErr_Clear();
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
}

void tkpy_fail(tkp_status status)
{
    /* The text dies with this thread's next call into the library. */
    char text[1024];
    snprintf(text, sizeof(text), "%s", tkp_last_message());
    PyObject *dict = PyThreadState_GetDict();
    PyObject *kept = dict ? PyDict_GetItemString(dict, kept_key) : NULL;
    if (!kept) {
        tkpy_raise(status, text);
        return;
    }
    Py_INCREF(kept);
    PyDict_DelItemString(dict, kept_key);
    PyErr_SetObject((PyObject *)Py_TYPE(kept), kept);
    Py_DECREF(kept);
}

/* --- what a scorer is given: copies, so that it may keep them ---------------------- */

static PyObject *new_array(const tkp_tensor *like)
{
    PyObject *module = PyImport_ImportModule("tokenprune._flat");
    PyObject *shape = module ? PyTuple_New(like->ndim) : NULL;
    for (int32_t d = 0; shape && d < like->ndim; d++)
        PyTuple_SET_ITEM(shape, d, PyLong_FromLongLong(like->shape[d]));
    PyObject *out =
        shape ? PyObject_CallMethod(
                    module, "Array", "Os", shape, tkp_dtype_string(like->dtype))
              : NULL;
    Py_XDECREF(shape);
    Py_XDECREF(module);
    return out;
}

static void *address_of(PyObject *array)
{
    PyObject *number = PyObject_GetAttrString(array, "address");
    void *out = number ? PyLong_AsVoidPtr(number) : NULL;
    Py_XDECREF(number);
    return out;
}

/* Row-major copy of a host view, one dimension after the other. */
static char *
copy_view(char *to, const char *from, const tkp_tensor *t, int32_t dim)
{
    const size_t item = tkp_dtype_bytes(t->dtype);
    if (dim == t->ndim) {
        memcpy(to, from, item);
        return to + item;
    }
    if (dim == t->ndim - 1 && t->strides[dim] == 1) {
        const size_t bytes = (size_t)t->shape[dim] * item;
        memcpy(to, from, bytes);
        return to + bytes;
    }
    for (int64_t i = 0; i < t->shape[dim]; i++)
        to = copy_view(
            to, from + i * t->strides[dim] * (int64_t)item, t, dim + 1);
    return to;
}

static PyObject *copy_array(const tkp_tensor *t)
{
    if (t->device_type != TKP_DEVICE_CPU) {
        PyErr_SetString(
            PyExc_NotImplementedError,
            "scorers in Python see inputs on the host only");
        return NULL;
    }
    PyObject *out = new_array(t);
    char *to = out ? address_of(out) : NULL;
    if (to && tkp_tensor_count(t) > 0)
        copy_view(to, (const char *)t->data + t->byte_offset, t, 0);
    return out;
}

static PyObject *copy_i32(const int32_t *list, int64_t n)
{
    tkp_tensor t;
    tkp_tensor_make_1d(&t, (void *)(uintptr_t)list, TKP_DTYPE_I32, n);
    return copy_array(&t);
}

/* Put into a dict and give the reference up. @return -1 on failure */
static int put(PyObject *dict, const char *name, PyObject *value)
{
    if (!value)
        return -1;
    const int rc = PyDict_SetItemString(dict, name, value);
    Py_DECREF(value);
    return rc;
}

static PyObject *describe_batch(const tkp_batch_view *v)
{
    PyObject *out = PyDict_New();
    if (out &&
        (put(out, "sequences", PyLong_FromLong(v->sequences)) ||
         put(out, "rows", PyLong_FromLongLong(v->rows)) ||
         put(out, "candidates", PyLong_FromLongLong(v->candidates)) ||
         put(out, "row_offsets", copy_i32(v->row_offsets, v->sequences + 1)) ||
         put(out, "candidate_offsets",
             copy_i32(v->candidate_offsets, v->sequences + 1)) ||
         put(out, "candidate_rows",
             copy_i32(v->candidate_rows, v->candidates)) ||
         put(out, "candidate_images",
             copy_i32(v->candidate_images, v->candidates)) ||
         put(out, "candidate_cells",
             copy_i32(v->candidate_cells, v->candidates))))
        Py_CLEAR(out);
    return out;
}

static PyObject *describe_inputs(const tkp_inputs *in)
{
    const struct {
        const char *name;
        const tkp_tensor *tensor;
    } fields[] = {
#define FIELD(name) {#name, in->name}
        FIELD(q),           FIELD(k),
        FIELD(lse),         FIELD(hidden),
        FIELD(norm_weight), FIELD(cls_attention),
        FIELD(scores),      FIELD(text),
        FIELD(values),      FIELD(vision),
        FIELD(vision_keys), FIELD(cls_shallow),
        FIELD(clip),        FIELD(clip_text),
        FIELD(clip_tokens), FIELD(embeddings),
        FIELD(attention),   FIELD(attention_rows),
        FIELD(block_table), FIELD(plain_q),
        FIELD(plain_k),     FIELD(vision_values),
#undef FIELD
    };
    PyObject *out = PyDict_New();
    for (size_t i = 0; out && i < sizeof(fields) / sizeof(fields[0]); i++) {
        const tkp_tensor *t = fields[i].tensor;
        if (t && t->dtype != TKP_DTYPE_NONE &&
            put(out, fields[i].name, copy_array(t)) < 0)
            Py_CLEAR(out);
    }
    return out;
}

/* --- the call ------------------------------------------------------------------------ */

/* What the scorer gave, into `scores`. @return -1 with an exception set */
static int take_scores(const tkp_tensor *scores, PyObject *given)
{
    PyObject *pairs = Py_BuildValue("(iO)", FLAT_SCORES, given);
    tkpy_call call;
    if (!pairs)
        return -1;
    if (!tkpy_open(&call, pairs)) {
        Py_DECREF(pairs);
        return -1;
    }
    const int64_t *r = call.words;
    const int64_t n = scores->shape[0];
    int rc = -1;
    if (call.n == 0)
        PyErr_SetString(PyExc_TypeError, "the scorer gave None, wanted scores");
    else if (
        r[2] != TKP_DTYPE_F32 || r[3] != TKP_DEVICE_CPU || r[5] != 1 ||
        r[6] != n)
        PyErr_Format(
            PyExc_ValueError,
            "the scorer gave %lld scores of %s in %lld dimensions, wanted %lld "
            "of f32 in one, on the host",
            (long long)(r[5] > 0 ? r[6] : 1), tkp_dtype_string((int32_t)r[2]),
            (long long)r[5], (long long)n);
    else {
        const float *from = (const float *)(intptr_t)r[1];
        float *to = (float *)((char *)scores->data + scores->byte_offset);
        for (int64_t i = 0; i < n; i++)
            to[i * scores->strides[0]] = from[i * r[6 + TKP_MAX_DIMS]];
        rc = 0;
    }
    tkpy_close(&call);
    Py_DECREF(pairs);
    return rc;
}

static tkp_status run_scorer(
    void *user,
    const tkp_batch_view *view,
    const tkp_inputs *inputs,
    tkp_exec *exec,
    const tkp_tensor *scores)
{
    (void)exec;
    if (scores->device_type != TKP_DEVICE_CPU || scores->ndim != 1) {
        tkp_sys_message_set(
            "custom: a scorer in Python works on the host only");
        return TKP_ERR_UNSUPPORTED;
    }
    const PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *batch = describe_batch(view);
    PyObject *given = batch ? describe_inputs(inputs) : NULL;
    PyObject *out =
        given ? PyObject_CallFunctionObjArgs(user, batch, given, NULL) : NULL;
    const int rc = out ? take_scores(scores, out) : -1;
    Py_XDECREF(out);
    Py_XDECREF(given);
    Py_XDECREF(batch);
    if (rc < 0)
        tkpy_keep_exception();
    PyGILState_Release(gil);
    if (rc == 0)
        return TKP_OK;
    tkp_sys_message_set("custom: the scorer in Python raised an exception");
    return TKP_ERR_CANCELLED;
}

static void release_scorer(void *user)
{
    if (!Py_IsInitialized())
        return; /* the process ends, and the object is gone */
    const PyGILState_STATE gil = PyGILState_Ensure();
    Py_DECREF((PyObject *)user);
    PyGILState_Release(gil);
}

tkp_status tkpy_scorer_register(const char *name, PyObject *call, int64_t needs)
{
    const tkp_scorer_vtable table = {
        .struct_size = (uint32_t)sizeof(table),
        .needs = (uint32_t)needs,
        .run = run_scorer,
        .release = release_scorer};
    Py_INCREF(call);
    const tkp_status status = tkp_scorer_register(name, &table, call);
    if (status != TKP_OK)
        Py_DECREF(call);
    return status;
}

tkp_status tkpy_scorer_unregister(const char *name)
{
    return tkp_scorer_unregister(name);
}
