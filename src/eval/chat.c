#include "eval/chat.h"

#include "eval/words.h"
#include "util/text.h"

/* The system sentence in its two wordings. */
#define SYSTEM(role_)                                                          \
    "A chat between a curious " role_                                          \
    " and an artificial intelligence assistant. The assistant gives helpful, " \
    "detailed, and polite answers to the " role_ "'s questions. "

typedef struct chat {
    const char *name;
    const char *system;
    const char *image; /* of each picture, before the text */
    const char *end;   /* behind the text */
} chat;

static const chat chats[] = {
    {"vicuna_v1", SYSTEM("user"), "<image>\n", " ASSISTANT:"},
    {"llava_v1", SYSTEM("human"), "<image>\n", " ASSISTANT:"},
    {"vlmeval_llava", SYSTEM("human"), " <image> ", " ASSISTANT: "},
    {"hf_llava", "", "<image>\n", " ASSISTANT:"}};

enum { CHATS = sizeof(chats) / sizeof(chats[0]) };

const char *tkp__eval_chat_name(const void *unused, int32_t i)
{
    (void)unused;
    return i >= 0 && i < CHATS ? chats[i].name : NULL;
}

static const chat *find(const char *name)
{
    for (int32_t i = 0; i < CHATS; i++)
        if (strcmp(chats[i].name, name) == 0)
            return &chats[i];
    return NULL;
}

tkp_status
tkp__eval_chat(char **out, const char *name, const char *text, int32_t images)
{
    const chat *c = find(name);
    tkp__eval_text all = {0};
    if (!c) {
        const int32_t near = tkp__nearest(name, tkp__eval_chat_name, NULL);
        return tkp__fail(
            TKP_ERR_ARGUMENT,
            "template is '%s', wanted vicuna_v1, llava_v1, vlmeval_llava or "
            "hf_llava%s%s%s",
            tkp__show(name).text, near >= 0 ? " (did you mean '" : "",
            near >= 0 ? chats[near].name : "", near >= 0 ? "'?)" : "");
    }
    tkp__eval_text_puts(&all, c->system);
    tkp__eval_text_puts(&all, "USER: ");
    for (int32_t i = 0; i < images && !strstr(text, "<image>"); i++)
        tkp__eval_text_puts(&all, c->image);
    tkp__eval_text_puts(&all, text);
    tkp__eval_text_puts(&all, c->end);
    *out = tkp__eval_text_take(&all);
    return *out ? TKP_OK : TKP_ERR_MEMORY;
}
