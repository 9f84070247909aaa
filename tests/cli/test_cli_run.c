/*
 * tokenprune run, end to end: on a tiny model whose tokens, pruned and not,
 * were worked out with transformers; and what it says of bad input.
 */
#include <fcntl.h>
#include <png.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cli_testing.h"
#include "mllm/engine_testing.h"

static testbed bed;
static char file[PATH_MAX + 64]; /* one more in the folder */

static void setup(void)
{
    testbed_open(&bed, "llava-f32", "ref", 0);
}

static void teardown(void)
{
    testbed_close(&bed);
}

static const char *in_folder(const char *name)
{
    snprintf(file, sizeof(file), "%s/%s", bed.folder, name);
    return file;
}

/* run with the model, its picture and prompt, and what a test adds. */
static spoken ask(const char *const *more)
{
    const char *arguments[48] = {"run",      "--model",   bed.folder,
                                 "--image",  bed.picture, "--raw",
                                 "--prompt", bed.prompt,  "--max-new-tokens",
                                 "16",       "--threads", "2"};
    int n = 12;
    for (int i = 0; more[i]; i++)
        arguments[n++] = more[i];
    return command_list(arguments);
}
#define ASK(...) ask((const char *const[]){__VA_ARGS__, NULL})

/* The fixture's own cut: --at llm:LAYER --keep COUNT. */
static void fixture_cut(char at[16], char keep[16])
{
    const tkp_tensor layer = fixture_get(&bed, "pruned.layer");
    const tkp_tensor kept = fixture_get(&bed, "pruned.kept_visual");
    snprintf(at, 16, "llm:%d", *(int32_t *)tkp__data(&layer));
    snprintf(keep, 16, "%d", (int)kept.shape[0]);
}

/* --- answers ----------------------------------------------------------------- */

START_TEST(run__no_policy__tokens_of_transformers)
{
    const tkp_tensor wanted = fixture_get(&bed, "greedy_ids");
    json_t *json = assert_json(ASK("--json"), "run");
    assert_ints(json_object_get(json, "tokens"), &wanted);
    const json_t *cost = json_object_get(json, "cost");
    ck_assert_int_eq(json_int_at(cost, "visual_before"), 16);
    ck_assert_int_eq(json_int_at(cost, "visual_after"), 16);
    ck_assert_double_eq(json_real_at(cost, "macs_left"), 1.0);
    ck_assert(json_is_null(json_object_get(json, "policy")));
    ck_assert(json_is_null(json_object_get(json, "compare")));
    json_decref(json);
}
END_TEST

