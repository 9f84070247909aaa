/* The text of a conversation as each model was taught to read it. Formats are
 * written out, not taken from the checkpoint's chat template: that is a
 * program in a language of its own. */

#include "mllm/text/text.h"
#include "mllm/text/text_buffer.h"

enum { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT };

/* More would be a mistake: one image is hundreds of tokens. */
enum { MAX_IMAGES = 4096 };

/* What stands for a picture and for a video. */
typedef struct marks {
    const char *image;
    const char *video; /* NULL: the model takes none */
} marks;

static const char *const upper_names[] = {"SYSTEM", "USER", "ASSISTANT"};
static const char *const lower_names[] = {"system", "user", "assistant"};

static const char vicuna_system[] =
    "A chat between a curious user and an artificial intelligence assistant."
    " The assistant gives helpful, detailed, and polite answers to the"
    " user's questions.";
static const char qwen2_vl_system[] = "You are a helpful assistant.";

static tkp_status put_images(
    tkp__text_buffer *out,
    int32_t images,
    const char *before,
    const char *image_token,
    const char *after)
{
    for (int32_t i = 0; i < images; ++i) {
        TKP__TRY(tkp__text_buffer_puts(out, before));
        TKP__TRY(tkp__text_buffer_puts(out, image_token));
        TKP__TRY(tkp__text_buffer_puts(out, after));
    }
    return TKP_OK;
}

static tkp_status
put3(tkp__text_buffer *out, const char *a, const char *b, const char *c)
{
    TKP__TRY(tkp__text_buffer_puts(out, a));
    TKP__TRY(tkp__text_buffer_puts(out, b));
    return tkp__text_buffer_puts(out, c);
}

/* "ROLE: " (not for system), the images, the text, one space. */
static tkp_status render_llava_hf(
    tkp__text_buffer *out,
    const tkp__message *messages,
    int64_t count,
    const char *image_token)
{
    for (int64_t i = 0; i < count; ++i) {
        const tkp__message *m = &messages[i];
        if (m->role != ROLE_SYSTEM)
            TKP__TRY(put3(out, upper_names[m->role], ": ", ""));
        TKP__TRY(put_images(out, m->images, "", image_token, "\n"));
        TKP__TRY(put3(out, m->text, " ", ""));
    }
    return tkp__text_buffer_puts(out, "ASSISTANT:");
}

/* A system text, the usual one unless the first message gives another; turns
 * end with a space, the assistant's with </s>. */
static tkp_status render_vicuna(
    tkp__text_buffer *out,
    const tkp__message *messages,
    int64_t count,
    const char *image_token)
{
    const bool own = messages[0].role == ROLE_SYSTEM;
    TKP__TRY(put3(out, own ? messages[0].text : vicuna_system, " ", ""));
    for (int64_t i = own; i < count; ++i) {
        const tkp__message *m = &messages[i];
        TKP__TRY(put3(out, upper_names[m->role], ": ", ""));
        TKP__TRY(put_images(out, m->images, "", image_token, "\n"));
        TKP__TRY(
            put3(out, m->text, m->role == ROLE_ASSISTANT ? "</s>" : " ", ""));
    }
    return tkp__text_buffer_puts(out, "ASSISTANT:");
}

static tkp_status render_qwen2_vl(
    tkp__text_buffer *out,
    const tkp__message *messages,
    int64_t count,
    const marks *tokens)
{
    static const char before[] = "<|vision_start|>";
    static const char after[] = "<|vision_end|>";
    static const char start[] = "<|im_start|>";
    static const char end[] = "<|im_end|>\n";
    if (messages[0].role != ROLE_SYSTEM) {
        TKP__TRY(put3(out, start, "system\n", qwen2_vl_system));
        TKP__TRY(tkp__text_buffer_puts(out, end));
    }
    for (int64_t i = 0; i < count; ++i) {
        const tkp__message *m = &messages[i];
        TKP__TRY(put3(out, start, lower_names[m->role], "\n"));
        TKP__TRY(put_images(out, m->images, before, tokens->image, after));
        TKP__TRY(put_images(out, m->videos, before, tokens->video, after));
        TKP__TRY(put3(out, m->text, end, ""));
    }
    return put3(out, start, "assistant\n", "");
}

