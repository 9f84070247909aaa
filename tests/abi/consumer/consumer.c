/*
 * A stranger's program: the library that is loaded is the one of the headers,
 * a context finds its backends, a failure has its message.
 */

#include <tokenprune.h>

#include <stdio.h>
#include <string.h>

#ifdef WITH_MLLM
#    include <tokenprune/mllm.h>
#endif

int main(void)
{
    tkp_context *context = NULL;
    tkp_status status;
    int32_t i, count;

    if (tkp_version_number() != TKP_VERSION_NUMBER ||
        strcmp(tkp_version_string(), TKP_VERSION_STRING) != 0) {
        fprintf(
            stderr, "headers are %s, library is %s\n", TKP_VERSION_STRING,
            tkp_version_string());
        return 1;
    }
    status = tkp_context_create(&context, NULL);
    if (status != TKP_OK) {
        fprintf(
            stderr, "%s: %s\n", tkp_status_string(status), tkp_last_message());
        return 1;
    }
    count = tkp_context_backend_count(context);
    printf("tokenprune %s:", tkp_version_string());
    for (i = 0; i < count; i++)
        printf(" %s", tkp_context_backend_name(context, i));
    printf("\n");
    if (count < 1 ||
        strcmp(tkp_context_backend_name(context, count - 1), "ref") != 0)
        return 1;
    tkp_context_destroy(context);
#ifdef WITH_MLLM
    {
        tkp_mllm_options options = TKP_MLLM_OPTIONS_INIT;
        tkp_mllm_options_init(&options);
    }
#endif
    if (tkp_context_create(NULL, NULL) != TKP_ERR_ARGUMENT ||
        strlen(tkp_last_message()) == 0)
        return 1;
    return 0;
}
