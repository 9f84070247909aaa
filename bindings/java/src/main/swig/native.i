/* io.github.tokenprune.internal: the raw layer, private. */
%module Native
%include "java.i"
%include "tokenprune.i"

%inline %{
int64_t flat_address(void *BUFFER)
{
    return (int64_t)(intptr_t)BUFFER;
}
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
%}
