/*
 * Checkpoints: the tiny ones that transformers saved (tests/golden/models),
 * the published LLaVA-1.5 configuration, and files that lie.
 */

#include "mllm/model_files.h"

#include "api/test_allocator.h"
#include "mllm/checkpoint/checkpoint.h"
#include "mllm/checkpoint/weight_names.h"

static char folder[PATH_MAX];

static void setup(void)
{
    scratch_make(folder);
}

static void teardown(void)
{
    scratch_remove(folder);
}

/* A path in the scratch folder; valid until the next call but three. */
static const char *at(const char *name)
{
    static char paths[4][PATH_MAX + 300];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    write_whole(at(name), text, strlen(text));
}

/* --- safetensors ------------------------------------------------------- */

/* 8 bytes of length, the header, `data` bytes 0, 1, 2, ... */
static const char *write_container(const char *header, size_t data)
{
    const size_t length = strlen(header);
    uint8_t *bytes = calloc(1, 8 + length + data);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)length >> (8 * i));
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data; i++)
        bytes[8 + length + i] = (uint8_t)i;
    const char *path = at("t.safetensors");
    write_whole(path, bytes, 8 + length + data);
    free(bytes);
    return path;
}

START_TEST(safetensors_open__written_by_hugging_face__every_entry_seen)
{
    char path[PATH_MAX];
    tkp__safetensors *file;
    assert_ok(tkp__safetensors_open(
        &file, golden_path(path, "models/llava-f32/fixture.safetensors")));
    tkp_tensor ids;
    ck_assert(tkp__safetensors_find(file, "input_ids", &ids));
    ck_assert_int_eq(ids.dtype, TKP_DTYPE_I32);
    ck_assert_int_eq(ids.ndim, 1);
    ck_assert_int_eq(ids.shape[0], 29);
    const int32_t *id = tkp__data(&ids);
    ck_assert_int_eq(id[0], 1);
    ck_assert_int_eq(id[4], 100);
    ck_assert_int_eq(id[19], 100);
    ck_assert_int_ne(id[20], 100);
    ck_assert(!tkp__safetensors_find(file, "input_id", &ids));
    ck_assert_int_gt(tkp__safetensors_count(file), 40);
    for (int64_t i = 0; i < tkp__safetensors_count(file); i++) {
        const char *name;
        tkp_tensor view;
        tkp_tensor found;
        tkp__safetensors_entry(file, i, &name, &view);
        ck_assert(tkp__safetensors_find(file, name, &found));
        ck_assert_ptr_eq(view.data, found.data);
        assert_ok(tkp__check_view(&view, name, false));
    }
    tkp__safetensors_close(file);
}
END_TEST

START_TEST(safetensors_open__data_off_their_alignment__copied_and_equal)
{
    const char *path = write_container(
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[3,11]}}",
        11);
    tkp__safetensors *file;
    tkp_tensor view;
    assert_ok(tkp__safetensors_open(&file, path));
    ck_assert(tkp__safetensors_find(file, "b", &view));
    ck_assert_uint_eq((uintptr_t)tkp__data(&view) % 4, 0);
    const uint8_t expected[8] = {3, 4, 5, 6, 7, 8, 9, 10};
    ck_assert_mem_eq(tkp__data(&view), expected, 8);
    tkp__safetensors_close(file);
}
END_TEST

START_TEST(safetensors_open__legal_oddities__accepted)
{
    static const struct {
        const char *header;
        size_t data;
        int64_t count;
    } cases[] = {
        {"{}", 0, 0},
        {"{\"__metadata__\":{\"format\":\"pt\"}}      ", 0, 0},
        {"{\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4,
         1},
        {"{\"z\":{\"dtype\":\"F32\",\"shape\":[0,9],\"data_offsets\":[0,0]},"
         "\"s\":{\"dtype\":\"BOOL\",\"shape\":[4],\"data_offsets\":[0,4]}}",
         4, 2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkp__safetensors *file;
        assert_ok(tkp__safetensors_open(
            &file, write_container(cases[i].header, cases[i].data)));
        ck_assert_int_eq(tkp__safetensors_count(file), cases[i].count);
        tkp__safetensors_close(file);
    }
}
END_TEST

/* `T` is one tensor of 4 f32 values at [0, 16). */
#define T(name, begin, end)                                                    \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[" begin   \
    "," end "]}"

static const struct {
    const char *header;
    size_t data;
    int status;
    const char *message;
} bad_headers[] = {
    {"{\"a\":", 16, TKP_ERR_FORMAT, "header"},
    {"[1]", 16, TKP_ERR_FORMAT, "no object"},
    {"{" T("a", "0", "16") "," T("a", "16", "32") "}", 32, TKP_ERR_FORMAT,
     "duplicate"},
    {"{\"a\":3}", 16, TKP_ERR_FORMAT, "a: is no object"},
    {"{\"\":{}}", 16, TKP_ERR_FORMAT, "name has 0 bytes"},
    {"{\"a\\n\":{}}", 16, TKP_ERR_FORMAT, "control character"},
    {"{\"a\\u0000b\":{}}", 16, TKP_ERR_FORMAT, "header"},
    {"{\"\xff\xfe\":{}}", 16, TKP_ERR_FORMAT, "decode byte"},
    {"{\"a\":{}}", 16, TKP_ERR_FORMAT, "a: dtype"},
    {"{\"a\":{\"dtype\":7}}", 16, TKP_ERR_FORMAT, "a: dtype"},
    {"{\"a\":{\"dtype\":\"F4\"}}", 16, TKP_ERR_UNSUPPORTED, "dtype is F4"},
    {"{\"a\":{\"dtype\":\"F32\"}}", 16, TKP_ERR_FORMAT, "a: shape"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}", 16,
     TKP_ERR_FORMAT, "shape[0]"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4.0],\"data_offsets\":[0,16]}}", 16,
     TKP_ERR_FORMAT, "shape[0]"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999]}}", 16,
     TKP_ERR_FORMAT, "integer"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
     "\"data_offsets\":[0,16]}}",
     16, TKP_ERR_FORMAT, "product"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,4],"
     "\"data_offsets\":[0,16]}}",
     16, TKP_ERR_UNSUPPORTED, "7 dimensions"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", 16, TKP_ERR_FORMAT,
     "a: data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0]}}", 16,
     TKP_ERR_FORMAT, "a: data_offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[\"0\",16]}}",
     16, TKP_ERR_FORMAT, "a: data_offsets"},
    {"{" T("a", "-16", "0") "}", 16, TKP_ERR_FORMAT, "a: data_offsets"},
    {"{" T("a", "16", "0") "}", 16, TKP_ERR_FORMAT, "a: data_offsets"},
    {"{" T("a", "0", "12") "}", 16, TKP_ERR_FORMAT, "wanted 16 for its shape"},
    {"{" T("a", "0", "17") "}", 16, TKP_ERR_FORMAT, "end at 17, wanted"},
    {"{" T("a", "9223372036854775791", "9223372036854775807") "}", 16,
     TKP_ERR_FORMAT, "end at 9223372036854775807"},
    {"{" T("a", "0", "16") "," T("b", "12", "28") "}", 28, TKP_ERR_FORMAT,
     "overlap"},
    {"{" T("a", "0", "16") "," T("b", "0", "16") "}", 16, TKP_ERR_FORMAT,
     "overlap"},
    {"{" T("a", "0", "16") "," T("b", "20", "36") "}", 36, TKP_ERR_FORMAT,
     "hole"},
    {"{" T("a", "0", "16") "}", 20, TKP_ERR_FORMAT, "20 data bytes, wanted 16"},
};

START_TEST(safetensors_open__header_that_lies__refused_by_file_and_tensor)
{
    tkp__safetensors *file = NULL;
    const int status = (int)tkp__safetensors_open(
        &file, write_container(bad_headers[_i].header, bad_headers[_i].data));
    ck_assert_msg(
        status == bad_headers[_i].status, "case %d: %s: %s", _i,
        tkp_status_string((tkp_status)status), tkp_last_message());
    assert_message("t.safetensors");
    assert_message(bad_headers[_i].message);
    ck_assert_ptr_null(file);
}
END_TEST