START_TEST(run__fastv__tokens_and_cells_of_transformers)
{
    char at[16], keep[16];
    fixture_cut(at, keep);
    const tkp_tensor wanted = fixture_get(&bed, "pruned.greedy_ids");
    const tkp_tensor cells = fixture_get(&bed, "pruned.kept_visual");
    json_t *json = assert_json(
        ASK("--policy", "fastv", "--at", at, "--keep", keep, "--json",
            "--compare"),
        "run");
    assert_ints(json_object_get(json, "tokens"), &wanted);
    const json_t *image = json_array_get(json_object_get(json, "images"), 0);
    assert_ints(json_object_get(image, "kept"), &cells);
    const json_t *cost = json_object_get(json, "cost");
    const json_t *layers = json_object_get(cost, "layer_visual");
    const int64_t boundary = at[4] - '0';
    ck_assert_uint_eq(json_array_size(layers), 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(
            json_integer_value(json_array_get(layers, i)),
            (int64_t)i < boundary ? 16 : cells.shape[0]);
    ck_assert_double_lt(json_real_at(cost, "macs_left"), 1.0);
    json_decref(json);
}
END_TEST

/* Scores that rank the cells 3, 12, 0, 7 first, in a file of their own. */
static const char *write_scores(int64_t count, const char *name)
{
    float values[32] = {[3] = 9.0f, [12] = 8.0f, [0] = 7.0f, [7] = 6.0f};
    tkp_tensor scores;
    tkp_tensor_make_1d(&scores, values, TKP_DTYPE_F32, count);
    assert_ok(tkp__safetensors_write(
        in_folder("scores.safetensors"), 1, &name, &scores));
    return file;
}

START_TEST(run__external__cells_of_the_best_scores)
{
    static const int64_t best[] = {0, 3, 7, 12};
    static const char *const points[] = {"projector", "llm:2", "llm:4", "kv"};
    const char *path = write_scores(16, "scores");
    for (int i = 0; i < 4; i++) {
        json_t *json = assert_json(
            ASK("--policy", "external", "--keep", "4", "--scores", path, "--at",
                points[i], "--json"),
            "run");
        const json_t *image =
            json_array_get(json_object_get(json, "images"), 0);
        const json_t *kept = json_object_get(image, "kept");
        ck_assert_uint_eq(json_array_size(kept), 4);
        for (size_t k = 0; k < 4; k++)
            ck_assert_int_eq(
                json_integer_value(json_array_get(kept, k)), best[k]);
        json_decref(json);
    }
}
END_TEST

START_TEST(run__controls__exact_count_wherever_they_cut)
{
    static const char *const presets[] = {
        "uniform", "stride", "random", "drop-all"};
    static const char *const points[] = {"projector", "llm:1", "llm:4", "kv"};
    for (int p = 0; p < 4; p++)
        for (int i = 0; i < 4; i++) {
            json_t *json = assert_json(
                p < 3
                    ? ASK("--policy", presets[p], "--keep", "5", "--at",
                          points[i], "--json")
                    : ASK("--policy", presets[p], "--at", points[i], "--json"),
                "run");
            ck_assert_int_eq(
                json_int_at(json_object_get(json, "cost"), "visual_after"),
                p < 3 ? 5 : 0);
            json_decref(json);
        }
}
END_TEST

START_TEST(run__compare__unpruned_answer_beside)
{
    const tkp_tensor wanted = fixture_get(&bed, "greedy_ids");
    json_t *json = assert_json(
        ASK("--policy", "pooling", "--keep-ratio", "25%", "--json", "--compare",
            "--repeat", "3"),
        "run");
    const json_t *compare = json_object_get(json, "compare");
    assert_ints(json_object_get(compare, "tokens"), &wanted);
    ck_assert_int_eq(
        json_int_at(json_object_get(compare, "seconds"), "runs"), 3);
    const json_t *speedup = json_object_get(compare, "speedup");
    const json_t *cost = json_object_get(json, "cost");
    ck_assert_double_eq_tol(
        json_real_at(speedup, "prefill_predicted") *
            json_real_at(cost, "macs_left"),
        1.0, 1e-6);
    ck_assert_double_gt(json_real_at(speedup, "prefill"), 0.0);
    json_decref(json);
}
END_TEST

START_TEST(run__keep_all__unpruned_answer)
{
    static const char *const policies[] = {
        "fastv", "random", "pooling", "fastv-vis", "alpha-blend"};
    for (int i = 0; i < 10; i++) {
        json_t *json = assert_json(
            ASK("--policy", policies[i / 2], "--keep", i % 2 ? "all" : "16",
                "--json", "--compare"),
            "run");
        ck_assert(json_is_true(
            json_object_get(json_object_get(json, "compare"), "same_answer")));
        json_decref(json);
    }
}
END_TEST

START_TEST(run__text__answer_then_table)
{
    spoken quiet = ASK("--policy", "fastv", "--keep", "4", "--quiet");
    spoken plain = ASK("--policy", "fastv", "--keep", "4");
    ck_assert_int_eq(quiet.code, 0);
    ck_assert_int_eq(plain.code, 0);
    ck_assert_msg(
        strncmp(plain.out, quiet.out, strlen(quiet.out)) == 0,
        "not the same answer: %s and %s", quiet.out, plain.out);
    ck_assert_ptr_nonnull(strstr(plain.out, "4 of 16 stay (25.0 %)"));
    ck_assert_ptr_nonnull(strstr(plain.out, "0-1: 16, 2-3: 4\n"));
    ck_assert_ptr_nonnull(strstr(plain.out, "EQUIV_IN      10.0\n"));
    ck_assert_str_eq(strchr(quiet.out, '\n'), "\n");
    forget(&quiet);
    forget(&plain);
}
END_TEST

START_TEST(run__random__seed_repeats)
{
    json_t *kept[3];
    for (int i = 0; i < 3; i++) {
        json_t *json = assert_json(
            ASK("--policy", "random", "--keep", "8", "--seed",
                i < 2 ? "7" : "8", "--json"),
            "run");
        kept[i] = json_deep_copy(json_object_get(
            json_array_get(json_object_get(json, "images"), 0), "kept"));
        json_decref(json);
    }
    ck_assert(json_equal(kept[0], kept[1]));
    ck_assert(!json_equal(kept[0], kept[2]));
    for (int i = 0; i < 3; i++)
        json_decref(kept[i]);
}
END_TEST

START_TEST(run__two_images__both_are_cut)
{
    spoken s = command(
        "run", "--model", bed.folder, "--raw", "--prompt", "<image><image>丅",
        "--image", bed.picture, "--image", bed.picture, "--policy", "fastv",
        "--keep", "10", "--max-new-tokens", "2", "--json", "--picture",
        in_folder("two.png"), NULL);
    json_t *json = assert_json(s, "run");
    const json_t *images = json_object_get(json, "images");
    ck_assert_uint_eq(json_array_size(images), 2);
    size_t kept = 0;
    for (size_t i = 0; i < 2; i++)
        kept +=
            json_array_size(json_object_get(json_array_get(images, i), "kept"));
    ck_assert_uint_eq(kept, 10);
    json_decref(json);
}
END_TEST

START_TEST(run__frames_of_a_video__tokens_of_transformers)
{
    enum { FRAMES = 4 };
    static char frame[FRAMES][PATH_MAX + 96];
    char prompt[512];
    const char *arguments[32] = {"run",    "--video",          "--raw",
                                 "--json", "--max-new-tokens", "16",
                                 "--model"};
    int n = 7;
    testbed_close(&bed);
    testbed_open(&bed, "qwen2-vl-video", "ref", 0);
    testbed_video_text(prompt, sizeof(prompt), &bed, "clip");
    const tkp_tensor rgb = fixture_get(&bed, "clip.video_u8.0");
    ck_assert_int_eq(rgb.shape[0], FRAMES);
    arguments[n++] = bed.folder;
    arguments[n++] = "--prompt";
    arguments[n++] = prompt;
    for (int k = 0; k < FRAMES; k++) {
        testbed_save_frame(frame[k], &bed, "clip", k, &rgb);
        arguments[n++] = "--image";
        arguments[n++] = frame[k];
    }
    const tkp_tensor wanted = fixture_get(&bed, "clip.greedy_ids");
    json_t *json = assert_json(command_list(arguments), "run");
    assert_ints(json_object_get(json, "tokens"), &wanted);
    const json_t *images = json_object_get(json, "images");
    ck_assert_uint_eq(json_array_size(images), 1);
    ck_assert_str_eq(
        json_string_value(json_object_get(json_array_get(images, 0), "file")),
        frame[0]);
    json_decref(json);
    /* Four frames at a second's rate of one: four is the least. */
    arguments[n++] = "--fps";
    arguments[n++] = "1";
    json = assert_json(command_list(arguments), "run");
    assert_ints(json_object_get(json, "tokens"), &wanted);
    json_decref(json);
}
END_TEST

typedef struct interrupted_run {
    pid_t child;
    int out, err; /* what it says */
} interrupted_run;

/* A long run whose two outputs are read bit by bit. */
static interrupted_run start_long_run(void)
{
    char path[PATH_MAX];
    int out[2], err[2];
    ck_assert_int_eq(pipe(out), 0);
    ck_assert_int_eq(pipe(err), 0);
    ck_assert_int_gt(fcntl(err[0], F_SETPIPE_SZ, 4096), 0);
    const interrupted_run run = {fork(), out[0], err[0]};
    if (run.child == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        close(out[0]);
        close(err[0]);
        execl(
            program_path(path), "tokenprune", "run", "--model", bed.folder,
            "--image", bed.picture, "--raw", "--prompt", bed.prompt,
            "--max-new-tokens", "400", "--backend", "ref", "--policy", "random",
            "--keep", "4", "--repeat", "100", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    return run;
}

/* The rest of it, `bytes` of them at most; ends the text. */
static void read_rest(int from, char *text, size_t bytes)
{
    size_t used = 0;
    ssize_t n;
    while (used + 1 < bytes &&
           (n = read(from, text + used, bytes - used - 1)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    close(from);
}

static void assert_interrupted(interrupted_run run)
{
    int state = 0;
    ck_assert_int_eq(waitpid(run.child, &state, 0), run.child);
    ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 130);
}

START_TEST(run__interrupted__answer_so_far_and_its_cost)
{
    char out[1 << 14], err[128];
    const interrupted_run run = start_long_run();
    ck_assert_int_eq(read(run.out, out, 1), 1); /* it has begun */
    ck_assert_int_eq(kill(run.child, SIGINT), 0);
    read_rest(run.out, out, sizeof(out));
    read_rest(run.err, err, sizeof(err));
    ck_assert_str_eq(err, "tokenprune: interrupted\n");
    ck_assert_msg(strstr(out, "policy          random\n"), "it says %s", out);
    ck_assert_ptr_nonnull(strstr(out, "visual tokens   4 of 16 stay"));
    ck_assert_ptr_nonnull(strstr(out, "time            vision "));
    assert_interrupted(run);
}
END_TEST

/* It logs each op, and stands still while nobody reads that: so it is known
 * that the first prefill is not done. */
START_TEST(run__interrupted_in_prefill__stops_before_the_answer)
{
    char out[1 << 14];
    static char err[1 << 20];
    setenv("TKP_VERBOSE", "2", 1);
    const interrupted_run run = start_long_run();
    unsetenv("TKP_VERBOSE");
    for (size_t used = 0; !strstr(err, "tokenprune,run,");) {
        ck_assert_uint_lt(used + 1, sizeof(err));
        ck_assert_int_eq(read(run.err, err + used, 1), 1);
        err[++used] = '\0';
    }
    ck_assert_int_eq(kill(run.child, SIGINT), 0);
    read_rest(run.err, err, sizeof(err));
    read_rest(run.out, out, sizeof(out));
    ck_assert_str_eq(out, "");
    ck_assert_ptr_nonnull(strstr(err, "tokenprune: interrupted\n"));
    assert_interrupted(run);
}
END_TEST

/* --- the picture --------------------------------------------------------------- */

typedef struct picture {
    png_image header;
    uint8_t *rgb;
} picture;

static picture load_png(const char *path)
{
    picture p = {.header = {.version = PNG_IMAGE_VERSION}};
    ck_assert_msg(
        png_image_begin_read_from_file(&p.header, path), "%s: %s", path,
        p.header.message);
    p.header.format = PNG_FORMAT_RGB;
    p.rgb = malloc(PNG_IMAGE_SIZE(p.header));
    ck_assert(png_image_finish_read(&p.header, NULL, p.rgb, 0, NULL));
    return p;
}

static bool has(const json_t *array, int64_t value)
{
    size_t i;
    const json_t *item;
    json_array_foreach(array, i, item)
    {
        if (json_integer_value(item) == value)
            return true;
    }
    return false;
}

START_TEST(run__picture__dropped_patches_are_dim_and_grey)
{
    const char *path = in_folder("kept.png");
    json_t *json = assert_json(
        ASK("--policy", "fastv", "--keep", "5", "--json", "--picture", path),
        "run");
    const json_t *kept = json_object_get(
        json_array_get(json_object_get(json, "images"), 0), "kept");
    const tkp_tensor seen = fixture_get(&bed, "prepared_u8");
    const uint8_t *rgb = tkp__data(&seen);
    picture p = load_png(path);
    ck_assert_uint_eq(p.header.width, 56); /* patches of 14 are large enough */
    ck_assert_uint_eq(p.header.height, 56);
    for (int cell = 0; cell < 16; cell++) {
        const int y = cell / 4 * 14 + 7, x = cell % 4 * 14 + 7;
        const uint8_t *from = rgb + (y * 56 + x) * 3;
        const uint8_t *to = p.rgb + (y * 56 + x) * 3;
        const double luma = 0.299 * from[0] + 0.587 * from[1] + 0.114 * from[2];
        for (int c = 0; c < 3; c++)
            if (has(kept, cell))
                ck_assert_uint_eq(to[c], from[c]);
            else
                ck_assert_double_le(fabs(to[c] - 0.25 * luma), 1.0);
    }
    free(p.rgb);
    json_decref(json);
}
END_TEST

/* --- refusals -------------------------------------------------------------------- */

START_TEST(run__command_line_wrong__exit_2)
{
    static const struct {
        const char *arguments[6];
        const char *part;
    } cases[] = {
        {{"run"}, "--prompt is missing"},
        {{"run", "--prompt"}, "--prompt wants TEXT"},
        {{"run", "--promt", "x"}, "did you mean --prompt?"},
        {{"run", "--json=1"}, "--json takes no value"},
        {{"run", "-Z"}, "unknown option -Z"},
        {{"run", "-p", "x", "cat.jpg"}, "'cat.jpg' is no option"},
        {{"run", "--keep", "-1"}, "--keep is '-1', wanted a whole number"},
        {{"run", "--keep", "4.5"}, "--keep is '4.5'"},
        {{"run", "--keep-ratio", "5/4"}, "--keep-ratio is '5/4'"},
        {{"run", "--keep-ratio", "1/0"}, "--keep-ratio is '1/0'"},
        {{"run", "--keep", "3", "--keep-ratio", "1/2"}, "one of them"},
        {{"run", "-p", "x", "--keep", "3"}, "need a --policy"},
        {{"run", "--at", "llm"}, "--at is 'llm'"},
        {{"run", "--at", "llm:2x"}, "--at is 'llm:2x'"},
        {{"run", "--seed", "-3"}, "--seed is '-3'"},
        {{"run", "--threads", "0"}, "--threads is '0', wanted"},
        {{"run", "--dtype", "f16"}, "--dtype is 'f16', wanted auto, f32"},
        {{"run", "--temperature", "nan"}, "--temperature is 'nan'"},
        {{"run", "-p", "x", "--top-k", "3"}, "need --sample"},
        {{"run", "-p", "x", "--picture", "o.png"}, "--picture needs"},
        {{"run", "-p", "x", "--video"}, "--video needs an --image"},
        {{"run", "-p", "x", "--fps", "2"}, "--fps needs --video"},
        {{"run", "-p", "x", "--json", "-q"}, "--json and --quiet"},
        {{"run", "-n", "99999999999999999999"}, "--max-new-tokens is"},
        {{"rum"}, "did you mean 'run'?"},
        {{"help", "slect"}, "did you mean 'select'?"},
        {{NULL}, "no command"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_refused(command_list(cases[i].arguments), 2, cases[i].part);
}
END_TEST

START_TEST(run__budget_out_of_range__says_what_is_there)
{
    assert_refused(ASK("--policy", "fastv", "--keep", "17"), 1, "16");
    assert_refused(
        ASK("--policy", "fastv", "--keep", "4", "--at", "llm:9"), 1,
        "boundary is 9, wanted 0 to the 4 layers");
    assert_refused(
        ASK("--policy", "fastv", "--keep", "4", "--at", "llm:0"), 1, "score");
    assert_refused(
        ASK("--policy", "fastv", "--stage", "3", "--keep", "4"), 1,
        "stage is 3");
    assert_refused(ASK("--policy", "pyramiddrop"), 1, "4 layers");
    assert_refused(
        ASK("--policy", "pyramiddrop", "--fit", "20"), 1, "beyond the 20");
    assert_refused(ASK("--fit", "32"), 2, "need a --policy");
}
END_TEST

/* Presets for 32 layers, on four. */
START_TEST(run__fit__every_preset_of_the_paper_answers)
{
    static const char *const presets[] = {
        "pyramiddrop", "sparsevlm", "mustdrop", "tome", "vscan"};
    for (int i = 0; i < 5; i++) {
        json_t *json = assert_json(
            ASK("--policy", presets[i], "--fit", "32", "-n", "2", "--json"),
            "run");
        ck_assert_ptr_nonnull(json_object_get(json, "images"));
        json_decref(json);
    }
}
END_TEST

START_TEST(run__policy_bad__says_where)
{
    assert_refused(
        ASK("--policy", "fastvv"), 1, "'fastvv', did you mean 'fastv'");
    assert_refused(ASK("--policy", "./not-there.yaml"), 1, "./not-there.yaml");
    static const char text[] = "tokenprune: 1\nname: x\nstages:\n"
                               "  - at: llm:2\n    selectr: {kind: topk}\n";
    write_whole(in_folder("p.yaml"), text, sizeof(text) - 1);
    assert_refused(ASK("--policy", file), 1, "p.yaml:5:5: ");
}
END_TEST

START_TEST(run__images_and_prompt_disagree__counts)
{
    assert_refused(
        command(
            "run", "-m", bed.folder, "--raw", "-p", "<image>丅", "-i",
            bed.picture, "-i", bed.picture, NULL),
        1, "2 images are given, the prompt has 1 times <image>");
    assert_refused(
        command("run", "-m", bed.folder, "--raw", "-p", "<image>丅", NULL), 1,
        "0 images are given, the prompt has 1 times <image>");
    assert_refused(
        command(
            "run", "-m", bed.folder, "--raw", "-p", "丅", "--policy", "fastv",
            NULL),
        1, "prompt has no image, but policy 'fastv' prunes images");
}
END_TEST

/* The header of a PNG with sizes of choice; nothing behind it. */
static void write_png_header(const char *path, uint32_t width, uint32_t height)
{
    uint8_t bytes[33] = {0x89, 'P', 'N', 'G', 13,  10,  26,  10,
                         0,    0,   0,   13,  'I', 'H', 'D', 'R'};
    for (int i = 0; i < 4; i++) {
        bytes[16 + i] = (uint8_t)(width >> (24 - 8 * i));
        bytes[20 + i] = (uint8_t)(height >> (24 - 8 * i));
    }
    bytes[24] = 8;
    bytes[25] = 2;
    uint32_t crc = 0xffffffffu;
    for (int i = 12; i < 29; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    for (int i = 0; i < 4; i++)
        bytes[29 + i] = (uint8_t)(~crc >> (24 - 8 * i));
    write_whole(path, bytes, sizeof(bytes));
}

static spoken ask_about(const char *image)
{
    return command(
        "run", "-m", bed.folder, "--raw", "-p", bed.prompt, "-i", image, NULL);
}

START_TEST(run__image_bad__names_the_file)
{
    size_t size;
    uint8_t *bytes = read_whole(bed.picture, &size);
    write_whole(in_folder("cut.png"), bytes, size / 2);
    free(bytes);
    assert_refused(ask_about(file), 1, "cut.png");
    write_whole(in_folder("text.jpg"), "hello", 5);
    assert_refused(ask_about(file), 1, "text.jpg");
    write_whole(in_folder("empty.png"), "", 0);
    assert_refused(ask_about(file), 1, "empty.png");
    write_png_header(in_folder("huge.png"), 1000000, 1000000);
    assert_refused(ask_about(file), 1, "huge.png");
    assert_refused(ask_about(in_folder("none.png")), 1, "none.png");
    assert_refused(ask_about(bed.folder), 1, bed.folder);
}
END_TEST

START_TEST(run__output_cannot_be_written__fails)
{
    spoken s =
        ASK("--policy", "fastv", "--json", "--picture", "/nowhere/at/all.png");
    assert_refused(s, 1, "/nowhere/at/all.png: No such file");
    if (access("/dev/full", W_OK) != 0)
        return;
    assert_refused(
        ASK("--json", "--picture", "/dev/full"), 1, "No space left on device");
    ck_assert_int_eq(access("/dev/full", W_OK), 0); /* not taken away */
}
END_TEST

/* --- damaged models ---------------------------------------------------------------- */

static void assert_model_refused(const char *part)
{
    assert_refused(ASK("--json"), 1, part);
}

/* Write `text` in the place of the model's file of that name. */
static void put(const char *name, const char *text)
{
    write_whole(in_folder(name), text, strlen(text));
}

START_TEST(run__weights_damaged__names_file_and_value)
{
    size_t size;
    uint8_t *bytes = read_whole(in_folder("model.safetensors"), &size);
    write_whole(file, bytes, size - 100);
    assert_model_refused("model.safetensors: ");
    write_whole(file, bytes, 5);
    assert_model_refused("size is 5 bytes, wanted at least 10");
    uint8_t first[8];
    memcpy(first, bytes, 8);
    memset(bytes, 0xff, 8);
    write_whole(file, bytes, size);
    assert_model_refused("header length is 18446744073709551615, wanted");
    memcpy(bytes, first, 8);
    bytes[8] = '[';
    write_whole(file, bytes, size);
    assert_model_refused("model.safetensors: header");
    free(bytes);
    unlink(file);
    assert_model_refused("model.safetensors");
}
END_TEST

/* The checkpoint with one entry of its header under another spelling of the
 * same length. */
static void respell(const char *from, const char *to)
{
    size_t size;
    uint8_t *bytes = read_whole(in_folder("model.safetensors"), &size);
    char *at = memmem(bytes, size, from, strlen(from));
    ck_assert_ptr_nonnull(at);
    memcpy(at, to, strlen(to));
    write_whole(file, bytes, size);
    free(bytes);
}

START_TEST(run__tensor_missing__named)
{
    respell("layers.3.mlp.up_proj", "layers.3.mlp.xx_proj");
    assert_model_refused("layers.3.mlp.up_proj");
}
END_TEST

START_TEST(run__tensor_of_integers__dtype_met_and_wanted)
{
    respell("\"F32\"", "\"I32\"");
    assert_model_refused("I32");
}
END_TEST

START_TEST(run__config_impossible__names_field)
{
    size_t size;
    char *text = (char *)read_whole(in_folder("config.json"), &size);
    static const struct {
        const char *from, *to, *part;
    } cases[] = {
        {"\"hidden_size\": 48", "\"hidden_size\": -8", "hidden_size"},
        {"\"hidden_size\": 48", "\"hidden_size\": 1e", "config.json"},
        {"\"num_hidden_layers\": 4", "\"num_hidden_layers\": 9", "layers."},
        {"\"num_attention_heads\": 6", "\"num_attention_heads\": 0",
         "num_attention_heads"},
        {"\"patch_size\": 14", "\"patch_size\": 99", "patch_size"},
        {"\"model_type\": \"llava\"", "\"model_type\": \"lava!\"", "lava!"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *copy = malloc(size);
        memcpy(copy, text, size);
        char *at = memmem(copy, size, cases[i].from, strlen(cases[i].from));
        ck_assert_msg(at, "no %s", cases[i].from);
        memcpy(at, cases[i].to, strlen(cases[i].to));
        write_whole(in_folder("config.json"), copy, size);
        free(copy);
        assert_model_refused(cases[i].part);
    }
    free(text);
    put("config.json", "");
    assert_model_refused("config.json");
    unlink(file);
    assert_model_refused("config.json");
}
END_TEST

START_TEST(run__tokenizer_damaged__names_file)
{
    put("tokenizer.json", "{\"model\":");
    assert_model_refused("tokenizer.json");
    unlink(file);
    assert_model_refused("tokenizer.json");
}
END_TEST

START_TEST(run__no_model_directory__named)
{
    assert_refused(
        command("run", "-m", "/no/such/model", "-p", "x", NULL), 1,
        "/no/such/model");
    setenv("TKP_DEMO_MODEL", "/no/such/demo", 1);
    assert_refused(
        command("run", "-p", "x", NULL), 1, "TKP_DEMO_MODEL is /no/such/demo");
    unsetenv("TKP_DEMO_MODEL");
}
END_TEST

START_TEST(run__scores_missing_or_wrong__told)
{
    assert_refused(
        ASK("--policy", "external"), 1, "wants scores of the caller");
    assert_refused(
        ASK("--policy", "external", "--scores", write_scores(17, "scores")), 1,
        "scores: f32 with 17 entries, wanted f32 [16]");
    assert_refused(
        ASK("--policy", "external", "--scores", write_scores(16, "score")), 1,
        "has no tensor 'scores'");
    assert_refused(
        ASK("--policy", "external", "--scores", "/no/such/file"), 1,
        "/no/such/file");
    assert_refused(ASK("--scores", "x"), 2, "--scores needs a --policy");
}
END_TEST

START_TEST(run__backend_unknown__named)
{
    assert_refused(ASK("--backend", "tpu"), 1, "tpu");
}
END_TEST

/* --- the demo model ------------------------------------------------------------------ */

START_TEST(run__demo_model__found_by_itself)
{
    char config[PATH_MAX];
    const char *root = getenv("TKP_SOURCE_DIR");
    snprintf(
        config, sizeof(config), "%s/examples/demo/model/config.json",
        root ? root : ".");
    if (access(config, R_OK) != 0)
        return; /* the tree has none yet */
    char above[PATH_MAX];
    char program[PATH_MAX];
    ck_assert_ptr_nonnull(realpath(root ? root : ".", above));
    if (strncmp(program_path(program), above, strlen(above)) != 0)
        return; /* built elsewhere: TKP_DEMO_MODEL says where it is */
    spoken s = command(
        "run", "--image", bed.picture, "--prompt", "What is this?", "--policy",
        "fastv", "--keep-ratio", "1/4", "--max-new-tokens", "4", "--json",
        NULL);
    json_t *json = assert_json(s, "run");
    const json_t *cost = json_object_get(json, "cost");
    ck_assert_int_eq(
        4 * json_int_at(cost, "visual_after"),
        json_int_at(cost, "visual_before"));
    json_decref(json);
}
END_TEST

START_TEST(run__program_far_from_any_model__says_what_to_give)
{
    char from[PATH_MAX];
    size_t bytes;
    uint8_t *program = read_whole(program_path(from), &bytes);
    write_whole(in_folder("tokenprune"), program, bytes);
    free(program);
    ck_assert_int_eq(chmod(file, 0755), 0);
    spoken s = command_of(file, "run", "-p", "x", NULL);
    ck_assert_ptr_nonnull(strstr(s.err, "give --model DIR"));
    ck_assert_ptr_nonnull(strstr(s.err, "share/tokenprune/demo/model"));
    assert_refused(s, 1, bed.folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli/run");
    TCase *answers = tcase_create("answers");
    tcase_add_checked_fixture(answers, setup, teardown);
    tcase_add_test(answers, run__no_policy__tokens_of_transformers);
    tcase_add_test(answers, run__fastv__tokens_and_cells_of_transformers);
    tcase_add_test(answers, run__external__cells_of_the_best_scores);
    tcase_add_test(answers, run__controls__exact_count_wherever_they_cut);
    tcase_add_test(answers, run__compare__unpruned_answer_beside);
    tcase_add_test(answers, run__keep_all__unpruned_answer);
    tcase_add_test(answers, run__text__answer_then_table);
    tcase_add_test(answers, run__random__seed_repeats);
    tcase_add_test(answers, run__two_images__both_are_cut);
    tcase_add_test(answers, run__frames_of_a_video__tokens_of_transformers);
    tcase_add_test(answers, run__interrupted__answer_so_far_and_its_cost);
    tcase_add_test(
        answers, run__interrupted_in_prefill__stops_before_the_answer);
    tcase_add_test(answers, run__picture__dropped_patches_are_dim_and_grey);
    tcase_add_test(answers, run__demo_model__found_by_itself);
    suite_add_tcase(suite, answers);
    TCase *refusals = tcase_create("refusals");
    tcase_add_checked_fixture(refusals, setup, teardown);
    tcase_add_test(refusals, run__command_line_wrong__exit_2);
    tcase_add_test(refusals, run__budget_out_of_range__says_what_is_there);
    tcase_add_test(refusals, run__fit__every_preset_of_the_paper_answers);
    tcase_add_test(refusals, run__policy_bad__says_where);
    tcase_add_test(refusals, run__images_and_prompt_disagree__counts);
    tcase_add_test(refusals, run__image_bad__names_the_file);
    tcase_add_test(refusals, run__output_cannot_be_written__fails);
    tcase_add_test(refusals, run__weights_damaged__names_file_and_value);
    tcase_add_test(refusals, run__tensor_missing__named);
    tcase_add_test(refusals, run__tensor_of_integers__dtype_met_and_wanted);
    tcase_add_test(refusals, run__config_impossible__names_field);
    tcase_add_test(refusals, run__tokenizer_damaged__names_file);
    tcase_add_test(refusals, run__no_model_directory__named);
    tcase_add_test(refusals, run__scores_missing_or_wrong__told);
    tcase_add_test(refusals, run__backend_unknown__named);
    tcase_add_test(
        refusals, run__program_far_from_any_model__says_what_to_give);
    suite_add_tcase(suite, refusals);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
