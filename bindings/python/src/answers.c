/* The engine with Python listening. */

#include "answers.h"

static int32_t
on_text(void *user, int32_t request, const char *text, size_t bytes)
{
    const PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *words = PyUnicode_DecodeUTF8(text, (Py_ssize_t)bytes, "replace");
    PyObject *answer =
        words ? PyObject_CallFunction(user, "iO", (int)request, words) : NULL;
    int stop = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    Py_XDECREF(words);
    if (stop < 0)
        tkpy_keep_exception();
    PyGILState_Release(gil);
    return stop != 0;
}

static int32_t should_stop(void *user)
{
    (void)user;
    const PyGILState_STATE gil = PyGILState_Ensure();
    const int signalled = PyErr_CheckSignals() < 0;
    if (signalled)
        tkpy_keep_exception();
    PyGILState_Release(gil);
    return signalled;
}

tkp_status tkpy_generate(
    int64_t *out,
    flat_handle model,
    flat_handle requests,
    flat_handle policy,
    const tkp_mllm_generate_options *options,
    PyObject *text,
    const int64_t *tensors,
    int64_t n_tensors)
{
    const flat_callbacks calls = {
        .on_text = text != Py_None ? on_text : NULL,
        .should_stop = should_stop,
        .user = text};
    return flat_mllm_generate(
        out, model, requests, policy, options, (int64_t)(intptr_t)&calls,
        tensors, n_tensors);
}
