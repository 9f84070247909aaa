/* on_device COMMAND...: runs it where there is a device of CUDA's; elsewhere
 * ends with 77, "skipped", and the reason. */
#include <stdio.h>
#include <unistd.h>

#include "tokenprune.h"

int main(int argc, char **argv)
{
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    tkp_context *context = NULL;
    options.device_type = TKP_DEVICE_CUDA;
    options.backends = "cuda";
    if (argc < 2) {
        fprintf(stderr, "on_device COMMAND...\n");
        return 2;
    }
    if (tkp_context_create(&context, &options) != TKP_OK) {
        printf("skipped: %s\n", tkp_last_message());
        return 77;
    }
    tkp_context_destroy(context);
    execv(argv[1], argv + 1);
    perror(argv[1]);
    return 2;
}
