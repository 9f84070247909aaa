/*
 * preprocessor_config.json: sizes are integers in old files and objects in new
 * ones; missing keys take CLIPImageProcessor's defaults.
 */

#include "mllm/checkpoint/config_parts.h"

static const tkp__image_spec clip_default = {
    .resize_shortest = 224,
    .crop_height = 224,
    .crop_width = 224,
    .do_rescale = true,
    .do_normalize = true,
    .rescale_factor = 0.00392156862745098,
    .mean = {0.48145466, 0.4578275, 0.40821073},
    .std = {0.26862954, 0.26130258, 0.27577711}};

/* {"height": h, "width": w}: both or none. */
static tkp_status
read_pair(int64_t *height, int64_t *width, const tkp__json_at *at)
{
    TKP__TRY(tkp__json_int(height, at, "height", 1, TKP__MAX_PICTURE));
    TKP__TRY(tkp__json_int(width, at, "width", 1, TKP__MAX_PICTURE));
    TKP__CHECK(
        (*height > 0) == (*width > 0), TKP_ERR_FORMAT,
        "%s: %sheight or %swidth is missing, wanted both", at->file,
        at->section, at->section);
    return TKP_OK;
}

static tkp_status read_size(tkp__image_spec *out, const tkp__json_at *at)
{
    if (json_is_integer(tkp__json_get(at, "size")))
        return tkp__json_int(
            &out->resize_shortest, at, "size", 1, TKP__MAX_PICTURE);
    tkp__json_at size;
    TKP__TRY(tkp__json_section(&size, at, "size", "size."));
    if (!size.object)
        return TKP_OK;
    TKP__CHECK(
        !tkp__json_get(&size, "longest_edge"), TKP_ERR_UNSUPPORTED,
        "%s: size.longest_edge is there, wanted shortest_edge or height and "
        "width",
        at->file);
    out->resize_shortest = 0;
    TKP__TRY(tkp__json_int(
        &out->resize_shortest, &size, "shortest_edge", 1, TKP__MAX_PICTURE));
    TKP__TRY(read_pair(&out->resize_height, &out->resize_width, &size));
    TKP__CHECK(
        (out->resize_shortest > 0) != (out->resize_height > 0), TKP_ERR_FORMAT,
        "%s: size has both or none of shortest_edge and height, wanted one",
        at->file);
    return TKP_OK;
}

static tkp_status read_crop(tkp__image_spec *out, const tkp__json_at *at)
{
    if (json_is_integer(tkp__json_get(at, "crop_size"))) {
        TKP__TRY(tkp__json_int(
            &out->crop_height, at, "crop_size", 1, TKP__MAX_PICTURE));
        out->crop_width = out->crop_height;
        return TKP_OK;
    }
    tkp__json_at crop;
    TKP__TRY(tkp__json_section(&crop, at, "crop_size", "crop_size."));
    if (!crop.object)
        return TKP_OK;
    int64_t height = 0;
    int64_t width = 0;
    TKP__TRY(read_pair(&height, &width, &crop));
    TKP__CHECK(
        height > 0, TKP_ERR_FORMAT,
        "%s: crop_size is empty, wanted height and width", at->file);
    out->crop_height = height;
    out->crop_width = width;
    return TKP_OK;
}

static tkp_status read_switches(tkp__image_spec *out, const tkp__json_at *at)
{
    bool resize = true;
    bool crop = true;
    TKP__TRY(tkp__json_bool(&resize, at, "do_resize"));
    TKP__TRY(tkp__json_bool(&crop, at, "do_center_crop"));
    TKP__TRY(tkp__json_bool(&out->pad_square, at, "do_pad"));
    if (!resize)
        out->resize_shortest = out->resize_height = out->resize_width = 0;
    if (!crop)
        out->crop_height = out->crop_width = 0;
    return TKP_OK;
}