static tkp_status
render_raw(tkp__text_buffer *out, const tkp__message *messages, int64_t count)
{
    TKP__CHECK(
        count == 1 && messages[0].images == 0, TKP_ERR_ARGUMENT,
        "raw prompt: %lld messages, %d images before the first; wanted one "
        "message that is the whole prompt",
        (long long)count, (int)messages[0].images);
    return tkp__text_buffer_puts(out, messages[0].text);
}

static tkp_status check_message(
    const tkp__message *messages,
    int64_t index,
    int32_t format,
    const marks *tokens)
{
    const tkp__message *m = &messages[index];
    const long long i = index;
    TKP__CHECK(
        m->role >= ROLE_SYSTEM && m->role <= ROLE_ASSISTANT, TKP_ERR_ARGUMENT,
        "message %lld: role %d, wanted 0..2", i, (int)m->role);
    TKP__CHECK(m->text, TKP_ERR_ARGUMENT, "message %lld: text is NULL", i);
    TKP__CHECK(
        m->images >= 0 && m->images <= MAX_IMAGES, TKP_ERR_ARGUMENT,
        "message %lld: %d images, wanted 0..%d", i, (int)m->images, MAX_IMAGES);
    TKP__CHECK(
        m->videos >= 0 && m->videos <= MAX_IMAGES, TKP_ERR_ARGUMENT,
        "message %lld: %d videos, wanted 0..%d", i, (int)m->videos, MAX_IMAGES);
    TKP__CHECK(
        !m->images || !strstr(m->text, tokens->image), TKP_ERR_ARGUMENT,
        "message %lld: %d images to put before a text that holds %s already", i,
        (int)m->images, tokens->image);
    TKP__CHECK(
        !m->videos || (format == TKP__PROMPT_QWEN2_VL && tokens->video),
        TKP_ERR_UNSUPPORTED,
        "message %lld: %d videos, which this prompt format has no place for", i,
        (int)m->videos);
    TKP__CHECK(
        !m->videos || !strstr(m->text, tokens->video), TKP_ERR_ARGUMENT,
        "message %lld: %d videos to put before a text that holds %s already", i,
        (int)m->videos, tokens->video);
    TKP__CHECK(
        m->role != ROLE_SYSTEM || format != TKP__PROMPT_VICUNA_V1 ||
            (index == 0 && m->images == 0),
        TKP_ERR_ARGUMENT,
        "message %lld: system, wanted as the first one only, without images",
        i);
    return TKP_OK;
}

tkp_status tkp__prompt_render(
    int32_t format,
    const tkp__message *messages,
    int64_t count,
    const char *image_token,
    const char *video_token,
    char **out)
{
    const marks tokens = {.image = image_token, .video = video_token};
    TKP__CHECK(
        messages && count > 0, TKP_ERR_ARGUMENT,
        "%lld messages, wanted at least one", (long long)count);
    TKP__CHECK(
        image_token && *image_token, TKP_ERR_ARGUMENT, "image_token is %s",
        image_token ? "empty" : "NULL");
    TKP__CHECK(
        !video_token || *video_token, TKP_ERR_ARGUMENT, "video_token is empty");
    for (int64_t i = 0; i < count; ++i)
        TKP__TRY(check_message(messages, i, format, &tokens));

    tkp__text_buffer text = {0};
    tkp_status status;
    switch (format) {
    case TKP__PROMPT_LLAVA_HF:
        status = render_llava_hf(&text, messages, count, image_token);
        break;
    case TKP__PROMPT_VICUNA_V1:
        status = render_vicuna(&text, messages, count, image_token);
        break;
    case TKP__PROMPT_QWEN2_VL:
        status = render_qwen2_vl(&text, messages, count, &tokens);
        break;
    case TKP__PROMPT_RAW:
        status = render_raw(&text, messages, count);
        break;
    default:
        status = tkp__fail(
            TKP_ERR_ARGUMENT, "prompt format %d is not known", (int)format);
    }
    if (status != TKP_OK) {
        tkp__text_buffer_free(&text);
        return status;
    }
    *out = text.data;
    return TKP_OK;
}