START_TEST(safetensors_open__header_length_that_lies__refused)
{
    static const uint64_t lengths[] = {31,         100000000,         100000001,
                                       UINT64_MAX, (uint64_t)1 << 63, 0};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        uint8_t bytes[38] = {0};
        memcpy(bytes, &lengths[i], 8);
        memset(bytes + 8, ' ', 30);
        write_whole(at("t.safetensors"), bytes, sizeof(bytes));
        tkp__safetensors *file = NULL;
        ck_assert_int_eq(
            tkp__safetensors_open(&file, at("t.safetensors")), TKP_ERR_FORMAT);
        assert_message("t.safetensors: header");
    }
}
END_TEST

START_TEST(safetensors_open__cut_anywhere__refused)
{
    char path[PATH_MAX];
    size_t size;
    uint8_t *bytes = read_whole(
        golden_path(path, "models/llava-wide/model.safetensors"), &size);
    for (size_t cut = 0; cut < size; cut += cut < 64 ? 1 : 1 + size / 97) {
        write_whole(at("cut.safetensors"), bytes, cut);
        tkp__safetensors *file = NULL;
        ck_assert_int_eq(
            tkp__safetensors_open(&file, at("cut.safetensors")),
            TKP_ERR_FORMAT);
        assert_message("cut.safetensors");
    }
    free(bytes);
}
END_TEST

START_TEST(safetensors_open__header_bytes_changed__no_crash)
{
    char path[PATH_MAX];
    size_t size;
    uint8_t *bytes = read_whole(
        golden_path(path, "models/llava-wide/fixture.safetensors"), &size);
    uint64_t header = 0;
    memcpy(&header, bytes, 8);
    uint64_t state = 42;
    for (int round = 0; round < 1000; round++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const size_t place = (size_t)(state >> 33) % (8 + header);
        const uint8_t saved = bytes[place];
        bytes[place] = round % 2 ? (uint8_t)(state >> 20)
                                 : (uint8_t) "0123456789-.,:{}[]\""[round % 19];
        write_whole(at("m.safetensors"), bytes, size);
        bytes[place] = saved;
        tkp__safetensors *file = NULL;
        if (tkp__safetensors_open(&file, at("m.safetensors")) != TKP_OK) {
            assert_message("m.safetensors");
            continue;
        }
        /* Every byte that a view shows must be there to be read. */
        uint64_t sum = 0;
        for (int64_t i = 0; i < tkp__safetensors_count(file); i++) {
            const char *name;
            tkp_tensor view;
            tkp__safetensors_entry(file, i, &name, &view);
            const size_t n =
                (size_t)tkp_tensor_count(&view) * tkp_dtype_bytes(view.dtype);
            sum += n ? fnv1a(tkp__data(&view), n) : 0;
        }
        ck_assert_uint_ne(sum, 1);
        tkp__safetensors_close(file);
    }
    free(bytes);
}
END_TEST

START_TEST(safetensors_open__not_a_file__io_error_with_the_path)
{
    tkp__safetensors *file = NULL;
    ck_assert_int_eq(
        tkp__safetensors_open(&file, at("none.safetensors")), TKP_ERR_IO);
    assert_message("none.safetensors");
    ck_assert_int_eq(tkp__safetensors_open(&file, folder), TKP_ERR_IO);
    assert_message("regular file");
    ck_assert_int_eq(tkp__safetensors_open(&file, NULL), TKP_ERR_ARGUMENT);
    tkp__safetensors_close(NULL);
}
END_TEST

START_TEST(safetensors_write__mixed_types__read_back_equal_and_aligned)
{
    uint8_t bytes[5] = {1, 2, 3, 4, 5};
    uint16_t halves[3] = {0x3c00, 0x4000, 0xc000};
    float floats[6] = {1, 2, 3, 4, 5, 6};
    int64_t whole = -7;
    const int64_t shape[] = {2, 1, 3};
    tkp_tensor tensors[5];
    tkp_tensor_make_1d(&tensors[0], bytes, TKP_DTYPE_U8, 5);
    tkp_tensor_make_1d(&tensors[1], halves, TKP_DTYPE_BF16, 3);
    tkp_tensor_make(&tensors[2], floats, TKP_DTYPE_F32, 3, shape);
    tkp_tensor_make(&tensors[3], &whole, TKP_DTYPE_I64, 0, NULL);
    tkp_tensor_make_2d(&tensors[4], NULL, TKP_DTYPE_F16, 0, 4);
    static const char *const names[] = {"u8", "bf16", "f32", "i64", "empty"};
    assert_ok(tkp__safetensors_write(at("w.safetensors"), 5, names, tensors));
    tkp__safetensors *file;
    assert_ok(tkp__safetensors_open(&file, at("w.safetensors")));
    ck_assert_int_eq(tkp__safetensors_count(file), 5);
    for (int i = 0; i < 5; i++) {
        tkp_tensor view;
        ck_assert(tkp__safetensors_find(file, names[i], &view));
        ck_assert_int_eq(view.dtype, tensors[i].dtype);
        ck_assert_int_eq(view.ndim, tensors[i].ndim);
        ck_assert_int_eq(
            tkp_tensor_count(&view), tkp_tensor_count(&tensors[i]));
        const size_t n =
            (size_t)tkp_tensor_count(&view) * tkp_dtype_bytes(view.dtype);
        if (n)
            ck_assert_mem_eq(tkp__data(&view), tkp__data(&tensors[i]), n);
        ck_assert_uint_eq(
            (uintptr_t)tkp__data(&view) % tkp_dtype_bytes(view.dtype), 0);
    }
    tkp__safetensors_close(file);
}
END_TEST

START_TEST(safetensors_write__gaps_or_twice_a_name__refused)
{
    float floats[6] = {0};
    tkp_tensor tensors[2];
    tkp_tensor_make_2d(&tensors[0], floats, TKP_DTYPE_F32, 2, 2);
    tkp_tensor_make_1d(&tensors[1], floats, TKP_DTYPE_F32, 2);
    static const char *const same[] = {"a", "a"};
    ck_assert_int_eq(
        tkp__safetensors_write(at("w"), 2, same, tensors), TKP_ERR_ARGUMENT);
    assert_message("twice");
    static const char *const names[] = {"a", "b"};
    tensors[0].strides[0] = 3;
    ck_assert_int_eq(
        tkp__safetensors_write(at("w"), 2, names, tensors), TKP_ERR_SHAPE);
    assert_message("a: wanted contiguous");
    tensors[0].strides[0] = 2;
    ck_assert_int_eq(
        tkp__safetensors_write(at("no/such/folder"), 2, names, tensors),
        TKP_ERR_IO);
    assert_message("no/such/folder");
}
END_TEST

/* --- config.json ------------------------------------------------------- */

static tkp__model_config golden_config(const char *name)
{
    char path[PATH_MAX];
    char model[200];
    snprintf(model, sizeof(model), "models/%s", name);
    tkp__model_config config;
    assert_ok(tkp__model_config_load(&config, golden_path(path, model)));
    return config;
}

START_TEST(model_config_load__saved_by_transformers__fields)
{
    const tkp__model_config c = golden_config("llava-kv2-sharded");
    ck_assert_int_eq(c.kind, TKP__MODEL_LLAVA);
    ck_assert_int_eq(c.vision.hidden, 32);
    ck_assert_int_eq(c.vision.intermediate, 64);
    ck_assert_int_eq(c.vision.layers, 3);
    ck_assert_int_eq(c.vision.heads, 4);
    ck_assert_int_eq(c.vision.image, 56);
    ck_assert_int_eq(c.vision.patch, 14);
    ck_assert_int_eq(c.vision.activation, TKP__ACT_QUICK_GELU);
    ck_assert_int_eq(c.vision.feature_layer, 2);
    ck_assert(c.vision.drop_cls);
    ck_assert_int_eq(c.text.hidden, 48);
    ck_assert_int_eq(c.text.intermediate, 128);
    ck_assert_int_eq(c.text.layers, 4);
    ck_assert_int_eq(c.text.heads, 6);
    ck_assert_int_eq(c.text.kv_heads, 2);
    ck_assert_int_eq(c.text.head_dim, 8);
    ck_assert_int_eq(c.text.vocab, 128);
    ck_assert_int_eq(c.text.max_positions, 512);
    ck_assert_double_eq(c.text.norm_eps, 1e-5);
    ck_assert_double_eq(c.text.rope_theta, 10000.0);
    ck_assert(!c.text.tie_embeddings && !c.text.attention_bias);
    ck_assert_int_eq(c.text.activation, TKP__ACT_SILU);
    ck_assert_int_eq(c.projector_activation, TKP__ACT_GELU);
    ck_assert(c.projector_bias);
    ck_assert_int_eq(c.image_token_id, 100);
    ck_assert_int_eq(c.image.resize_shortest, 56);
    ck_assert_int_eq(c.image.crop_height, 56);
    ck_assert_int_eq(c.generation.eos_count, 2);
    ck_assert_int_eq(c.generation.eos[0], 2);
    ck_assert_int_eq(c.generation.eos[1], 127);
    ck_assert_int_eq(c.generation.bos, 1);
    ck_assert_int_eq(c.generation.pad, 0);
    ck_assert(golden_config("llava-wide").text.tie_embeddings);
}
END_TEST