tkp_status
tkp__config_image_numbers(tkp__image_spec *out, const tkp__json_at *at)
{
    int64_t resample = 3;
    TKP__TRY(tkp__json_bool(&out->do_rescale, at, "do_rescale"));
    TKP__TRY(tkp__json_bool(&out->do_normalize, at, "do_normalize"));
    TKP__TRY(tkp__json_int(&resample, at, "resample", 0, 5));
    TKP__CHECK(
        resample == 3, TKP_ERR_UNSUPPORTED,
        "%s: resample is %lld, wanted 3 (bicubic)", at->file,
        (long long)resample);
    TKP__TRY(
        tkp__json_real(&out->rescale_factor, at, "rescale_factor", 0.0, 1e6));
    TKP__TRY(tkp__json_real3(out->mean, at, "image_mean"));
    TKP__TRY(tkp__json_real3(out->std, at, "image_std"));
    for (int c = 0; c < 3; c++)
        TKP__CHECK(
            out->std[c] > 0.0, TKP_ERR_FORMAT,
            "%s: image_std holds %g, wanted above 0", at->file, out->std[c]);
    return TKP_OK;
}

/* Every way through must end at the square that the encoder takes. */
static tkp_status
check_result(const tkp__image_spec *spec, const char *file, int64_t side)
{
    int64_t height = spec->crop_height;
    int64_t width = spec->crop_width;
    if (height == 0 && spec->resize_height > 0) {
        height = spec->resize_height;
        width = spec->resize_width;
    } else if (height == 0 && spec->pad_square) {
        height = width = spec->resize_shortest;
    }
    TKP__CHECK(
        height == side && width == side, TKP_ERR_FORMAT,
        "%s: pictures end as %lld x %lld (0: as they come), wanted "
        "vision_config.image_size %lld on both sides",
        file, (long long)width, (long long)height, (long long)side);
    return TKP_OK;
}

/* --- any resolution -------------------------------------------------------- */

/* One canvas: whole tiles, and not too many. */
static tkp_status read_pinpoint(
    int32_t out[2],
    const json_t *pair,
    const tkp__json_at *at,
    size_t number,
    int64_t side)
{
    for (size_t i = 0; i < 2; i++) {
        const json_t *value =
            json_is_array(pair) ? json_array_get(pair, i) : NULL;
        const json_int_t length =
            json_is_integer(value) ? json_integer_value(value) : -1;
        TKP__CHECK(
            length > 0 && length <= TKP__MAX_PICTURE && length % side == 0 &&
                json_array_size(pair) == 2,
            TKP_ERR_FORMAT,
            "%s: %simage_grid_pinpoints: entry %zu, wanted [height, width], "
            "each 1 or more times %lld, the side of a tile",
            at->file, at->section, number, (long long)side);
        out[i] = (int32_t)length;
    }
    TKP__CHECK(
        out[0] / side * (out[1] / side) <= TKP__MAX_TILES, TKP_ERR_UNSUPPORTED,
        "%s: %simage_grid_pinpoints: entry %zu has %lld tiles, wanted at most "
        "%d",
        at->file, at->section, number,
        (long long)(out[0] / side * (out[1] / side)), TKP__MAX_TILES);
    return TKP_OK;
}

static tkp_status
read_pinpoints(tkp__image_spec *out, const tkp__json_at *at, int64_t side)
{
    const json_t *list = tkp__json_get(at, "image_grid_pinpoints");
    if (!list)
        return TKP_OK;
    const size_t count = json_is_array(list) ? json_array_size(list) : 0;
    TKP__CHECK(
        count >= 1 && count <= TKP__MAX_PINPOINTS, TKP_ERR_FORMAT,
        "%s: %simage_grid_pinpoints: %zu entries, wanted a list of 1 to %d",
        at->file, at->section, count, TKP__MAX_PINPOINTS);
    for (size_t i = 0; i < count; i++)
        TKP__TRY(read_pinpoint(
            out->pinpoint[i], json_array_get(list, i), at, i, side));
    out->pinpoints = (int32_t)count;
    return TKP_OK;
}

/* As LlavaNextConfig has it: two tiles, or four, or three in a row. */
static void default_pinpoints(tkp__image_spec *out, int64_t side)
{
    static const int32_t tiles[][2] = {{1, 2}, {2, 1}, {2, 2}, {3, 1}, {1, 3}};
    out->pinpoints = (int32_t)(sizeof(tiles) / sizeof(tiles[0]));
    for (int32_t i = 0; i < out->pinpoints; i++)
        for (int32_t j = 0; j < 2; j++)
            out->pinpoint[i][j] = tiles[i][j] * (int32_t)side;
}

/* The processor's list cuts the pictures and the model's counts the tokens:
 * two of them would not fit together. */
