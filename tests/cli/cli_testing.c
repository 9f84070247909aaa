#include "cli_testing.h"

#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <sys/wait.h>

const char *program_path(char out[PATH_MAX])
{
    const char *root = getenv("TKP_BINARY_DIR");
    snprintf(out, PATH_MAX, "%s/bin/tokenprune", root ? root : "..");
    return out;
}

/* --- running --------------------------------------------------------------- */

static int scratch_file(void)
{
    char name[] = "/tmp/tkp-cli-XXXXXX";
    const int descriptor = mkstemp(name);
    ck_assert_int_ge(descriptor, 0);
    unlink(name);
    return descriptor;
}

static char *read_back(int descriptor)
{
    const off_t size = lseek(descriptor, 0, SEEK_END);
    char *text = malloc((size_t)size + 1);
    ck_assert_int_eq(pread(descriptor, text, (size_t)size, 0), size);
    text[size] = '\0';
    close(descriptor);
    return text;
}

static spoken run_program(const char *path, const char *const *arguments)
{
    const char *argv[64] = {path};
    for (int n = 0; arguments[n] && n < 62; n++)
        argv[n + 1] = arguments[n];
    const int out = scratch_file();
    const int err = scratch_file();
    const pid_t child = fork();
    if (child == 0) {
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        execv(path, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int state;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    spoken s = {
        WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state),
        read_back(out), read_back(err)};
    ck_assert_msg(s.code != 127, "%s cannot be run", path);
    return s;
}

spoken command_list(const char *const *arguments)
{
    char path[PATH_MAX];
    return run_program(program_path(path), arguments);
}

/* Arguments after `argument`, which is the first. */
#define COLLECT(arguments, argument)                                           \
    do {                                                                       \
        va_list list_;                                                         \
        va_start(list_, argument);                                             \
        arguments[0] = argument;                                               \
        for (int n_ = 1; n_ < 62 && arguments[n_ - 1]; n_++)                   \
            arguments[n_] = va_arg(list_, const char *);                       \
        va_end(list_);                                                         \
    } while (0)

spoken command(const char *argument, ...)
{
    const char *arguments[63] = {NULL};
    COLLECT(arguments, argument);
    return command_list(arguments);
}

spoken command_of(const char *program, const char *argument, ...)
{
    const char *arguments[63] = {NULL};
    COLLECT(arguments, argument);
    return run_program(program, arguments);
}

void forget(spoken *s)
{
    free(s->out);
    free(s->err);
    *s = (spoken){0};
}

void assert_refused_(spoken s, int code, const char *part, int line)
{
    static const char start[] = "tokenprune: ";
    const char *end = strchr(s.err, '\n');
    ck_assert_msg(
        s.code == code, "line %d: exit code is %d, wanted %d: %s", line, s.code,
        code, s.err);
    ck_assert_msg(!s.out[0], "line %d: standard output has %s", line, s.out);
    ck_assert_msg(
        strncmp(s.err, start, sizeof(start) - 1) == 0 && end && !end[1],
        "line %d: not one line of ours: %s", line, s.err);
    ck_assert_msg(
        strstr(s.err, part), "line %d: it says %s, wanted \"%s\" in it", line,
        s.err, part);
    forget(&s);
}

/* --- JSON ------------------------------------------------------------------ */

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "integer";
    case JSON_REAL:
        return "number";
    case JSON_NULL:
        return "null";
    default:
        return "boolean";
    }
}

static bool is_type(const json_t *value, const char *type)
{
    const char *name = type_name(value);
    return !strcmp(name, type) ||
           (!strcmp(type, "number") && !strcmp(name, "integer"));
}

static bool has_type(const json_t *value, const json_t *types)
{
    size_t i;
    const json_t *type;
    if (json_is_string(types))
        return is_type(value, json_string_value(types));
    json_array_foreach(types, i, type)
    {
        if (is_type(value, json_string_value(type)))
            return true;
    }
    return false;
}

static void
check_schema(const json_t *value, const json_t *schema, const char *path);

static void
check_object(const json_t *value, const json_t *schema, const char *path)
{
    const json_t *required = json_object_get(schema, "required");
    const json_t *known = json_object_get(schema, "properties");
    const json_t *others = json_object_get(schema, "additionalProperties");
    const char *key;
    json_t *member;
    size_t i;
    const json_t *name;
    char below[512];
    json_array_foreach(required, i, name)
    {
        ck_assert_msg(
            json_object_get(value, json_string_value(name)), "%s has no %s",
            path, json_string_value(name));
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        const json_t *of = json_object_get(known, key);
        snprintf(below, sizeof(below), "%s.%s", path, key);
        ck_assert_msg(
            of || json_is_object(others), "%s is not in the schema", below);
        check_schema(member, of ? of : others, below);
    }
}

static void
check_schema(const json_t *value, const json_t *schema, const char *path)
{
    const json_t *types = json_object_get(schema, "type");
    const json_t *items = json_object_get(schema, "items");
    const json_t *least = json_object_get(schema, "minItems");
    char below[512];
    size_t i;
    const json_t *item;
    ck_assert_msg(has_type(value, types), "%s is a %s", path, type_name(value));
    if (json_is_object(value))
        check_object(value, schema, path);
    if (!json_is_array(value))
        return;
    ck_assert_msg(
        !least || json_array_size(value) == (size_t)json_integer_value(least),
        "%s has %zu items", path, json_array_size(value));
    json_array_foreach(value, i, item)
    {
        snprintf(below, sizeof(below), "%s[%zu]", path, i);
        check_schema(item, items, below);
    }
}

json_t *assert_json_(spoken s, const char *schema, int line)
{
    char path[PATH_MAX];
    json_error_t error;
    const char *root = getenv("TKP_SOURCE_DIR");
    snprintf(
        path, sizeof(path), "%s/docs/%s.schema.json", root ? root : ".",
        schema);
    ck_assert_msg(
        s.code == 0, "line %d: exit code %d: %s", line, s.code, s.err);
    ck_assert_msg(!s.err[0], "line %d: it complains: %s", line, s.err);
    json_t *value = json_loads(s.out, 0, &error);
    ck_assert_msg(value, "line %d: no JSON: %s", line, error.text);
    json_t *wanted = json_load_file(path, 0, &error);
    ck_assert_msg(wanted, "%s: %s", path, error.text);
    check_schema(value, wanted, schema);
    json_decref(wanted);
    forget(&s);
    return value;
}

int64_t json_int_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    ck_assert_msg(json_is_integer(value), "%s is no integer", key);
    return json_integer_value(value);
}

double json_real_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    ck_assert_msg(json_is_number(value), "%s is no number", key);
    return json_number_value(value);
}

void assert_ints(const json_t *array, const tkp_tensor *expected)
{
    const int32_t *values = tkp__data(expected);
    ck_assert_uint_eq(json_array_size(array), (size_t)expected->shape[0]);
    for (size_t i = 0; i < json_array_size(array); i++)
        ck_assert_msg(
            json_integer_value(json_array_get(array, i)) == values[i],
            "entry %zu is %lld, wanted %d", i,
            (long long)json_integer_value(json_array_get(array, i)), values[i]);
}