/* The keys of the published llava-1.5-7b-hf: most fields are defaults. */
static const char published[] =
    "{\"architectures\":[\"LlavaForConditionalGeneration\"],"
    "\"ignore_index\":-100,\"image_token_index\":32000,"
    "\"model_type\":\"llava\",\"pad_token_id\":32001,"
    "\"projector_hidden_act\":\"gelu\",\"tie_word_embeddings\":false,"
    "\"text_config\":{\"_name_or_path\":\"lmsys/vicuna-7b-v1.5\","
    "\"max_position_embeddings\":4096,\"model_type\":\"llama\","
    "\"rms_norm_eps\":1e-05,\"torch_dtype\":\"float16\","
    "\"vocab_size\":32064},\"torch_dtype\":\"float16\","
    "\"vision_config\":{\"hidden_size\":1024,\"image_size\":336,"
    "\"intermediate_size\":4096,\"model_type\":\"clip_vision_model\","
    "\"num_attention_heads\":16,\"num_hidden_layers\":24,\"patch_size\":14,"
    "\"projection_dim\":768,\"vocab_size\":32000},"
    "\"vision_feature_layer\":-2,"
    "\"vision_feature_select_strategy\":\"default\"}";

START_TEST(model_config_load__published_file__class_defaults_fill_in)
{
    write_text("config.json", published);
    tkp__model_config c;
    assert_ok(tkp__model_config_load(&c, folder));
    ck_assert_int_eq(c.text.hidden, 4096);
    ck_assert_int_eq(c.text.intermediate, 11008);
    ck_assert_int_eq(c.text.layers, 32);
    ck_assert_int_eq(c.text.heads, 32);
    ck_assert_int_eq(c.text.kv_heads, 32);
    ck_assert_int_eq(c.text.head_dim, 128);
    ck_assert_int_eq(c.text.vocab, 32064);
    ck_assert_int_eq(c.text.max_positions, 4096);
    ck_assert_double_eq(c.text.norm_eps, 1e-5);
    ck_assert_double_eq(c.text.rope_theta, 10000.0);
    ck_assert_double_eq(c.vision.norm_eps, 1e-5);
    ck_assert_int_eq(c.vision.feature_layer, 23);
    ck_assert_int_eq(c.image_token_id, 32000);
    /* no side files: pictures by the encoder's size, tokens by the config */
    ck_assert_int_eq(c.image.resize_shortest, 336);
    ck_assert_int_eq(c.image.crop_width, 336);
    ck_assert(c.image.do_rescale && c.image.do_normalize);
    ck_assert(!c.image.pad_square);
    ck_assert_int_eq(c.generation.eos_count, 1);
    ck_assert_int_eq(c.generation.eos[0], 2);
    ck_assert_int_eq(c.generation.pad, 32001);
    ck_assert_int_eq(c.generation.top_k, 50);
}
END_TEST

START_TEST(model_config_load__empty_sections__each_class_has_its_defaults)
{
    tkp__model_config c;
    write_text(
        "config.json", "{\"model_type\":\"llava\",\"image_token_id\":3}");
    assert_ok(tkp__model_config_load(&c, folder));
    ck_assert_int_eq(c.vision.hidden, 1024);
    ck_assert_int_eq(c.vision.layers, 24);
    ck_assert_int_eq(c.vision.image, 336);
    ck_assert_int_eq(c.text.vocab, 32000);
    ck_assert_double_eq(c.text.norm_eps, 1e-6);
    ck_assert_int_eq(c.text.max_positions, 2048);
    ck_assert_int_eq(c.image_token_id, 3);
    write_text(
        "config.json", "{\"model_type\":\"llava\",\"image_token_id\":3,"
                       "\"vision_config\":{},\"text_config\":null}");
    assert_ok(tkp__model_config_load(&c, folder));
    ck_assert_int_eq(c.vision.hidden, 768);
    ck_assert_int_eq(c.vision.patch, 32);
    ck_assert_int_eq(c.vision.image, 224);
    ck_assert_int_eq(c.vision.feature_layer, 11);
}
END_TEST

/* text_config, vision_config and top level get these keys. */
static void write_config(const char *text, const char *vision, const char *top)
{
    char json[4000];
    snprintf(
        json, sizeof(json),
        "{\"model_type\":\"llava\",\"image_token_index\":5,%s%s"
        "\"text_config\":{\"vocab_size\":200%s%s},"
        "\"vision_config\":{\"projection_dim\":8%s%s}}",
        top, *top ? "," : "", *text ? "," : "", text, *vision ? "," : "",
        vision);
    write_text("config.json", json);
}

