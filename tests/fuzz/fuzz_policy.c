/*
 * Policy texts that may be anything. One that is read is printed, read again
 * and printed again: both prints are the same text. One that is refused says
 * why in one line that begins with its name.
 */

#include <stdlib.h>
#include <string.h>

#include "tokenprune.h"

static char *print(const tkp_policy *policy)
{
    const size_t bytes = tkp_policy_to_yaml(policy, NULL, 0);
    char *text = malloc(bytes + 1);
    if (!text || tkp_policy_to_yaml(policy, text, bytes + 1) != bytes)
        abort();
    return text;
}

static void check_print(const tkp_policy *policy)
{
    tkp_policy *again = NULL;
    char *first = print(policy);
    if (tkp_policy_load_text(&again, first, strlen(first), "print") != TKP_OK)
        abort();
    char *second = print(again);
    if (strcmp(first, second) != 0)
        abort();
    free(first);
    free(second);
    tkp_policy_destroy(again);
}

static void check_refusal(tkp_status status)
{
    const char *message = tkp_last_message();
    if (status != TKP_ERR_PARSE && status != TKP_ERR_POLICY &&
        status != TKP_ERR_VERSION)
        abort();
    if (strncmp(message, "fuzz:", 5) != 0 || strchr(message, '\n'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char nothing[1];
    const char *text = size ? (const char *)data : nothing;
    tkp_policy *policy = NULL;
    const tkp_status status = tkp_policy_load_text(&policy, text, size, "fuzz");
    if (status == TKP_OK)
        check_print(policy);
    else
        check_refusal(status);
    tkp_policy_destroy(policy);
    return 0;
}
