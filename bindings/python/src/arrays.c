/* Arrays taken in: buffer protocol and DLPack to records. */

#include "arrays.h"

#include <string.h>

#include "tokenprune/sys/base.h"

static __thread int64_t wanted_stream;

void tkpy_set_stream(int64_t stream)
{
    wanted_stream = stream;
}

PyObject *tkpy_raise(tkp_status status, const char *text)
{
    PyObject *module = PyImport_ImportModule("tokenprune._errors");
    if (!module)
        return NULL;
    PyObject *error =
        PyObject_CallMethod(module, "error_of", "is", (int)status, text);
    Py_DECREF(module);
    if (error) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

static const char *name_of(long slot)
{
    const char *name = slot >= 0 && slot <= FLAT_WORKSPACE
                           ? flat_slot_name((int32_t)slot)
                           : NULL;
    return name ? name : "array";
}

static int refuse(tkp_status status, long slot, const char *what)
{
    char text[300];
    snprintf(text, sizeof(text), "%s: %s", name_of(slot), what);
    tkpy_raise(status, text);
    return 0;
}

/* --- buffers ------------------------------------------------------------------ */

static int32_t dtype_of_format(const char *format, Py_ssize_t item)
{
    if (!format)
        return TKP_DTYPE_U8;
    const uint16_t one = 1;
    uint8_t little;
    memcpy(&little, &one, 1);
    if (*format == '@' || *format == '=' || (*format == '<' && little) ||
        ((*format == '>' || *format == '!') && !little))
        format++;
    if (!format[0] || format[1])
        return TKP_DTYPE_NONE;
    switch (format[0]) {
    case 'f':
        return TKP_DTYPE_F32;
    case 'e':
        return TKP_DTYPE_F16;
    case 'B':
    case '?':
        return TKP_DTYPE_U8;
    case 'i':
    case 'l':
    case 'q':
    case 'n':
        return item == 4   ? TKP_DTYPE_I32
               : item == 8 ? TKP_DTYPE_I64
                           : TKP_DTYPE_NONE;
    default:
        return TKP_DTYPE_NONE;
    }
}

static int record_of_buffer(int64_t *r, const Py_buffer *b, long slot)
{
    char text[200];
    const int32_t dtype = dtype_of_format(b->format, b->itemsize);
    if (dtype == TKP_DTYPE_NONE) {
        snprintf(
            text, sizeof(text),
            "elements are of format '%.20s', wanted f32, f16, bf16, i32, i64 or "
            "u8 in native byte order; convert the array first",
            b->format ? b->format : "B");
        return refuse(TKP_ERR_DTYPE, slot, text);
    }
    if (b->ndim > TKP_MAX_DIMS) {
        snprintf(
            text, sizeof(text), "has %d dimensions, wanted at most %d", b->ndim,
            TKP_MAX_DIMS);
        return refuse(TKP_ERR_SHAPE, slot, text);
    }
    r[1] = (int64_t)(intptr_t)b->buf;
    r[2] = dtype;
    r[3] = TKP_DEVICE_CPU;
    r[4] = 0;
    r[5] = b->ndim;
    for (int d = 0; d < b->ndim; d++) {
        if (b->strides[d] % b->itemsize)
            return refuse(
                TKP_ERR_SHAPE, slot,
                "strides are no whole elements; copy the array first");
        r[6 + d] = b->shape[d];
        r[6 + TKP_MAX_DIMS + d] = b->strides[d] / b->itemsize;
    }
    return 1;
}

/* --- DLPack -------------------------------------------------------------------- */

static int32_t dtype_of_dl(const tkpy_dl_tensor *t)
{
    if (t->lanes != 1)
        return TKP_DTYPE_NONE;
    switch (t->code * 256 + t->bits) {
    case TKPY_DL_FLOAT * 256 + 32:
        return TKP_DTYPE_F32;
    case TKPY_DL_FLOAT * 256 + 16:
        return TKP_DTYPE_F16;
    case TKPY_DL_BFLOAT * 256 + 16:
        return TKP_DTYPE_BF16;
    case TKPY_DL_INT * 256 + 32:
        return TKP_DTYPE_I32;
    case TKPY_DL_INT * 256 + 64:
        return TKP_DTYPE_I64;
    case TKPY_DL_UINT * 256 + 8:
    case TKPY_DL_BOOL * 256 + 8:
        return TKP_DTYPE_U8;
    default:
        return TKP_DTYPE_NONE;
    }
}

static int record_of_dl(int64_t *r, const tkpy_dl_tensor *t, long slot)
{
    enum { DL_CUDA_HOST = 3, DL_CUDA_MANAGED = 13 };
    char text[200];
    const int32_t dtype = dtype_of_dl(t);
    if (dtype == TKP_DTYPE_NONE) {
        snprintf(
            text, sizeof(text),
            "elements are of DLPack type %d with %d bits, wanted f32, f16, "
            "bf16, i32, i64 or u8; convert the array first",
            t->code, t->bits);
        return refuse(TKP_ERR_DTYPE, slot, text);
    }
    if (t->ndim < 0 || t->ndim > TKP_MAX_DIMS) {
        snprintf(
            text, sizeof(text), "has %d dimensions, wanted at most %d", t->ndim,
            TKP_MAX_DIMS);
        return refuse(TKP_ERR_SHAPE, slot, text);
    }
    r[1] = (int64_t)((intptr_t)t->data + (intptr_t)t->byte_offset);
    r[2] = dtype;
    r[3] = t->device_type == DL_CUDA_HOST      ? TKP_DEVICE_CPU
           : t->device_type == DL_CUDA_MANAGED ? TKP_DEVICE_CUDA
                                               : t->device_type;
    r[4] = t->device_type == DL_CUDA_HOST ? 0 : t->device_id;
    r[5] = t->ndim;
    int64_t step = 1;
    for (int32_t d = t->ndim - 1; d >= 0; d--) {
        r[6 + d] = t->shape[d];
        r[6 + TKP_MAX_DIMS + d] = t->strides ? t->strides[d] : step;
        step *= t->shape[d];
    }
    return 1;
}

/* Ask for a capsule: with a version, or as older producers want it, without. */
static PyObject *capsule_of(PyObject *array, int64_t device_type)
{
    static PyObject *method, *version, *name;
    if (!method) {
        method = PyUnicode_InternFromString("__dlpack__");
        name = PyUnicode_InternFromString("max_version");
        version = Py_BuildValue("(ii)", 1, 0);
    }
    PyObject *call = PyObject_GetAttr(array, method);
    PyObject *words = call ? PyDict_New() : NULL;
    PyObject *out = NULL;
    if (words && device_type == TKP_DEVICE_CUDA) {
        /* 1 is what DLPack calls CUDA's default stream. */
        PyObject *stream =
            PyLong_FromLongLong(wanted_stream ? wanted_stream : 1);
        if (!stream || PyDict_SetItemString(words, "stream", stream) < 0)
            Py_CLEAR(words);
        Py_XDECREF(stream);
    }
    if (words && PyDict_SetItem(words, name, version) == 0) {
        PyObject *none = PyTuple_New(0);
        out = none ? PyObject_Call(call, none, words) : NULL;
        if (none && !out && PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            if (PyDict_DelItem(words, name) == 0)
                out = PyObject_Call(call, none, words);
        }
        Py_XDECREF(none);
    }
    Py_XDECREF(words);
    Py_XDECREF(call);
    return out;
}

/* The table of functions of an object's type; NULL = it has none. */
static const tkpy_dl_exchange *exchange_of(PyObject *array)
{
    /* Of the type that was asked last; kept alive, so that it stays that one. */
    static PyTypeObject *last_type;
    static const tkpy_dl_exchange *last;
    PyTypeObject *type = Py_TYPE(array);
    if (type == last_type)
        return last;
    const tkpy_dl_exchange *table = NULL;
    PyObject *capsule =
        PyObject_GetAttrString((PyObject *)type, "__dlpack_c_exchange_api__");
    if (capsule && PyCapsule_IsValid(capsule, "dlpack_exchange_api"))
        table = PyCapsule_GetPointer(capsule, "dlpack_exchange_api");
    PyErr_Clear();
    Py_XDECREF(capsule);
    if (table && (table->major != 1 || !table->tensor_from_py_object))
        table = NULL;
    PyTypeObject *before = last_type;
    Py_INCREF(type);
    last_type = type;
    last = table;
    Py_XDECREF(before);
    return table;
}

/*
 * By that table: the tensor is the object's own as long as the object lives.
 * @return 0 = not this way; nothing is set
 */
static int exchange(int64_t *r, PyObject *array, long slot)
{
    const tkpy_dl_exchange *table = exchange_of(array);
    tkpy_dl_tensor t;
    void *stream = NULL;
    if (!table || table->tensor_from_py_object(array, &t) != 0) {
        PyErr_Clear();
        return 0;
    }
    /* Nobody waits for the producer's stream here: it has to be ours. */
    const int same =
        t.device_type == TKP_DEVICE_CPU ||
        (table->current_stream &&
         table->current_stream(t.device_type, t.device_id, &stream) == 0 &&
         (int64_t)(intptr_t)stream == wanted_stream);
    if (same && record_of_dl(r, &t, slot))
        return 1;
    PyErr_Clear();
    return 0;
}

static int
take_dlpack(tkpy_call *c, int64_t *r, PyObject *array, long slot, int writable)
{
    int device = TKP_DEVICE_CPU;
    int number = 0;
    PyObject *where = PyObject_CallMethod(array, "__dlpack_device__", NULL);
    if (!where)
        return 0;
    const int known = PyArg_ParseTuple(where, "ii", &device, &number);
    Py_DECREF(where);
    if (!known)
        return 0;
    PyObject *capsule = capsule_of(array, device);
    if (!capsule)
        return 0;
    /* The capsule is kept, not emptied: its own destructor gives it back. */
    c->capsules[c->n_capsules++] = capsule;
    if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
        const tkpy_dl_versioned *m =
            PyCapsule_GetPointer(capsule, "dltensor_versioned");
        if (m->major > 1)
            return refuse(
                TKP_ERR_VERSION, slot, "comes by a DLPack newer than 1");
        if (writable && (m->flags & 1))
            return refuse(
                TKP_ERR_ARGUMENT, slot,
                "is read-only, wanted one to be written");
        return record_of_dl(r, &m->tensor, slot);
    }
    if (PyCapsule_IsValid(capsule, "dltensor")) {
        const tkpy_dl_managed *m = PyCapsule_GetPointer(capsule, "dltensor");
        return record_of_dl(r, &m->tensor, slot);
    }
    return refuse(
        TKP_ERR_ARGUMENT, slot, "__dlpack__ gave no capsule of a tensor");
}