static const struct {
    const char *text, *vision, *top;
    int status;
    const char *message;
} bad_configs[] = {
    {"\"num_hidden_layers\":1025", "", "", TKP_ERR_FORMAT,
     "text_config.num_hidden_layers is 1025, wanted 1 to 1024"},
    {"\"num_hidden_layers\":0", "", "", TKP_ERR_FORMAT, "is 0, wanted 1"},
    {"\"hidden_size\":-4096", "", "", TKP_ERR_FORMAT, "is -4096"},
    {"\"hidden_size\":9007199254740993", "", "", TKP_ERR_FORMAT,
     "9007199254740993"},
    {"\"hidden_size\":1e3", "", "", TKP_ERR_FORMAT,
     "text_config.hidden_size is a fraction, wanted an integer"},
    {"\"hidden_size\":\"4096\"", "", "", TKP_ERR_FORMAT, "is a string"},
    {"\"hidden_size\":99999999999999999999999", "", "", TKP_ERR_FORMAT,
     "config.json:1:"},
    {"\"hidden_size\":4095", "", "", TKP_ERR_FORMAT,
     "4095, wanted a multiple of num_attention_heads 32"},
    {"\"hidden_size\":96", "", "", TKP_ERR_FORMAT,
     "head_dim is 3, wanted even"},
    {"\"head_dim\":7", "", "", TKP_ERR_FORMAT, "head_dim is 7, wanted even"},
    {"\"num_attention_heads\":1", "", "", TKP_ERR_FORMAT, "head_dim is 4096"},
    {"\"num_key_value_heads\":5", "", "", TKP_ERR_FORMAT,
     "num_key_value_heads 5"},
    {"\"vocab_size\":16777217", "", "", TKP_ERR_FORMAT, "duplicate"},
    {"\"max_position_embeddings\":0", "", "", TKP_ERR_FORMAT,
     "max_position_embeddings"},
    {"\"rms_norm_eps\":\"x\"", "", "", TKP_ERR_FORMAT, "rms_norm_eps"},
    {"\"rms_norm_eps\":-1e-5", "", "", TKP_ERR_FORMAT,
     "rms_norm_eps is -1e-05"},
    {"\"rms_norm_eps\":1e999", "", "", TKP_ERR_FORMAT, "config.json:1:"},
    {"\"rms_norm_eps\":NaN", "", "", TKP_ERR_FORMAT, "config.json:1:"},
    {"\"rope_theta\":0", "", "", TKP_ERR_FORMAT, "rope_theta is 0"},
    {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}", "", "",
     TKP_ERR_UNSUPPORTED, "rope_scaling.type is \"linear\""},
    {"\"rope_parameters\":{\"rope_type\":\"yarn\"}", "", "",
     TKP_ERR_UNSUPPORTED, "rope_parameters.rope_type is \"yarn\""},
    {"\"rope_parameters\":{\"partial_rotary_factor\":0.5}", "", "",
     TKP_ERR_FORMAT, "partial_rotary_factor"},
    {"\"rope_scaling\":[]", "", "", TKP_ERR_FORMAT, "rope_scaling is an array"},
    {"\"hidden_act\":\"relu\"", "", "", TKP_ERR_UNSUPPORTED,
     "text_config.hidden_act is \"relu\""},
    {"\"attention_bias\":1", "", "", TKP_ERR_FORMAT, "attention_bias"},
    {"\"model_type\":\"qwen2\"", "", "", TKP_ERR_UNSUPPORTED,
     "text_config.model_type is \"qwen2\""},
    {"\"eos_token_id\":200", "", "", TKP_ERR_FORMAT,
     "text_config.eos_token_id is 200"},
    {"", "\"model_type\":\"siglip_vision_model\"", "", TKP_ERR_UNSUPPORTED,
     "siglip"},
    {"", "\"image_size\":225", "", TKP_ERR_FORMAT,
     "225, wanted a multiple of patch_size 32"},
    {"", "\"image_size\":1000000", "", TKP_ERR_FORMAT, "image_size is 1000000"},
    {"", "\"num_attention_heads\":5", "", TKP_ERR_FORMAT,
     "vision_config.hidden_size is 768"},
    {"", "\"num_channels\":4", "", TKP_ERR_FORMAT, "num_channels is 4"},
    {"", "\"num_hidden_layers\":2000000000", "", TKP_ERR_FORMAT,
     "vision_config.num_hidden_layers"},
    {"", "", "\"vision_feature_layer\":-14", TKP_ERR_FORMAT,
     "vision_feature_layer is -14, wanted -13 to 12"},
    {"", "", "\"vision_feature_layer\":13", TKP_ERR_FORMAT,
     "vision_feature_layer"},
    {"", "", "\"vision_feature_layer\":[-2,-5]", TKP_ERR_UNSUPPORTED,
     "vision_feature_layer is an array"},
    {"", "", "\"vision_feature_select_strategy\":\"cls\"", TKP_ERR_UNSUPPORTED,
     "\"cls\""},
    {"", "", "\"image_token_id\":200", TKP_ERR_FORMAT, "image_token_id is 200"},
    {"", "", "\"image_token_id\":6", TKP_ERR_FORMAT, "wanted one value"},
    {"", "", "\"quantization_config\":{\"bits\":4}", TKP_ERR_UNSUPPORTED,
     "quantization_config"},
    {"", "", "\"mm_vision_tower\":\"openai/clip\"", TKP_ERR_UNSUPPORTED,
     "Hugging Face layout"},
    {"", "", "\"projector_hidden_act\":3", TKP_ERR_FORMAT,
     "projector_hidden_act is an integer"},
};

START_TEST(model_config_load__impossible_field__file_field_and_value_named)
{
    write_config(
        bad_configs[_i].text, bad_configs[_i].vision, bad_configs[_i].top);
    tkp__model_config config;
    memset(&config, 0x5a, sizeof(config));
    const tkp__model_config before = config;
    const int status = (int)tkp__model_config_load(&config, folder);
    ck_assert_msg(
        status == bad_configs[_i].status, "case %d: %s: %s", _i,
        tkp_status_string((tkp_status)status), tkp_last_message());
    assert_message("config.json");
    assert_message(bad_configs[_i].message);
    ck_assert_mem_eq(&config, &before, sizeof(config));
}
END_TEST

START_TEST(model_config_load__no_llava_at_all__said_so)
{
    static const struct {
        const char *text;
        int status;
        const char *message;
    } cases[] = {
        {"", TKP_ERR_FORMAT, "config.json:"},
        {"[]", TKP_ERR_FORMAT, "no object"},
        {"{}", TKP_ERR_FORMAT, "model_type is missing"},
        {"{\"model_type\":\"llava_onevision\"}", TKP_ERR_UNSUPPORTED,
         "\"llava_onevision\", wanted \"llava\", \"llava_next\" or"},
        {"{\"model_type\":[]}", TKP_ERR_FORMAT, "model_type is an array"},
        {"{\"model_type\":\"llava\",\"text_config\":7}", TKP_ERR_FORMAT,
         "text_config is an integer"},
        {"{\"model_type\":\"llava\"}", TKP_ERR_FORMAT,
         "image_token_index is 32000 (the default)"},
        {"{\"model_type\":\"llava\"", TKP_ERR_FORMAT, "config.json:1:"}};
    tkp__model_config config;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_text("config.json", cases[i].text);
        ck_assert_int_eq(
            tkp__model_config_load(&config, folder), cases[i].status);
        assert_message(cases[i].message);
    }
    ck_assert_int_eq(
        tkp__model_config_load(&config, at("nowhere")), TKP_ERR_IO);
    assert_message("nowhere/config.json");
    ck_assert_int_eq(tkp__model_config_load(NULL, folder), TKP_ERR_ARGUMENT);
}
END_TEST

/* --- Qwen2-VL ---------------------------------------------------------- */

/* The published file of the 2B model. */
static const char qwen_2b[] =
    "{\"architectures\":[\"Qwen2VLForConditionalGeneration\"],"
    "\"attention_dropout\":0.0,\"bos_token_id\":151643,"
    "\"eos_token_id\":151645,\"vision_start_token_id\":151652,"
    "\"vision_end_token_id\":151653,\"vision_token_id\":151654,"
    "\"image_token_id\":151655,\"video_token_id\":151656,"
    "\"hidden_act\":\"silu\",\"hidden_size\":1536,"
    "\"intermediate_size\":8960,\"max_position_embeddings\":32768,"
    "\"max_window_layers\":28,\"model_type\":\"qwen2_vl\","
    "\"num_attention_heads\":12,\"num_hidden_layers\":28,"
    "\"num_key_value_heads\":2,\"rms_norm_eps\":1e-06,"
    "\"rope_theta\":1000000.0,\"sliding_window\":32768,"
    "\"tie_word_embeddings\":true,\"torch_dtype\":\"bfloat16\","
    "\"use_sliding_window\":false,\"vision_config\":{\"depth\":32,"
    "\"embed_dim\":1280,\"mlp_ratio\":4,\"num_heads\":16,\"in_chans\":3,"
    "\"hidden_size\":1536,\"patch_size\":14,\"spatial_merge_size\":2,"
    "\"spatial_patch_size\":14,\"temporal_patch_size\":2},"
    "\"rope_scaling\":{\"type\":\"mrope\",\"mrope_section\":[16,24,24]},"
    "\"vocab_size\":151936}";

START_TEST(model_config_load__published_qwen__as_published)
{
    tkp__model_config c;
    write_text("config.json", qwen_2b);
    assert_ok(tkp__model_config_load(&c, folder));
    ck_assert_int_eq(c.kind, TKP__MODEL_QWEN2_VL);
    ck_assert_int_eq(c.text.hidden, 1536);
    ck_assert_int_eq(c.text.kv_heads, 2);
    ck_assert_int_eq(c.text.head_dim, 128);
    ck_assert_int_eq(c.text.rope_section[0], 16);
    ck_assert_int_eq(c.text.rope_section[2], 24);
    ck_assert_double_eq(c.text.rope_theta, 1e6);
    ck_assert_double_eq(c.text.norm_eps, 1e-6);
    ck_assert(c.text.tie_embeddings && c.text.attention_bias);
    ck_assert(!c.text.output_bias && !c.text.mlp_bias);
    ck_assert_int_eq(c.vision.hidden, 1280);
    ck_assert_int_eq(c.vision.intermediate, 5120);
    ck_assert_int_eq(c.vision.layers, 32);
    ck_assert_int_eq(c.vision.merge, 2);
    ck_assert_int_eq(c.vision.frames, 2);
    ck_assert_int_eq(c.image_token_id, 151655);
    ck_assert_int_eq(c.video_token_id, 151656);
    ck_assert_int_eq(c.generation.eos[0], 151645);
}
END_TEST

