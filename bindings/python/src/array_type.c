/*
 * tokenprune.Array: memory of this package's own, given to other libraries by
 * the buffer protocol and by DLPack. It is freed with the last of its users.
 */

#include <string.h>

#include "arrays.h"
#include "tokenprune/sys/base.h"

typedef struct array_object {
    PyObject_HEAD void *data;
    int32_t dtype;
    int ndim;
    Py_ssize_t bytes;
    Py_ssize_t shape[TKP_MAX_DIMS];
    Py_ssize_t strides[TKP_MAX_DIMS]; /* bytes */
} array_object;

static const char *format_of(int32_t dtype)
{
    switch (dtype) {
    case TKP_DTYPE_F32:
        return "f";
    case TKP_DTYPE_F16:
        return "e";
    case TKP_DTYPE_I32:
        return "i";
    case TKP_DTYPE_I64:
        return "q";
    case TKP_DTYPE_U8:
        return "B";
    default:
        return NULL;
    }
}

static int32_t dtype_of_name(const char *name)
{
    for (int32_t d = TKP_DTYPE_F32; d <= TKP_DTYPE_U8; d++)
        if (strcmp(name, tkp_dtype_string(d)) == 0)
            return d;
    return TKP_DTYPE_NONE;
}

/* --- life ----------------------------------------------------------------------- */

static int read_shape(int64_t *out, PyObject *shape)
{
    if (PyLong_Check(shape)) {
        out[0] = PyLong_AsLongLong(shape);
        return out[0] == -1 && PyErr_Occurred() ? -1 : 1;
    }
    PyObject *list = PySequence_Fast(shape, "shape: wanted sizes");
    if (!list)
        return -1;
    Py_ssize_t n = PySequence_Fast_GET_SIZE(list);
    if (n > TKP_MAX_DIMS) {
        PyErr_Format(
            PyExc_ValueError, "shape: has %zd dimensions, wanted at most %d", n,
            TKP_MAX_DIMS);
        n = -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        out[i] = PyLong_AsLongLong(PySequence_Fast_GET_ITEM(list, i));
        if (out[i] == -1 && PyErr_Occurred())
            n = -1;
    }
    Py_DECREF(list);
    return (int)n;
}