static tkp_status check_pinpoints(
    const tkp__image_spec *processor,
    const tkp__image_spec *model,
    const char *file)
{
    bool same = processor->pinpoints == model->pinpoints;
    for (int32_t i = 0; same && i < model->pinpoints; i++)
        same = !memcmp(
            processor->pinpoint[i], model->pinpoint[i],
            sizeof(model->pinpoint[i]));
    TKP__CHECK(
        same, TKP_ERR_FORMAT,
        "%s: image_grid_pinpoints has %d entries, those of config.json are "
        "others (%d), wanted one list",
        file, processor->pinpoints, model->pinpoints);
    return TKP_OK;
}

/* --- the files ------------------------------------------------------------- */

typedef struct place {
    const char *key, *prefix;
} place;

static tkp_status read_file(
    bool *found,
    const char *path,
    const place *section,
    tkp__config_image_fn read,
    void *user)
{
    json_t *root = NULL;
    TKP__TRY(tkp__json_load(&root, path, true));
    tkp__json_at at = {.object = root, .file = path, .section = ""};
    tkp_status status = TKP_OK;
    if (section)
        status = tkp__json_section(&at, &at, section->key, section->prefix);
    *found = at.object != NULL;
    if (status == TKP_OK && *found)
        status = read(user, &at);
    json_decref(root);
    return status;
}

tkp_status tkp__config_image_section(
    const char *model_dir,
    bool video,
    tkp__config_image_fn read,
    void *user)
{
    static const place image_section = {"image_processor", "image_processor."};
    static const place video_section = {"video_processor", "video_processor."};
    const struct {
        const char *name;
        const place *section;
    } places[] = {
        {video ? "video_preprocessor_config.json" : "preprocessor_config.json",
         NULL},
        {"processor_config.json", video ? &video_section : &image_section}};
    bool found = false;
    for (size_t i = 0; i < 2 && !found; i++) {
        char *path = tkp__path_join(model_dir, places[i].name);
        if (!path)
            return TKP_ERR_MEMORY;
        const tkp_status status =
            read_file(&found, path, places[i].section, read, user);
        tkp__free(path);
        if (status != TKP_OK)
            return status;
    }
    return TKP_OK;
}

typedef struct clip_reader {
    tkp__image_spec spec; /* as config.json has it, then as the processor */
    int64_t side;
} clip_reader;

static tkp_status read_processor(void *user, const tkp__json_at *at)
{
    clip_reader *reader = user;
    const tkp__image_spec *model = &reader->spec;
    tkp__image_spec spec = clip_default;
    spec.pad_square = model->pad_square;
    spec.pinpoints = model->pinpoints;
    memcpy(spec.pinpoint, model->pinpoint, sizeof(spec.pinpoint));
    TKP__TRY(read_size(&spec, at));
    TKP__TRY(read_crop(&spec, at));
    TKP__TRY(read_switches(&spec, at));
    TKP__TRY(tkp__config_image_numbers(&spec, at));
    if (spec.pinpoints) {
        TKP__TRY(read_pinpoints(&spec, at, reader->side));
        TKP__TRY(check_pinpoints(&spec, model, at->file));
        spec.pad_square = false; /* canvases are padded, not squares */
    }
    TKP__TRY(check_result(&spec, at->file, reader->side));
    reader->spec = spec;
    return TKP_OK;
}

tkp_status tkp__config_read_image(
    tkp__image_spec *out,
    const char *model_dir,
    const tkp__json_at *root,
    const tkp__vision_config *vision,
    bool any_resolution)
{
    clip_reader reader = {.spec = clip_default, .side = vision->image};
    tkp__image_spec *spec = &reader.spec;
    spec->resize_shortest = vision->image;
    spec->crop_height = spec->crop_width = vision->image;
    const char *aspect = "";
    TKP__TRY(tkp__json_text(&aspect, root, "image_aspect_ratio"));
    spec->pad_square = !any_resolution && strcmp(aspect, "pad") == 0;
    if (any_resolution) {
        default_pinpoints(spec, vision->image);
        TKP__TRY(read_pinpoints(spec, root, vision->image));
    }
    TKP__TRY(
        tkp__config_image_section(model_dir, false, read_processor, &reader));
    *out = reader.spec;
    return TKP_OK;
}