/* Class defaults are those of the 72B model. */
START_TEST(model_config_load__qwen_without_fields__defaults_of_the_class)
{
    tkp__model_config c;
    write_text(
        "config.json", "{\"model_type\":\"qwen2_vl\",\"text_config\":{"
                       "\"rope_parameters\":{\"rope_type\":\"default\","
                       "\"rope_theta\":5e5,\"mrope_section\":[16,24,24]}},"
                       "\"vision_config\":{\"hidden_size\":8192}}");
    assert_ok(tkp__model_config_load(&c, folder));
    ck_assert_int_eq(c.text.hidden, 8192);
    ck_assert_int_eq(c.text.layers, 80);
    ck_assert_int_eq(c.text.kv_heads, 8);
    ck_assert_int_eq(c.text.vocab, 152064);
    ck_assert_double_eq(c.text.rope_theta, 5e5);
    ck_assert_double_eq(c.text.norm_eps, 1e-5);
    ck_assert(!c.text.tie_embeddings);
    ck_assert_int_eq(c.vision.heads, 16);
    ck_assert_int_eq(c.generation.bos, 151643);
}
END_TEST

/* One piece of the published file replaced by another. */
static const struct {
    const char *was, *is;
    int status;
    const char *message;
} bad_qwen[] = {
    {"\"mrope\"", "\"yarn\"", TKP_ERR_UNSUPPORTED,
     "rope_scaling.type is \"yarn\", wanted \"default\" or \"mrope\""},
    {"\"mrope_section\"", "\"m_section\"", TKP_ERR_FORMAT,
     "mrope_section is missing"},
    {"[16,24,24]", "[16,24]", TKP_ERR_FORMAT, "no array of 3"},
    {"[16,24,24]", "7", TKP_ERR_FORMAT, "no array of 3"},
    {"[16,24,24]", "[16,24,25]", TKP_ERR_FORMAT,
     "adds up to 65, wanted half of head_dim 128"},
    {"[16,24,24]", "[16,-1,49]", TKP_ERR_FORMAT, "mrope_section[1]"},
    {"[16,24,24]", "[16,24,2.5]", TKP_ERR_FORMAT, "mrope_section[2]"},
    {"\"use_sliding_window\":false", "\"use_sliding_window\":true",
     TKP_ERR_UNSUPPORTED, "use_sliding_window is true"},
    {"\"num_key_value_heads\":2", "\"num_key_value_heads\":5", TKP_ERR_FORMAT,
     "num_attention_heads is 12"},
    {"\"video_token_id\":151656", "\"video_token_id\":151655", TKP_ERR_FORMAT,
     "both 151655"},
    {"\"image_token_id\":151655", "\"image_token_id\":151936", TKP_ERR_FORMAT,
     "image_token_id is 151936"},
    {"\"vocab_size\":151936", "\"vocab_size\":151650", TKP_ERR_FORMAT,
     "image_token_id is 151655"},
    {"\"num_heads\":16", "\"num_heads\":15", TKP_ERR_FORMAT,
     "embed_dim is 1280"},
    {"\"num_heads\":16", "\"num_heads\":128", TKP_ERR_FORMAT,
     "num_heads 128 times a multiple of 4"},
    {"\"mlp_ratio\":4", "\"mlp_ratio\":1e-9", TKP_ERR_FORMAT, "mlp_ratio"},
    {"\"hidden_size\":1536,\"patch_size\"",
     "\"hidden_size\":1280,\"patch_size\"", TKP_ERR_FORMAT,
     "vision_config.hidden_size is 1280, wanted 1536"},
    {"\"in_chans\":3", "\"in_channels\":4", TKP_ERR_FORMAT, "in_channels"},
    {"\"in_chans\":3", "\"model_type\":\"qwen2_5_vl\"", TKP_ERR_UNSUPPORTED,
     "vision_config.model_type is \"qwen2_5_vl\""},
    {"\"depth\":32", "\"depth\":0", TKP_ERR_FORMAT, "vision_config.depth"},
    {"\"patch_size\":14", "\"patch_size\":100000", TKP_ERR_FORMAT,
     "patch_size is 100000"},
};

START_TEST(model_config_load__impossible_qwen__file_field_and_value_named)
{
    char text[2048];
    const char *was = bad_qwen[_i].was, *at = strstr(qwen_2b, was);
    ck_assert_ptr_nonnull(at);
    snprintf(
        text, sizeof(text), "%.*s%s%s", (int)(at - qwen_2b), qwen_2b,
        bad_qwen[_i].is, at + strlen(was));
    write_text("config.json", text);
    tkp__model_config config;
    const int status = (int)tkp__model_config_load(&config, folder);
    ck_assert_msg(
        status == bad_qwen[_i].status, "%s: %s: %s", bad_qwen[_i].is,
        tkp_status_string((tkp_status)status), tkp_last_message());
    assert_message("config.json");
    assert_message(bad_qwen[_i].message);
}
END_TEST

START_TEST(model_config_load__deep_nesting__refused)
{
    const size_t depth = 200000;
    char *text = malloc(depth + 40);
    const size_t head = (size_t)sprintf(text, "{\"model_type\":");
    memset(text + head, '[', depth);
    text[head + depth] = 0;
    write_text("config.json", text);
    free(text);
    tkp__model_config config;
    ck_assert_int_eq(tkp__model_config_load(&config, folder), TKP_ERR_FORMAT);
    assert_message("config.json");
}
END_TEST

START_TEST(model_config_load__bytes_changed__no_crash)
{
    static const char *const files[] = {
        "models/llava-f32/config.json", "models/qwen2-vl/config.json",
        "models/qwen2-vl-tied/config.json"};
    char path[PATH_MAX];
    size_t size;
    uint8_t *bytes = read_whole(golden_path(path, files[_i]), &size);
    uint64_t state = 7;
    for (int round = 0; round < 2000; round++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const size_t place = (size_t)(state >> 33) % size;
        const uint8_t saved = bytes[place];
        bytes[place] = (uint8_t) "0123456789-.e,:{}[]\"n\\"[(state >> 20) % 22];
        write_whole(at("config.json"), bytes, size);
        bytes[place] = saved;
        tkp__model_config config;
        if (tkp__model_config_load(&config, folder) == TKP_OK) {
            ck_assert_int_le(config.text.layers, 1024);
            ck_assert_int_eq(config.text.head_dim % 2, 0);
        } else {
            assert_message("config.json");
        }
    }
    free(bytes);
}
END_TEST

/* --- side files -------------------------------------------------------- */

static tkp_status load_with(
    const char *name,
    const char *text,
    const char *top,
    tkp__model_config *out)
{
    write_config("", "\"image_size\":224", top);
    write_text(name, text);
    return tkp__model_config_load(out, folder);
}

START_TEST(model_config_load__preprocessor_old_and_new__same_meaning)
{
    static const char *const texts[] = {
        "{\"size\":224,\"crop_size\":224,\"image_mean\":[0.5,0.5,0.25]}",
        "{\"size\":{\"shortest_edge\":224},"
        "\"crop_size\":{\"height\":224,\"width\":224},"
        "\"image_mean\":[0.5,0.5,0.25],\"do_pad\":null}"};
    for (int i = 0; i < 2; i++) {
        tkp__model_config c;
        assert_ok(load_with("preprocessor_config.json", texts[i], "", &c));
        ck_assert_int_eq(c.image.resize_shortest, 224);
        ck_assert_int_eq(c.image.resize_height, 0);
        ck_assert_int_eq(c.image.crop_height, 224);
        ck_assert_int_eq(c.image.crop_width, 224);
        ck_assert_double_eq(c.image.mean[2], 0.25);
        ck_assert_double_eq(c.image.std[0], 0.26862954);
        ck_assert_double_eq(c.image.rescale_factor, 0.00392156862745098);
        ck_assert(!c.image.pad_square);
    }
}
END_TEST

START_TEST(model_config_load__processor_config_only__its_section_is_read)
{
    tkp__model_config c;
    assert_ok(load_with(
        "processor_config.json",
        "{\"image_processor\":{\"size\":{\"height\":224,\"width\":224},"
        "\"do_center_crop\":false}}",
        "", &c));
    ck_assert_int_eq(c.image.resize_height, 224);
    ck_assert_int_eq(c.image.resize_shortest, 0);
    ck_assert_int_eq(c.image.crop_height, 0);
}
END_TEST

