/* The raw layer: private. */
%module native
%include "status.i"
%include "tokenprune.i"

%inline %{
const char *flat_version(void)
{
    return tkp_version_string();
}
int32_t flat_preset_count(void)
{
    return tkp_policy_preset_count();
}
const char *flat_preset_name(int32_t i)
{
    return tkp_policy_preset_name(i);
}
const char *flat_status_name(int32_t status)
{
    return tkp_status_string((tkp_status)status);
}
%}
