/* tokenprune._flat: the raw layer. Private; tokenprune/ is what people use. */
%module(package="tokenprune", threads="1") flat
%nothread;

%include "common.i"

%ignore flat_enter;
%ignore flat_leave;
%ignore flat_destroy; /* Object.close() */

/* Native work that takes time runs without the GIL. */
%thread flat_context_create;
%thread flat_policy_load_file;
%thread flat_scorer_create;
%thread flat_scorer_create_of;
%thread flat_scorer_run;
%thread flat_selector_create;
%thread flat_selector_create_of;
%thread flat_selector_run;
%thread flat_merger_create;
%thread flat_merger_create_of;
%thread flat_merger_run;
%thread flat_sequence_begin;
%thread flat_sequence_prune;
%thread flat_decision_gather;

%include "tokenprune.i"

tkp_status tkpy_scorer_register(const char *name, PyObject *call, int64_t needs);
tkp_status tkpy_scorer_unregister(const char *name);
PyObject *tkpy_describe(const int64_t *tensors, int64_t n_tensors);

%inline %{
const char *tkpy_version(void)
{
    return tkp_version_string();
}
const char *tkpy_build_info(void)
{
    return tkp_build_info();
}
int32_t tkpy_preset_count(void)
{
    return tkp_policy_preset_count();
}
const char *tkpy_preset_name(int32_t i)
{
    return tkp_policy_preset_name(i);
}
const char *tkpy_preset_summary(int32_t i)
{
    return tkp_policy_preset_summary(i);
}
const char *tkpy_status_name(int32_t status)
{
    return tkp_status_string((tkp_status)status);
}
%}

%init %{
    if (tkpy_add_object_type(m) < 0 || tkpy_add_array_type(m) < 0)
        return NULL;
%}