START_TEST(model_config_load__pad_by_either_file__square_padding)
{
    tkp__model_config c;
    assert_ok(load_with(
        "preprocessor_config.json", "{\"size\":224}",
        "\"image_aspect_ratio\":\"pad\"", &c));
    ck_assert(c.image.pad_square);
    assert_ok(load_with(
        "preprocessor_config.json", "{\"size\":224,\"do_pad\":true}", "", &c));
    ck_assert(c.image.pad_square);
}
END_TEST

static const struct {
    const char *file, *text;
    int status;
    const char *message;
} bad_side_files[] = {
    {"preprocessor_config.json", "{", TKP_ERR_FORMAT, "_config.json:1:"},
    {"preprocessor_config.json", "{\"size\":0}", TKP_ERR_FORMAT, "size is 0"},
    {"preprocessor_config.json", "{\"size\":\"224\"}", TKP_ERR_FORMAT,
     "size is a string"},
    {"preprocessor_config.json", "{\"size\":{}}", TKP_ERR_FORMAT,
     "both or none"},
    {"preprocessor_config.json", "{\"size\":{\"height\":224}}", TKP_ERR_FORMAT,
     "missing, wanted both"},
    {"preprocessor_config.json", "{\"size\":{\"longest_edge\":224}}",
     TKP_ERR_UNSUPPORTED, "longest_edge"},
    {"preprocessor_config.json", "{\"crop_size\":336}", TKP_ERR_FORMAT,
     "336 x 336 (0: as they come), wanted vision_config.image_size 224"},
    {"preprocessor_config.json", "{\"crop_size\":{}}", TKP_ERR_FORMAT,
     "crop_size is empty"},
    {"preprocessor_config.json", "{\"do_center_crop\":false}", TKP_ERR_FORMAT,
     "0 x 0"},
    {"preprocessor_config.json", "{\"resample\":2}", TKP_ERR_UNSUPPORTED,
     "resample is 2, wanted 3"},
    {"preprocessor_config.json", "{\"image_mean\":[0,0]}", TKP_ERR_FORMAT,
     "image_mean"},
    {"preprocessor_config.json", "{\"image_mean\":[0,0,\"0\"]}", TKP_ERR_FORMAT,
     "image_mean"},
    {"preprocessor_config.json", "{\"image_std\":[1,1,0]}", TKP_ERR_FORMAT,
     "image_std holds 0"},
    {"preprocessor_config.json", "{\"rescale_factor\":-1}", TKP_ERR_FORMAT,
     "rescale_factor is -1"},
    {"processor_config.json", "{\"image_processor\":5}", TKP_ERR_FORMAT,
     "image_processor is an integer"},
    {"generation_config.json", "{\"eos_token_id\":200}", TKP_ERR_FORMAT,
     "eos_token_id is 200"},
    {"generation_config.json", "{\"eos_token_id\":[]}", TKP_ERR_FORMAT,
     "eos_token_id has 0 tokens"},
    {"generation_config.json",
     "{\"eos_token_id\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}", TKP_ERR_FORMAT,
     "eos_token_id has 17 tokens"},
    {"generation_config.json", "{\"eos_token_id\":[1,-1]}", TKP_ERR_FORMAT,
     "eos_token_id[1]"},
    {"generation_config.json", "{\"eos_token_id\":\"</s>\"}", TKP_ERR_FORMAT,
     "eos_token_id is a string"},
    {"generation_config.json", "{\"top_p\":1.5}", TKP_ERR_FORMAT,
     "top_p is 1.5"},
    {"generation_config.json", "{\"temperature\":-1}", TKP_ERR_FORMAT,
     "temperature is -1"},
    {"generation_config.json", "{\"repetition_penalty\":0}", TKP_ERR_FORMAT,
     "repetition_penalty is 0"},
    {"generation_config.json", "{\"top_k\":1.5}", TKP_ERR_FORMAT,
     "top_k is a fraction"},
};

START_TEST(model_config_load__side_file_that_lies__refused_by_file_and_field)
{
    tkp__model_config config;
    const int status = (int)load_with(
        bad_side_files[_i].file, bad_side_files[_i].text, "", &config);
    ck_assert_msg(
        status == bad_side_files[_i].status, "case %d: %s: %s", _i,
        tkp_status_string((tkp_status)status), tkp_last_message());
    assert_message(bad_side_files[_i].file);
    assert_message(bad_side_files[_i].message);
}
END_TEST

START_TEST(model_config_load__generation_file__wins_over_the_config)
{
    tkp__model_config c;
    assert_ok(load_with(
        "generation_config.json",
        "{\"eos_token_id\":[7,8,9],\"pad_token_id\":-1,\"do_sample\":true,"
        "\"temperature\":0.5,\"top_p\":0.25,\"top_k\":3,"
        "\"repetition_penalty\":1.125}",
        "\"eos_token_id\":44,\"bos_token_id\":45,\"pad_token_id\":46", &c));
    ck_assert_int_eq(c.generation.eos_count, 3);
    ck_assert_int_eq(c.generation.eos[2], 9);
    ck_assert_int_eq(c.generation.bos, 45);
    ck_assert_int_eq(c.generation.pad, -1);
    ck_assert(c.generation.do_sample);
    ck_assert_double_eq(c.generation.temperature, 0.5);
    ck_assert_double_eq(c.generation.top_p, 0.25);
    ck_assert_double_eq(c.generation.repetition_penalty, 1.125);
    ck_assert_int_eq(c.generation.top_k, 3);
}
END_TEST

/* --- weights ----------------------------------------------------------- */

START_TEST(weight_name_map__every_published_spelling__internal_name)
{
    static const char *const pairs[][2] = {
        {"model.vision_tower.vision_tower.vision_model.pre_layrnorm.bias",
         "vit.pre_layrnorm.bias"},
        {"model.vision_tower.vision_model.encoder.layers.3.mlp.fc1.weight",
         "vit.encoder.layers.3.mlp.fc1.weight"},
        {"vision_tower.vision_model.embeddings.class_embedding",
         "vit.embeddings.class_embedding"},
        {"model.vision_tower.embeddings.class_embedding",
         "vit.embeddings.class_embedding"},
        {"vision_tower.pre_layrnorm.weight", "vit.pre_layrnorm.weight"},
        {"vision_model.pre_layrnorm.weight", "vit.pre_layrnorm.weight"},
        {"multi_modal_projector.linear_1.weight", "proj.0.weight"},
        {"model.multi_modal_projector.linear_2.bias", "proj.2.bias"},
        {"model.mm_projector.0.weight", "proj.0.weight"},
        {"mm_projector.2.bias", "proj.2.bias"},
        {"language_model.model.norm.weight", "lm.norm.weight"},
        {"language_model.lm_head.weight", "head.weight"},
        {"model.language_model.norm.weight", "lm.norm.weight"},
        {"lm_head.weight", "head.weight"},
        {"model.norm.weight", "lm.norm.weight"},
        {"model.image_newline", "newline"},
    };
    char name[TKP__WEIGHT_NAME_BYTES];
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        ck_assert_int_eq(
            tkp__weight_name_map(name, pairs[i][0]), TKP__WEIGHT_NAME_MAPPED);
        ck_assert_str_eq(name, pairs[i][1]);
    }
    static const char *const ignored[] = {
        "vision_tower.vision_model.embeddings.position_ids",
        "language_model.model.layers.0.self_attn.rotary_emb.inv_freq",
        "text_model.final_layer_norm.weight",
        "logit_scale",
        "text_projection.weight",
        "visual_projection.weight"};
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        ck_assert_int_eq(
            tkp__weight_name_map(name, ignored[i]), TKP__WEIGHT_NAME_IGNORED);
    ck_assert_int_eq(
        tkp__weight_name_map(name, "something.else"), TKP__WEIGHT_NAME_UNKNOWN);
    char longest[400];
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "model.", 6);
    longest[399] = 0;
    ck_assert_int_eq(
        tkp__weight_name_map(name, longest), TKP__WEIGHT_NAME_UNKNOWN);
}
END_TEST

