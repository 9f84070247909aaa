/* How Python sees the shared interface: errors, handles, arrays. */

%{
#include "callbacks.h"
%}

/* What failed is raised, text and all, before anything else can be called. */
%typemap(out) tkp_status {
    if ($1 != TKP_OK) {
        tkpy_fail($1);
        SWIG_fail;
    }
    Py_INCREF(Py_None);
    $result = Py_None;
}

/* Texts: str, or bytes as os.fsencode() gives them; none is cut at a zero. */
%typemap(in) const char * {
    if (!tkpy_text((const char **)&$1, NULL, $input))
        SWIG_fail;
}
%typemap(freearg) const char * ""
%typemap(in) (const char *text, size_t bytes) {
    if (!tkpy_text((const char **)&$1, &$2, $input))
        SWIG_fail;
}

/* Objects derive from _flat.Object, which knows its handle. */
%typemap(in) flat_handle (flat_handle entered = 0) {
    if (!tkpy_enter(&$1, $input))
        SWIG_fail;
    entered = $1;
}
%typemap(freearg) flat_handle {
    flat_leave(entered$argnum);
}
/* DLPack asks for the stream that will read. */
%typemap(in) flat_handle exec (flat_handle entered = 0) {
    if (!tkpy_enter(&$1, $input))
        SWIG_fail;
    entered = $1;
    tkpy_set_stream($1 ? flat_exec_stream($1) : 0);
}
%typemap(freearg) flat_handle exec {
    tkpy_set_stream(0);
    flat_leave(entered$argnum);
}

/* Arrays: a tuple (slot, array, slot, array, ...). */
%typemap(in) (const int64_t *tensors, int64_t n_tensors)
    (tkpy_call call, int opened = 0) {
    if (!tkpy_open(&call, $input))
        SWIG_fail;
    opened = 1;
    $1 = call.words;
    $2 = call.n;
}
%typemap(freearg) (const int64_t *tensors, int64_t n_tensors) {
    if (opened$argnum)
        tkpy_close(&call$argnum);
}