static PyObject *array_new(PyTypeObject *type, PyObject *args, PyObject *words)
{
    static char *names[] = {"shape", "dtype", NULL};
    PyObject *shape;
    const char *dtype = "f32";
    int64_t sizes[TKP_MAX_DIMS];
    if (!PyArg_ParseTupleAndKeywords(args, words, "O|s", names, &shape, &dtype))
        return NULL;
    const int32_t code = dtype_of_name(dtype);
    if (code == TKP_DTYPE_NONE)
        return PyErr_Format(
            PyExc_ValueError,
            "dtype: is '%s', wanted f32, f16, bf16, i32, i64 or u8", dtype);
    const int ndim = read_shape(sizes, shape);
    if (ndim < 0)
        return NULL;
    tkp_tensor view;
    tkp_tensor_make(&view, NULL, code, ndim, sizes);
    const int64_t count = tkp_tensor_count(&view);
    const int64_t item = (int64_t)tkp_dtype_bytes(code);
    if (count < 0 || count > PY_SSIZE_T_MAX / item)
        return PyErr_Format(
            PyExc_ValueError, "shape: sizes are negative or too large");
    array_object *self = (array_object *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->bytes = (Py_ssize_t)(count * item);
    self->data = tkp_sys_alloc((size_t)self->bytes);
    if (!self->data) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    memset(self->data, 0, (size_t)self->bytes);
    self->dtype = code;
    self->ndim = ndim;
    for (int d = 0; d < ndim; d++) {
        self->shape[d] = (Py_ssize_t)sizes[d];
        self->strides[d] = (Py_ssize_t)(view.strides[d] * item);
    }
    return (PyObject *)self;
}

static void array_dealloc(array_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    tkp_sys_free(self->data);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* --- buffer protocol -------------------------------------------------------------- */

static int array_getbuffer(array_object *self, Py_buffer *view, int flags)
{
    const char *format = format_of(self->dtype);
    if (!format) {
        view->obj = NULL;
        PyErr_SetString(
            PyExc_BufferError,
            "bf16 has no buffer format; use DLPack, as torch.from_dlpack does");
        return -1;
    }
    Py_INCREF(self);
    view->obj = (PyObject *)self;
    view->buf = self->data;
    view->len = self->bytes;
    view->itemsize = (Py_ssize_t)tkp_dtype_bytes(self->dtype);
    view->readonly = 0;
    view->ndim = self->ndim;
    view->format = flags & PyBUF_FORMAT ? (char *)(uintptr_t)format : NULL;
    view->shape = flags & PyBUF_ND ? self->shape : NULL;
    view->strides =
        (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? self->strides : NULL;
    view->suboffsets = NULL;
    view->internal = NULL;
    return 0;
}

/* --- DLPack ------------------------------------------------------------------------ */

/* A capsule's tensor with room for its sizes. */
typedef struct exported {
    union {
        tkpy_dl_managed plain;
        tkpy_dl_versioned versioned;
    } tensor;
    int64_t shape[TKP_MAX_DIMS], strides[TKP_MAX_DIMS];
} exported;

static void give_back(void *owner, void *memory)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    Py_DECREF((PyObject *)owner);
    PyGILState_Release(gil);
    tkp_sys_free(memory);
}

static void delete_plain(tkpy_dl_managed *self)
{
    give_back(self->owner, self);
}

static void delete_versioned(tkpy_dl_versioned *self)
{
    give_back(self->owner, self);
}

/* Capsules that nobody took. */
static void drop_plain(PyObject *capsule)
{
    if (PyCapsule_IsValid(capsule, "dltensor")) {
        tkpy_dl_managed *m = PyCapsule_GetPointer(capsule, "dltensor");
        m->deleter(m);
    }
}

static void drop_versioned(PyObject *capsule)
{
    if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
        tkpy_dl_versioned *m =
            PyCapsule_GetPointer(capsule, "dltensor_versioned");
        m->deleter(m);
    }
}

static void fill_dl(tkpy_dl_tensor *t, exported *e, const array_object *self)
{
    const int32_t d = self->dtype;
    const int64_t item = (int64_t)tkp_dtype_bytes(d);
    memset(t, 0, sizeof(*t));
    t->data = self->data;
    t->device_type = TKP_DEVICE_CPU;
    t->ndim = self->ndim;
    t->code = d == TKP_DTYPE_BF16                        ? TKPY_DL_BFLOAT
              : d == TKP_DTYPE_F32 || d == TKP_DTYPE_F16 ? TKPY_DL_FLOAT
              : d == TKP_DTYPE_U8                        ? TKPY_DL_UINT
                                                         : TKPY_DL_INT;
    t->bits = (uint8_t)(8 * item);
    t->lanes = 1;
    for (int i = 0; i < self->ndim; i++) {
        e->shape[i] = self->shape[i];
        e->strides[i] = self->strides[i] / item;
    }
    t->shape = e->shape;
    t->strides = e->strides;
}

static PyObject *
array_dlpack(array_object *self, PyObject *args, PyObject *words)
{
    static char *names[] = {"stream", "max_version", "dl_device", "copy", NULL};
    PyObject *stream = Py_None;
    PyObject *version = Py_None;
    PyObject *device = Py_None;
    PyObject *copy = Py_None;
    if (!PyArg_ParseTupleAndKeywords(
            args, words, "|$OOOO", names, &stream, &version, &device, &copy))
        return NULL;
    int type = TKP_DEVICE_CPU;
    int number = 0;
    if (device != Py_None && !PyArg_ParseTuple(device, "ii", &type, &number))
        return NULL;
    if (stream != Py_None || type != TKP_DEVICE_CPU || copy == Py_True) {
        PyErr_SetString(
            PyExc_BufferError,
            "an Array lies on the host and is given without a copy");
        return NULL;
    }
    int major = 0;
    int minor = 0;
    if (version != Py_None && !PyArg_ParseTuple(version, "ii", &major, &minor))
        return NULL;
    exported *e = tkp_sys_alloc(sizeof(*e));
    if (!e)
        return PyErr_NoMemory();
    memset(e, 0, sizeof(*e));
    PyObject *capsule;
    if (major >= 1) {
        e->tensor.versioned.major = 1;
        e->tensor.versioned.owner = self;
        e->tensor.versioned.deleter = delete_versioned;
        fill_dl(&e->tensor.versioned.tensor, e, self);
        capsule = PyCapsule_New(e, "dltensor_versioned", drop_versioned);
    } else {
        e->tensor.plain.owner = self;
        e->tensor.plain.deleter = delete_plain;
        fill_dl(&e->tensor.plain.tensor, e, self);
        capsule = PyCapsule_New(e, "dltensor", drop_plain);
    }
    if (!capsule)
        tkp_sys_free(e);
    else
        Py_INCREF(self);
    return capsule;
}

static PyObject *array_dlpack_device(array_object *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return Py_BuildValue("(ii)", TKP_DEVICE_CPU, 0);
}

/* --- looking at it ------------------------------------------------------------------ */

static PyObject *array_shape(array_object *self, void *unused)
{
    (void)unused;
    PyObject *out = PyTuple_New(self->ndim);
    for (int d = 0; out && d < self->ndim; d++)
        PyTuple_SET_ITEM(out, d, PyLong_FromSsize_t(self->shape[d]));
    return out;
}

static float float_of_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t exponent = (half >> 10) & 31;
    const uint32_t fraction = half & 1023;
    uint32_t bits;
    float out;
    if (exponent == 0) { /* zero and the numbers below the smallest normal */
        out = (float)fraction / 16777216.0f;
        return sign ? -out : out;
    }
    bits = sign | (fraction << 13) |
           (exponent == 31 ? 255u : exponent + 112u) << 23;
    memcpy(&out, &bits, sizeof(out));
    return out;
}