static const struct {
    const char *name;
    int32_t dtype;
    const char *sample, *file, *stored;
} golden_models[] = {
    {"llava-f32", TKP_DTYPE_F32, "lm.layers.3.mlp.down_proj.weight",
     "model.safetensors", "language_model.model.layers.3.mlp.down_proj.weight"},
    {"llava-kv2-sharded", TKP_DTYPE_F32,
     "vit.encoder.layers.1.self_attn.out_proj.bias",
     "model-00002-of-00002.safetensors",
     "model.vision_tower.vision_model.encoder.layers.1.self_attn.out_proj."
     "bias"},
    {"llava-bf16", TKP_DTYPE_BF16, "head.weight", "model.safetensors",
     "language_model.lm_head.weight"},
    {"llava-wide", TKP_DTYPE_F32, "head.weight", "model.safetensors",
     "model.language_model.embed_tokens.weight"},
};

START_TEST(weights_open__each_golden_model__the_stored_numbers)
{
    char path[PATH_MAX];
    char model[300];
    snprintf(model, sizeof(model), "models/%s", golden_models[_i].name);
    const tkp__model_config config = golden_config(golden_models[_i].name);
    tkp__weights *weights;
    assert_ok(tkp__weights_open(&weights, golden_path(path, model), &config));
    ck_assert_int_eq(tkp__weights_dtype(weights), golden_models[_i].dtype);
    ck_assert_int_gt(tkp__weights_bytes(weights), 100000);
    tkp_tensor view;
    assert_ok(tkp__weights_get(weights, golden_models[_i].sample, &view));
    strcat(model, "/");
    strcat(model, golden_models[_i].file);
    tkp__safetensors *file;
    assert_ok(tkp__safetensors_open(&file, golden_path(path, model)));
    tkp_tensor stored;
    ck_assert(tkp__safetensors_find(file, golden_models[_i].stored, &stored));
    ck_assert_int_eq(view.dtype, stored.dtype);
    ck_assert_mem_eq(view.shape, stored.shape, sizeof(view.shape));
    ck_assert_mem_eq(
        tkp__data(&view), tkp__data(&stored),
        (size_t)tkp_tensor_count(&view) * tkp_dtype_bytes(view.dtype));
    tkp__safetensors_close(file);
    ck_assert_int_eq(
        tkp__weights_get(weights, "lm.layers.99.x", &view), TKP_ERR_FORMAT);
    assert_message("lm.layers.99.x");
    tkp__weights_close(weights);
}
END_TEST

/* What is done to a copy of llava-f32's tensors before they are written. */
typedef struct edit {
    tkp_tensor tensors[200];
    const char *names[200];
    int64_t count;
} edit;

static int64_t edit_find(const edit *e, const char *name)
{
    for (int64_t i = 0; i < e->count; i++)
        if (strcmp(e->names[i], name) == 0)
            return i;
    ck_abort_msg("%s is not in the golden file", name);
    return -1;
}

/* Rewrites model.safetensors in the scratch folder through `change`. */
static tkp_status open_edited(void (*change)(edit *), tkp__weights **weights)
{
    scratch_copy(folder, "models/llava-f32");
    char path[PATH_MAX];
    tkp__safetensors *file;
    assert_ok(tkp__safetensors_open(
        &file, golden_path(path, "models/llava-f32/model.safetensors")));
    edit *e = calloc(1, sizeof(*e));
    e->count = tkp__safetensors_count(file);
    ck_assert_int_lt(e->count, 190);
    for (int64_t i = 0; i < e->count; i++)
        tkp__safetensors_entry(file, i, &e->names[i], &e->tensors[i]);
    change(e);
    assert_ok(tkp__safetensors_write(
        at("model.safetensors"), e->count, e->names, e->tensors));
    free(e);
    tkp__safetensors_close(file);
    const tkp__model_config config = golden_config("llava-f32");
    return tkp__weights_open(weights, folder, &config);
}

static void drop_two(edit *e)
{
    for (int k = 0; k < 2; k++) {
        const int64_t i = edit_find(
            e, k ? "multi_modal_projector.linear_2.bias"
                 : "language_model.model.layers.2.self_attn.k_proj.weight");
        e->names[i] = e->names[--e->count];
        e->tensors[i] = e->tensors[e->count];
    }
}

static void drop_unused(edit *e)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < e->count; i++)
        if (!strstr(e->names[i], "vision_model.encoder.layers.2.") &&
            !strstr(e->names[i], "post_layernorm.")) {
            e->names[kept] = e->names[i];
            e->tensors[kept++] = e->tensors[i];
        }
    ck_assert_int_eq(e->count - kept, 18);
    e->count = kept;
}

static void drop_head(edit *e)
{
    const int64_t i = edit_find(e, "language_model.lm_head.weight");
    e->names[i] = e->names[--e->count];
    e->tensors[i] = e->tensors[e->count];
}

static void add_buffers(edit *e)
{
    static int64_t ids[17];
    static float frequencies[4];
    e->names[e->count] = "vision_tower.vision_model.embeddings.position_ids";
    tkp_tensor_make_2d(&e->tensors[e->count++], ids, TKP_DTYPE_I64, 1, 17);
    e->names[e->count] =
        "language_model.model.layers.0.self_attn.rotary_emb.inv_freq";
    tkp_tensor_make_1d(&e->tensors[e->count++], frequencies, TKP_DTYPE_F32, 4);
}

static void add_unknown(edit *e)
{
    static const char *const names[] = {
        "adapter.a", "adapter.b", "model.image_newline", "adapter.d"};
    static float one;
    for (int k = 0; k < 4; k++) {
        e->names[e->count] = names[k];
        tkp_tensor_make_1d(&e->tensors[e->count++], &one, TKP_DTYPE_F32, 1);
    }
}

static void swap_shape(edit *e)
{
    tkp_tensor *t = &e->tensors[edit_find(
        e, "language_model.model.layers.1.mlp.up_proj.weight")];
    tkp_tensor_make_2d(t, t->data, t->dtype, t->shape[1], t->shape[0]);
}

static void change_rank(edit *e)
{
    tkp_tensor *t =
        &e->tensors[edit_find(e, "language_model.model.norm.weight")];
    tkp_tensor_make_2d(t, t->data, t->dtype, 1, t->shape[0]);
}

static void make_integers(edit *e)
{
    e->tensors[edit_find(e, "language_model.model.norm.weight")].dtype =
        TKP_DTYPE_I32;
}

static void add_second_spelling(edit *e)
{
    e->names[e->count] = "model.language_model.norm.weight";
    e->tensors[e->count++] =
        e->tensors[edit_find(e, "language_model.model.norm.weight")];
}

START_TEST(weights_open__harmless_changes__accepted)
{
    void (*const changes[])(edit *) = {drop_unused, add_buffers};
    for (int i = 0; i < 2; i++) {
        tkp__weights *weights;
        assert_ok(open_edited(changes[i], &weights));
        tkp__weights_close(weights);
    }
}
END_TEST

static const struct {
    void (*change)(edit *);
    int status;
    const char *message;
} bad_weights[] = {
    {drop_two, TKP_ERR_FORMAT,
     "2 tensors missing (lm.layers.2.self_attn.k_proj.weight, proj.2.bias); 0 "
     "unknown"},
    {drop_head, TKP_ERR_FORMAT, "1 tensors missing (head.weight)"},
    {add_unknown, TKP_ERR_FORMAT,
     "0 tensors missing; 4 unknown (adapter.a, "
     "adapter.b, adapter.d, ...)"},
    {swap_shape, TKP_ERR_FORMAT,
     "up_proj.weight: shape is [48, 128], wanted [128, 48]"},
    {change_rank, TKP_ERR_FORMAT, "shape is [1, 48], wanted [48]"},
    {make_integers, TKP_ERR_UNSUPPORTED,
     "norm.weight: dtype is I32, wanted F32, F16 or BF16"},
    {add_second_spelling, TKP_ERR_FORMAT, "are the same weight lm.norm.weight"},
};

START_TEST(weights_open__tensors_not_of_this_model__refused_by_name)
{
    tkp__weights *weights = NULL;
    const int status = (int)open_edited(bad_weights[_i].change, &weights);
    ck_assert_msg(
        status == bad_weights[_i].status, "case %d: %s: %s", _i,
        tkp_status_string((tkp_status)status), tkp_last_message());
    assert_message(folder);
    assert_message(bad_weights[_i].message);
    ck_assert_ptr_null(weights);
}
END_TEST