/* --- calls ---------------------------------------------------------------------- */

/*
 * After a refused buffer, whose exception is set: bf16 has no format there, but
 * DLPack has it. What is only read-only stays refused.
 * @return 1 with no exception left
 */
static int may_take_dlpack(PyObject *array, Py_buffer *b, int writable)
{
    PyObject *type;
    PyObject *value;
    PyObject *trace;
    PyErr_Fetch(&type, &value, &trace);
    int may = PyObject_HasAttrString(array, "__dlpack__");
    if (may && writable) {
        if (PyObject_GetBuffer(array, b, PyBUF_FORMAT | PyBUF_STRIDES) == 0) {
            PyBuffer_Release(b);
            may = 0;
        }
        PyErr_Clear();
    }
    if (!may) {
        PyErr_Restore(type, value, trace);
        return 0;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return 1;
}

static int take(tkpy_call *c, long slot, PyObject *array)
{
    int64_t *r = c->words + c->n;
    const int writable = slot >= FLAT_OUT_SCORES && slot < FLAT_KEPT;
    memset(r, 0, FLAT_RECORD * sizeof(*r));
    r[0] = slot;
    if (PyObject_CheckBuffer(array)) {
        Py_buffer *b = &c->buffers[c->n_buffers];
        if (PyObject_GetBuffer(
                array, b,
                PyBUF_FORMAT | PyBUF_STRIDES |
                    (writable ? PyBUF_WRITABLE : 0)) == 0) {
            c->n_buffers++;
            if (!record_of_buffer(r, b, slot))
                return 0;
            c->n += FLAT_RECORD;
            return 1;
        }
        if (!may_take_dlpack(array, b, writable))
            return 0;
    } else if (
        !exchange_of(array) && !PyObject_HasAttrString(array, "__dlpack__")) {
        char text[200];
        snprintf(
            text, sizeof(text),
            "is a %.80s, wanted an array (buffer protocol or DLPack)",
            Py_TYPE(array)->tp_name);
        return refuse(TKP_ERR_ARGUMENT, slot, text);
    }
    if (!exchange(r, array, slot) && !take_dlpack(c, r, array, slot, writable))
        return 0;
    c->n += FLAT_RECORD;
    return 1;
}

int tkpy_open(tkpy_call *call, PyObject *pairs)
{
    call->n = 0;
    call->n_buffers = call->n_capsules = 0;
    const Py_ssize_t n = PyTuple_Check(pairs) ? PyTuple_GET_SIZE(pairs) : -1;
    if (n < 0 || n % 2 || n / 2 > FLAT_MAX_TENSORS) {
        tkpy_raise(
            TKP_ERR_ARGUMENT, "arrays: wanted a tuple (slot, array, ...)");
        return 0;
    }
    for (Py_ssize_t i = 0; i < n; i += 2) {
        PyObject *array = PyTuple_GET_ITEM(pairs, i + 1);
        if (array == Py_None)
            continue;
        const long slot = PyLong_AsLong(PyTuple_GET_ITEM(pairs, i));
        if ((slot == -1 && PyErr_Occurred()) || !take(call, slot, array)) {
            tkpy_close(call);
            return 0;
        }
    }
    return 1;
}

void tkpy_close(tkpy_call *call)
{
    PyObject *type;
    PyObject *value;
    PyObject *trace;
    if (call->n_buffers == 0 && call->n_capsules == 0)
        return;
    PyErr_Fetch(&type, &value, &trace); /* destructors may run Python */
    for (int32_t i = 0; i < call->n_buffers; i++)
        PyBuffer_Release(&call->buffers[i]);
    for (int32_t i = 0; i < call->n_capsules; i++)
        Py_DECREF(call->capsules[i]);
    call->n_buffers = call->n_capsules = 0;
    PyErr_Restore(type, value, trace);
}

PyObject *tkpy_describe(const int64_t *tensors, int64_t n_tensors)
{
    if (n_tensors != FLAT_RECORD)
        return tkpy_raise(TKP_ERR_ARGUMENT, "array: is None, wanted one");
    const int64_t *r = tensors;
    PyObject *shape = PyTuple_New((Py_ssize_t)r[5]);
    PyObject *strides = PyTuple_New((Py_ssize_t)r[5]);
    for (int64_t d = 0; shape && strides && d < r[5]; d++) {
        PyTuple_SET_ITEM(shape, d, PyLong_FromLongLong(r[6 + d]));
        PyTuple_SET_ITEM(
            strides, d, PyLong_FromLongLong(r[6 + TKP_MAX_DIMS + d]));
    }
    return Py_BuildValue(
        "(siiNNL)", tkp_dtype_string((int32_t)r[2]), (int)r[3], (int)r[4],
        shape, strides, (long long)r[1]);
}

int tkpy_text(const char **out, size_t *bytes_out, PyObject *argument)
{
    Py_ssize_t bytes = 0;
    *out = NULL;
    if (PyUnicode_Check(argument)) {
        *out = PyUnicode_AsUTF8AndSize(argument, &bytes);
        if (!*out)
            return 0;
    } else if (PyBytes_Check(argument)) {
        *out = PyBytes_AS_STRING(argument);
        bytes = PyBytes_GET_SIZE(argument);
    } else if (argument != Py_None) {
        PyErr_Format(
            PyExc_TypeError, "met a %.80s, wanted a str",
            Py_TYPE(argument)->tp_name);
        return 0;
    }
    if (bytes_out)
        *bytes_out = (size_t)bytes;
    else if (*out && strlen(*out) != (size_t)bytes) {
        PyErr_SetString(PyExc_ValueError, "embedded null byte");
        return 0;
    }
    return 1;
}
