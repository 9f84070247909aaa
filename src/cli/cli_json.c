/* JSON on standard output: built whole, printed once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* Bytes of the UTF-8 character at `s`, 0 if there is none. */
static size_t character(const unsigned char *s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t n = s[0] < 0x80   ? 1
                     : s[0] < 0xc2 ? 0
                     : s[0] < 0xe0 ? 2
                     : s[0] < 0xf0 ? 3
                     : s[0] < 0xf5 ? 4
                                   : 0;
    uint32_t code = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3fu);
    }
    const bool legal = n == 1 || (code >= least[n] && code <= 0x10ffff &&
                                  (code < 0xd800 || code > 0xdfff));
    return legal ? n : 0;
}

json_t *tkp__cli_json_text(const char *text)
{
    if (!text)
        return json_null();
    json_t *plain = json_string(text);
    if (plain)
        return plain;
    char *fixed = malloc(3 * strlen(text) + 1);
    if (!fixed)
        return NULL;
    size_t used = 0;
    for (const char *s = text; *s;) {
        const size_t n = character((const unsigned char *)s);
        memcpy(fixed + used, n ? s : "\xef\xbf\xbd", n ? n : 3);
        used += n ? n : 3;
        s += n ? n : 1;
    }
    fixed[used] = '\0';
    plain = json_string(fixed);
    free(fixed);
    return plain;
}

json_t *tkp__cli_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *tkp__cli_json_ints(const int64_t *values, int64_t count)
{
    json_t *array = json_array();
    for (int64_t i = 0; i < count; i++)
        json_array_append_new(array, json_integer(values[i]));
    return array;
}

json_t *tkp__cli_json_i32(const int32_t *values, int64_t count)
{
    json_t *array = json_array();
    for (int64_t i = 0; i < count; i++)
        json_array_append_new(array, json_integer(values[i]));
    return array;
}

int tkp__cli_json_print(json_t *object)
{
    char *text =
        object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(9))
               : NULL;
    json_decref(object);
    if (!text)
        return tkp__cli_fail("no memory for the JSON");
    puts(text);
    free(text);
    return tkp__cli_finish(TKP__CLI_OK);
}
