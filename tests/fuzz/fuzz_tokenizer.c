/*
 * Tokenizer files and texts that may be anything. An input is a
 * tokenizer.json, then optionally a NUL and a text to encode; what comes back
 * is decoded, which must give valid UTF-8 whatever the file says.
 */

#include <stdlib.h>

#include "mllm/text/tokenizer.h"
#include "mllm/text/utf8.h"

static void use(const tkp__tokenizer *tokenizer, const char *text, size_t bytes)
{
    int32_t *ids = NULL;
    int64_t count = 0;
    char *back = NULL;
    for (uint32_t flags = 0; flags < 4; ++flags) {
        if (tkp__tokenizer_encode(
                tokenizer, text, bytes, flags, &ids, &count) != TKP_OK)
            continue;
        for (int64_t i = 0; i < count; ++i) {
            if (!tkp__tokenizer_piece(tokenizer, ids[i]))
                abort();
        }
        if (tkp__tokenizer_decode(tokenizer, ids, count, false, &back) ==
            TKP_OK) {
            const size_t length = strlen(back);
            if (tkp__utf8_valid_prefix(back, length) != length)
                abort();
            tkp__free(back);
        }
        tkp__free(ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char usual[] = "USER: <image>\nA  b\xc3\xa9 ab\t</s>x";
    const char *json = (const char *)data;
    const char *end = size ? memchr(json, 0, size) : NULL;
    const size_t json_bytes = end ? (size_t)(end - json) : size;
    tkp__tokenizer *tokenizer = NULL;
    if (tkp__tokenizer_load_memory(&tokenizer, json, json_bytes, NULL, 0) !=
        TKP_OK)
        return 0;
    use(tokenizer, usual, sizeof(usual) - 1);
    if (end)
        use(tokenizer, end + 1, size - json_bytes - 1);
    tkp__tokenizer_destroy(tokenizer);
    return 0;
}