static const struct {
    const char *index;
    int status;
    const char *message;
} bad_indices[] = {
    {"{", TKP_ERR_FORMAT, "index.json:1:"},
    {"{}", TKP_ERR_FORMAT, "weight_map is missing"},
    {"{\"weight_map\":[]}", TKP_ERR_FORMAT, "weight_map is missing"},
    {"{\"weight_map\":{}}", TKP_ERR_FORMAT, "tensors missing"},
    {"{\"weight_map\":{\"a\":3}}", TKP_ERR_FORMAT, "(not a string)"},
    {"{\"weight_map\":{\"a\":\"\"}}", TKP_ERR_FORMAT, "plain name"},
    {"{\"weight_map\":{\"a\":\"../x.safetensors\"}}", TKP_ERR_FORMAT,
     "plain name"},
    {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", TKP_ERR_FORMAT, "plain name"},
    {"{\"weight_map\":{\"a\":\"x\\\\y\"}}", TKP_ERR_FORMAT, "plain name"},
    {"{\"weight_map\":{\"a\":\"..\"}}", TKP_ERR_FORMAT, "plain name"},
    {"{\"weight_map\":{\"a\":\"none.safetensors\"}}", TKP_ERR_IO,
     "none.safetensors"},
    {"{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\"}}",
     TKP_ERR_FORMAT, "no such tensor"},
    {"{\"weight_map\":{\"a\":\"config.json\"}}", TKP_ERR_FORMAT,
     "config.json: header"},
};

START_TEST(weights_open__index_that_lies__refused)
{
    scratch_copy(folder, "models/llava-kv2-sharded");
    write_text("model.safetensors.index.json", bad_indices[_i].index);
    const tkp__model_config config = golden_config("llava-kv2-sharded");
    tkp__weights *weights = NULL;
    const int status = (int)tkp__weights_open(&weights, folder, &config);
    ck_assert_msg(
        status == bad_indices[_i].status, "case %d: %s: %s", _i,
        tkp_status_string((tkp_status)status), tkp_last_message());
    assert_message(folder);
    assert_message(bad_indices[_i].message);
}
END_TEST

START_TEST(weights_open__no_weight_file__both_names_said)
{
    const tkp__model_config config = golden_config("llava-f32");
    tkp__weights *weights = NULL;
    ck_assert_int_eq(tkp__weights_open(&weights, folder, &config), TKP_ERR_IO);
    assert_message("model.safetensors.index.json");
    ck_assert_int_eq(
        tkp__weights_open(&weights, NULL, &config), TKP_ERR_ARGUMENT);
    tkp__weights_close(NULL);
}
END_TEST

START_TEST(weights_open__config_of_another_model__shape_refused)
{
    char path[PATH_MAX];
    tkp__model_config config = golden_config("llava-f32");
    config.text.layers = 5;
    tkp__weights *weights = NULL;
    ck_assert_int_eq(
        tkp__weights_open(
            &weights, golden_path(path, "models/llava-f32"), &config),
        TKP_ERR_FORMAT);
    assert_message("9 tensors missing (lm.layers.4.");
    config.text.layers = 4;
    config.vision.image = 70;
    ck_assert_int_eq(
        tkp__weights_open(&weights, path, &config), TKP_ERR_FORMAT);
    assert_message("position_embedding.weight: shape is [17, 32], wanted [26");
}
END_TEST

static tkp_status load_all(const char *model)
{
    tkp__model_config config;
    tkp__weights *weights;
    TKP__TRY(tkp__model_config_load(&config, model));
    TKP__TRY(tkp__weights_open(&weights, model, &config));
    tkp__weights_close(weights);
    return TKP_OK;
}

START_TEST(weights_open__memory_out_at_each_call__status_and_nothing_lost)
{
    char path[PATH_MAX];
    golden_path(path, "models/llava-kv2-sharded");
    tkp_status status = TKP_ERR_MEMORY;
    int n = 0;
    for (; status != TKP_OK && n < 1000; n++) {
        test_allocator_install(n);
        status = load_all(path);
        ck_assert(status == TKP_OK || status == TKP_ERR_MEMORY);
        test_allocator_remove();
    }
    ck_assert_int_gt(n, 10);
    ck_assert_int_lt(n, 1000);
}
END_TEST

#define COUNT(cases) ((int)(sizeof(cases) / sizeof((cases)[0])))

static TCase *make_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    return tcase;
}

static void add_safetensors(Suite *suite)
{
    TCase *t = make_case(suite, "safetensors");
    tcase_add_test(
        t, safetensors_open__written_by_hugging_face__every_entry_seen);
    tcase_add_test(
        t, safetensors_open__data_off_their_alignment__copied_and_equal);
    tcase_add_test(t, safetensors_open__legal_oddities__accepted);
    tcase_add_loop_test(
        t, safetensors_open__header_that_lies__refused_by_file_and_tensor, 0,
        COUNT(bad_headers));
    tcase_add_test(t, safetensors_open__header_length_that_lies__refused);
    tcase_add_test(t, safetensors_open__cut_anywhere__refused);
    tcase_add_test(t, safetensors_open__header_bytes_changed__no_crash);
    tcase_add_test(t, safetensors_open__not_a_file__io_error_with_the_path);
    tcase_add_test(
        t, safetensors_write__mixed_types__read_back_equal_and_aligned);
    tcase_add_test(t, safetensors_write__gaps_or_twice_a_name__refused);
}

static void add_config(Suite *suite)
{
    TCase *t = make_case(suite, "config");
    tcase_add_test(t, model_config_load__saved_by_transformers__fields);
    tcase_add_test(
        t, model_config_load__published_file__class_defaults_fill_in);
    tcase_add_test(
        t, model_config_load__empty_sections__each_class_has_its_defaults);
    tcase_add_loop_test(
        t, model_config_load__impossible_field__file_field_and_value_named, 0,
        COUNT(bad_configs));
    tcase_add_test(t, model_config_load__no_llava_at_all__said_so);
    tcase_add_test(t, model_config_load__deep_nesting__refused);
    tcase_add_test(t, model_config_load__published_qwen__as_published);
    tcase_add_test(
        t, model_config_load__qwen_without_fields__defaults_of_the_class);
    tcase_add_loop_test(
        t, model_config_load__impossible_qwen__file_field_and_value_named, 0,
        sizeof(bad_qwen) / sizeof(bad_qwen[0]));
    tcase_add_loop_test(t, model_config_load__bytes_changed__no_crash, 0, 3);
    tcase_add_test(
        t, model_config_load__preprocessor_old_and_new__same_meaning);
    tcase_add_test(
        t, model_config_load__processor_config_only__its_section_is_read);
    tcase_add_test(t, model_config_load__pad_by_either_file__square_padding);
    tcase_add_loop_test(
        t, model_config_load__side_file_that_lies__refused_by_file_and_field, 0,
        COUNT(bad_side_files));
    tcase_add_test(t, model_config_load__generation_file__wins_over_the_config);
}

static void add_weights(Suite *suite)
{
    TCase *t = make_case(suite, "weights");
    tcase_add_test(t, weight_name_map__every_published_spelling__internal_name);
    tcase_add_loop_test(
        t, weights_open__each_golden_model__the_stored_numbers, 0,
        COUNT(golden_models));
    tcase_add_test(t, weights_open__harmless_changes__accepted);
    tcase_add_loop_test(
        t, weights_open__tensors_not_of_this_model__refused_by_name, 0,
        COUNT(bad_weights));
    tcase_add_loop_test(
        t, weights_open__index_that_lies__refused, 0, COUNT(bad_indices));
    tcase_add_test(t, weights_open__no_weight_file__both_names_said);
    tcase_add_test(
        t, weights_open__memory_out_at_each_call__status_and_nothing_lost);
    tcase_add_test(t, weights_open__config_of_another_model__shape_refused);
}

int main(void)
{
    Suite *suite = suite_create("mllm/checkpoint");
    add_safetensors(suite);
    add_config(suite);
    add_weights(suite);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
