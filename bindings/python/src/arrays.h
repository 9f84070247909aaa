#ifndef TOKENPRUNE_PYTHON_ARRAYS_H
#define TOKENPRUNE_PYTHON_ARRAYS_H

/* Arrays of other libraries as tensor records, without a copy: by the buffer
 * protocol, or by DLPack. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "flat.h"

typedef struct tkpy_call {
    int64_t n; /* integers in `words` */
    int32_t n_buffers, n_capsules;
    int64_t words[FLAT_MAX_TENSORS * FLAT_RECORD];
    Py_buffer buffers[FLAT_MAX_TENSORS];
    PyObject *capsules[FLAT_MAX_TENSORS];
} tkpy_call;

/**
 * Take the tensors of a call: a tuple (slot, array, slot, array, ...) in which
 * None is an array that is left out. What was taken is held until tkpy_close().
 * @return 0 with an exception set, and nothing held
 */
int tkpy_open(tkpy_call *call, PyObject *pairs);
void tkpy_close(tkpy_call *call);

/** The stream that the arrays of this thread's next calls are wanted on. */
void tkpy_set_stream(int64_t stream);

/** Raise tokenprune.Error of a status and text. @return NULL */
PyObject *tkpy_raise(tkp_status status, const char *text);

/** What one array is: (dtype, device type, device, shape, strides, address). */
PyObject *tkpy_describe(const int64_t *tensors, int64_t n_tensors);

/**
 * The bytes of a str (UTF-8) or bytes, valid as long as that is; None is NULL.
 * @param bytes_out  NULL: a zero byte in it is a ValueError
 * @return 0 with an exception set
 */
int tkpy_text(const char **out, size_t *bytes_out, PyObject *argument);

/* --- handles --------------------------------------------------------------------- */

/** What Python's classes derive from; its handle is 0 once it is closed. */
typedef struct tkpy_object {
    PyObject_HEAD flat_handle handle;
} tkpy_object;

/**
 * Enter the object behind an argument; None is none. Read and entered with the
 * GIL held, so that no other thread closes it in between.
 * @return 0 with an exception set
 */
int tkpy_enter(flat_handle *out, PyObject *argument);

/** Make the type `Object`, or take that of tokenprune._flat.
 * @return -1 with an exception set */
int tkpy_add_object_type(PyObject *module);
int tkpy_take_object_type(void);

/* --- capsules, as DLPack lays them out ------------------------------------------ */

enum {
    TKPY_DL_INT = 0,
    TKPY_DL_UINT = 1,
    TKPY_DL_FLOAT = 2,
    TKPY_DL_BFLOAT = 4,
    TKPY_DL_BOOL = 6
};

typedef struct tkpy_dl_tensor {
    void *data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape;
    int64_t *strides; /* NULL = row-major */
    uint64_t byte_offset;
} tkpy_dl_tensor;

typedef struct tkpy_dl_managed {
    tkpy_dl_tensor tensor;
    void *owner;
    void (*deleter)(struct tkpy_dl_managed *self);
} tkpy_dl_managed;

typedef struct tkpy_dl_versioned {
    uint32_t major, minor;
    void *owner;
    void (*deleter)(struct tkpy_dl_versioned *self);
    uint64_t flags; /* 1 = read-only, 2 = a copy */
    tkpy_dl_tensor tensor;
} tkpy_dl_versioned;

/* What types offer to C beside capsules since DLPack 1.2: far faster. */
typedef struct tkpy_dl_exchange {
    uint32_t major, minor;
    const void *older;
    void *managed_tensor_allocator;
    void *managed_tensor_from_py_object;
    void *managed_tensor_to_py_object;
    int (*tensor_from_py_object)(void *object, tkpy_dl_tensor *out);
    int (*current_stream)(int32_t device_type, int32_t device_id, void **out);
} tkpy_dl_exchange;

/** Make the type `Array` known to a module. @return -1 with an exception set */
int tkpy_add_array_type(PyObject *module);

#endif
