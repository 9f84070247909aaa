/*
 * answers MODEL REQUESTS.json > ANSWERS.json
 * Many questions, one load of the model. REQUESTS is a list of batches, each
 * {"tokens": most new ones, "requests": [{"prompt": raw text, "images": [file,
 * ...]}, ...]}; the answers' texts come out in one list.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tokenprune/mllm.h"

enum { MOST_REQUESTS = 64, MOST_IMAGES = 4 };

typedef struct batch {
    tkp_mllm_request request[MOST_REQUESTS];
    const char *image[MOST_REQUESTS][MOST_IMAGES];
    int32_t count;
} batch;

static int failed(const char *what)
{
    fprintf(stderr, "answers: %s: %s\n", what, tkp_last_message());
    return 1;
}

static int read_batch(batch *b, const json_t *list)
{
    const json_t *item;
    size_t i, j;
    const json_t *image;
    b->count = 0;
    if (json_array_size(list) > MOST_REQUESTS)
        return failed("too many requests in a batch");
    json_array_foreach(list, i, item)
    {
        const json_t *images = json_object_get(item, "images");
        if (json_array_size(images) > MOST_IMAGES)
            return failed("too many images in a request");
        json_array_foreach(images, j, image)
        {
            b->image[i][j] = json_string_value(image);
        }
        tkp_mllm_request_init(&b->request[i]);
        b->request[i].id = (uint32_t)i;
        b->request[i].prompt =
            json_string_value(json_object_get(item, "prompt"));
        b->request[i].format = TKP_MLLM_FORMAT_RAW;
        b->request[i].images = b->image[i];
        b->request[i].n_images = (int32_t)json_array_size(images);
        b->count++;
    }
    return 0;
}

static int answer(const tkp_mllm *model, const json_t *item, json_t *answers)
{
    static batch b;
    tkp_mllm_result *result;
    tkp_mllm_generate_options options = TKP_MLLM_GENERATE_OPTIONS_INIT;
    options.max_new_tokens =
        (int32_t)json_integer_value(json_object_get(item, "tokens"));
    if (read_batch(&b, json_object_get(item, "requests")) != 0)
        return 1;
    if (tkp_mllm_generate(&result, model, b.request, b.count, &options) !=
        TKP_OK)
        return failed("generate");
    for (int32_t i = 0; i < b.count; i++)
        json_array_append_new(
            answers, json_string(tkp_mllm_result_text(result, i)));
    tkp_mllm_result_destroy(result);
    return 0;
}

static int answer_all(const tkp_mllm *model, const json_t *batches)
{
    json_t *answers = json_array();
    const json_t *item;
    size_t i;
    int code = 0;
    json_array_foreach(batches, i, item)
    {
        code = code ? code : answer(model, item, answers);
    }
    if (code == 0 && json_dumpf(answers, stdout, 0) != 0)
        code = 1;
    json_decref(answers);
    return code;
}

int main(int argc, char **argv)
{
    tkp_context *context;
    tkp_mllm *model;
    json_error_t error;
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    if (argc != 3)
        return 2;
    json_t *batches = json_load_file(argv[2], 0, &error);
    if (!batches) {
        fprintf(stderr, "answers: %s: %s\n", argv[2], error.text);
        return 1;
    }
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    options.threads = processors > 0 && processors < 64 ? (int)processors : 1;
    if (tkp_context_create(&context, &options) != TKP_OK)
        return failed("context");
    if (tkp_mllm_load(&model, context, argv[1], NULL) != TKP_OK)
        return failed(argv[1]);
    const int code = answer_all(model, batches);
    tkp_mllm_destroy(model);
    tkp_context_destroy(context);
    json_decref(batches);
    return code;
}