/* A memoryview that Python can read: of f16 and bf16 one of a copy in f32. */
static PyObject *readable_view(array_object *self)
{
    if (self->dtype != TKP_DTYPE_F16 && self->dtype != TKP_DTYPE_BF16)
        return PyMemoryView_FromObject((PyObject *)self);
    PyObject *shape = array_shape(self, NULL);
    PyObject *copy = shape ? PyObject_CallFunction(
                                 (PyObject *)Py_TYPE(self), "Os", shape, "f32")
                           : NULL;
    Py_XDECREF(shape);
    if (!copy)
        return NULL;
    const uint16_t *from = self->data;
    float *to = ((array_object *)copy)->data;
    for (Py_ssize_t i = 0; i < self->bytes / 2; i++) {
        const uint32_t bits = (uint32_t)from[i] << 16;
        if (self->dtype == TKP_DTYPE_F16)
            to[i] = float_of_half(from[i]);
        else
            memcpy(&to[i], &bits, sizeof(bits));
    }
    PyObject *view = PyMemoryView_FromObject(copy);
    Py_DECREF(copy);
    return view;
}

static PyObject *array_tolist(array_object *self, PyObject *unused)
{
    (void)unused;
    PyObject *view = readable_view(self);
    PyObject *out = view ? PyObject_CallMethod(view, "tolist", NULL) : NULL;
    Py_XDECREF(view);
    return out;
}

static Py_ssize_t array_length(array_object *self)
{
    if (self->ndim == 0) {
        PyErr_SetString(
            PyExc_TypeError, "an Array of no dimension has no len()");
        return -1;
    }
    return self->shape[0];
}

static PyObject *array_item(array_object *self, PyObject *key)
{
    PyObject *view = readable_view(self);
    PyObject *out = view ? PyObject_GetItem(view, key) : NULL;
    Py_XDECREF(view);
    return out;
}

static PyObject *array_iter(array_object *self)
{
    PyObject *view = readable_view(self);
    PyObject *out = view ? PyObject_GetIter(view) : NULL;
    Py_XDECREF(view);
    return out;
}

static PyObject *array_dtype(array_object *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(tkp_dtype_string(self->dtype));
}

static PyObject *array_nbytes(array_object *self, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(self->bytes);
}

static PyObject *array_address(array_object *self, void *unused)
{
    (void)unused;
    return PyLong_FromVoidPtr(self->data);
}

static PyObject *array_repr(array_object *self)
{
    PyObject *shape = array_shape(self, NULL);
    PyObject *out =
        shape ? PyUnicode_FromFormat(
                    "Array(%R, '%s')", shape, tkp_dtype_string(self->dtype))
              : NULL;
    Py_XDECREF(shape);
    return out;
}

static PyMethodDef methods[] = {
    {"__dlpack__", (PyCFunction)(void (*)(void))array_dlpack,
     METH_VARARGS | METH_KEYWORDS, "A DLPack capsule of this memory."},
    {"__dlpack_device__", (PyCFunction)array_dlpack_device, METH_NOARGS,
     "(1, 0): the host."},
    {"tolist", (PyCFunction)array_tolist, METH_NOARGS,
     "The elements as (nested) lists."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef getters[] = {
    {"shape", (getter)array_shape, NULL, "Sizes, outermost first.", NULL},
    {"dtype", (getter)array_dtype, NULL, "f32, f16, bf16, i32, i64 or u8.",
     NULL},
    {"nbytes", (getter)array_nbytes, NULL, "Bytes of all elements.", NULL},
    {"address", (getter)array_address, NULL, "Where they lie.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Array(shape, dtype='f32')\n--\n\nNumbers in this package's own memory, "
     "zero at first. Other libraries see them\nwithout a copy: "
     "numpy.asarray(a), torch.from_dlpack(a), memoryview(a)."},
    {Py_tp_new, array_new},
    {Py_tp_dealloc, array_dealloc},
    {Py_tp_repr, array_repr},
    {Py_tp_iter, array_iter},
    {Py_tp_methods, methods},
    {Py_tp_getset, getters},
    {Py_bf_getbuffer, array_getbuffer},
    {Py_mp_length, array_length},
    {Py_mp_subscript, array_item},
    {0, NULL}};

static PyType_Spec spec = {
    "tokenprune.Array", sizeof(array_object), 0, Py_TPFLAGS_DEFAULT, slots};

int tkpy_add_array_type(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&spec);
    if (!type)
        return -1;
    if (PyModule_AddObject(module, "Array", type) < 0) {
        Py_DECREF(type);
        return -1;
    }
    return 0;
}
