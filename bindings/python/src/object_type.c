/* tokenprune._flat.Object: a handle with an owner. */

#include "arrays.h"
#include "callbacks.h"

static PyTypeObject *object_type;

int tkpy_enter(flat_handle *out, PyObject *argument)
{
    *out = 0;
    if (argument == Py_None)
        return 1;
    if (!PyObject_TypeCheck(argument, object_type)) {
        PyErr_Format(
            PyExc_TypeError, "met a %.80s, wanted an object of tokenprune",
            Py_TYPE(argument)->tp_name);
        return 0;
    }
    const flat_handle handle = ((tkpy_object *)argument)->handle;
    const tkp_status status = flat_enter(handle);
    if (status != TKP_OK) {
        tkpy_fail(status);
        return 0;
    }
    *out = handle;
    return 1;
}

static PyObject *object_adopt(tkpy_object *self, PyObject *handle)
{
    const long long value = PyLong_AsLongLong(handle);
    if (value == -1 && PyErr_Occurred())
        return NULL;
    if (self->handle) {
        PyErr_SetString(PyExc_RuntimeError, "the object is made already");
        return NULL;
    }
    self->handle = value;
    Py_RETURN_NONE;
}

static PyObject *object_close(tkpy_object *self, PyObject *unused)
{
    (void)unused;
    const tkp_status status = flat_destroy(self->handle);
    if (status != TKP_OK) {
        tkpy_fail(status);
        return NULL;
    }
    self->handle = 0;
    Py_RETURN_NONE;
}

static PyObject *object_enter(PyObject *self, PyObject *unused)
{
    (void)unused;
    Py_INCREF(self);
    return self;
}

static PyObject *object_exit(tkpy_object *self, PyObject *unused)
{
    return object_close(self, unused);
}

static PyObject *object_closed(tkpy_object *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->handle == 0);
}

static void object_dealloc(tkpy_object *self)
{
    PyTypeObject *type = Py_TYPE(self);
    /* Nobody is inside: a call holds a reference. */
    (void)!flat_destroy(self->handle);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"_adopt", (PyCFunction)object_adopt, METH_O, "Own a handle."},
    {"close", (PyCFunction)object_close, METH_NOARGS,
     "Give the native object up. Twice is fine; refused while a call of "
     "another\nthread works on it."},
    {"__enter__", (PyCFunction)object_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)object_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef getters[] = {
    {"closed", (getter)object_closed, NULL, "True after close().", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A native object; close() or a with statement ends it."},
    {Py_tp_dealloc, object_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getters},
    {0, NULL}};

static PyType_Spec spec = {
    "tokenprune._flat.Object", sizeof(tkpy_object), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

int tkpy_add_object_type(PyObject *module)
{
    object_type = (PyTypeObject *)PyType_FromSpec(&spec);
    if (!object_type)
        return -1;
    Py_INCREF(object_type); /* ours, beside the module's */
    return PyModule_AddObject(module, "Object", (PyObject *)object_type);
}

int tkpy_take_object_type(void)
{
    PyObject *module = PyImport_ImportModule("tokenprune._flat");
    if (!module)
        return -1;
    object_type = (PyTypeObject *)PyObject_GetAttrString(module, "Object");
    Py_DECREF(module);
    return object_type ? 0 : -1;
}
