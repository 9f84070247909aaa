/*
 * Answers that pick one of a few options. Sources: LLaVA's eval_science_qa.py
 * (sqa_llava), lmms-eval's scienceqa task (sqa_lmms), VLMEvalKit's
 * matching_util.py (mcq_vlmeval, mmbench_circular) without its LLM judge: what
 * its rules cannot read is wrong.
 */
#include <ctype.h>
#include <strings.h>

#include "eval/kinds.h"
#include "eval/words.h"

enum { REFUSED = 'Z' };

static tkp_status
score_letter(tkp__eval_score *out, char said, const tkp__eval_item *item)
{
    const char *gold = item->answers[0];
    TKP__CHECK(
        gold[0] && !gold[1] && tkp__eval_item_option(item, gold[0]) >= 0,
        TKP_ERR_ARGUMENT,
        "the right answer of question '%.60s' is '%.40s', wanted the letter of "
        "one of its %d options",
        item->id, gold, item->n_options);
    const char parsed[2] = {said, '\0'};
    return tkp__eval_score_of(
        out, said == gold[0], parsed, said ? 0 : TKP__EVAL_UNPARSED);
}

/* --- ScienceQA ------------------------------------------------------------------- */

/* "The answer is X" and any character behind, if it stands there just once. */
static char the_answer_is(const char *answer)
{
    static const char phrase[] = "The answer is ";
    char found = '\0';
    for (const char *at = strstr(answer, phrase); at; at = strstr(at, phrase)) {
        const char *c = at + sizeof(phrase) - 1;
        if (c[0] < 'A' || c[0] > 'Z' || !c[1] || c[1] == '\n') {
            at++;
            continue;
        }
        if (found)
            return '\0';
        found = c[0];
        at = c + 2;
    }
    return found;
}

static char read_sqa(const char *answer)
{
    const bool letter = answer[0] >= 'A' && answer[0] <= 'E';
    if (letter && (!answer[1] || (answer[1] == '.' && answer[2] == ' ')))
        return answer[0];
    return the_answer_is(answer);
}

static tkp_status score_sqa_llava(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    const char said = read_sqa(answer);
    return score_letter(
        out, tkp__eval_item_option(item, said) >= 0 ? said : '\0', item);
}

static tkp_status score_sqa_lmms(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    char *plain = tkp__eval_strip(answer);
    if (!plain)
        return TKP_ERR_MEMORY;
    char said = '\0';
    if (plain[0] && !plain[1])
        said = (char)toupper((unsigned char)plain[0]);
    else if (plain[0] >= 'A' && plain[0] <= 'Z' && plain[1] == '.')
        said = plain[0];
    tkp__free(plain);
    return score_letter(out, said, item);
}

/* --- letters as VLMEvalKit finds them ------------------------------------------------ */

static bool is_refusal(const char *answer)
{
    static const char *const refusals[] = {
        "Sorry, I can't help with images of people yet.",
        "I can't process this file.",
        "I'm sorry, but without the image provided",
        "Cannot determine the answer"};
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (strstr(answer, refusals[i]))
            return true;
    return false;
}

/* Words between blanks and signs: how many option letters there are among
 * them, and where the first of each stands. */
typedef struct letters {
    int32_t found;
    char letter;      /* if just one was found */
    int64_t position; /* of it */
    int64_t words;
    bool refused; /* a word 'Z' */
} letters;

static tkp_status
find_letters(letters *out, const char *answer, const tkp__eval_item *item)
{
    bool seen[26] = {false};
    char *plain = tkp__strdup(answer);
    if (!plain)
        return TKP_ERR_MEMORY;
    for (char *c = plain; *c; c++)
        if (strchr(".()[],:;!*#{}", *c))
            *c = ' ';
    *out = (letters){0};
    const char *at = plain;
    const char *word;
    for (size_t n; (word = tkp__eval_word(&at, &n)) != NULL; out->words++) {
        if (n != 1)
            continue;
        out->refused = out->refused || word[0] == REFUSED;
        if (tkp__eval_item_option(item, word[0]) < 0 || seen[word[0] - 'A'])
            continue;
        seen[word[0] - 'A'] = true;
        out->letter = word[0];
        out->position = out->words;
        out->found++;
    }
    tkp__free(plain);
    return TKP_OK;
}

/* "answer is", blanks, '*'s and a letter from A to D, in any case. */
static char answer_is(const char *answer)
{
    for (const char *at = answer; *at; at++) {
        const char *c = at;
        if (strncasecmp(c, "answer", 6) != 0 || !tkp__eval_space(c + 6))
            continue;
        for (c += 6; tkp__eval_space(c);)
            c += tkp__eval_space(c);
        if (strncasecmp(c, "is", 2) != 0 || !tkp__eval_space(c + 2))
            continue;
        for (c += 2; tkp__eval_space(c);)
            c += tkp__eval_space(c);
        c += strspn(c, "*");
        const char letter = (char)toupper((unsigned char)*c);
        if (letter >= 'A' && letter <= 'D')
            return letter;
    }
    return '\0';
}

static int64_t characters(const char *text)
{
    int64_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* The one option whose text stands in the answer. */
static tkp_status
find_text(char *out, const char *answer, const tkp__eval_item *item)
{
    int64_t most = 0;
    int32_t found = 0;
    for (int32_t i = 0; i < item->n_options; i++)
        most += 2 * characters(item->options[i].text);
    char *lower = tkp__eval_lower(answer);
    if (!lower)
        return TKP_ERR_MEMORY;
    tkp_status status = TKP_OK;
    for (int32_t i = 0; characters(lower) <= most && i < item->n_options; i++) {
        char *option = tkp__eval_lower(item->options[i].text);
        if (!option) {
            status = TKP_ERR_MEMORY;
            break;
        }
        if (strstr(lower, option)) {
            found++;
            *out = item->options[i].letter;
        }
        tkp__free(option);
    }
    tkp__free(lower);
    if (found != 1)
        *out = '\0';
    return status;
}

static tkp_status
read_vlmeval(char *out, const char *answer, const tkp__eval_item *item)
{
    letters l;
    *out = '\0';
    if (is_refusal(answer)) {
        *out = REFUSED;
        return TKP_OK;
    }
    if (!strstr(answer, "Failed to obtain answer via API")) {
        TKP__TRY(find_letters(&l, answer, item));
        if (l.found == 1 && l.position > l.words - 5)
            *out = l.letter;
        else if (l.found == 0 && l.refused)
            *out = REFUSED;
        else if (tkp__eval_item_option(item, answer_is(answer)) >= 0)
            *out = answer_is(answer);
    }
    return *out ? TKP_OK : find_text(out, answer, item);
}

static tkp_status score_vlmeval(
    tkp__eval_score *out,
    const tkp__eval_metric *metric,
    const char *answer,
    const tkp__eval_item *item)
{
    (void)metric;
    char said;
    TKP__TRY(read_vlmeval(&said, answer, item));
    return score_letter(out, said, item);
}

/* --- figures ----------------------------------------------------------------------- */

/* Over the questions with a picture first; that is what papers print. */
static tkp_status figures_sqa(
    tkp__eval_figures *out,
    const tkp__eval_kind *kind,
    const tkp__eval_table *table,
    const uint32_t *weights)
{
    (void)kind;
    int64_t n[2] = {0, 0}, hits[2] = {0, 0};
    for (int64_t i = 0; i < table->n_rows; i++) {
        const tkp__eval_row *row = &table->rows[i];
        const int64_t w = tkp__eval_weight(row, weights);
        n[row->image] += w;
        hits[row->image] += row->value == 1 ? w : 0;
    }
    TKP__TRY(
        tkp__eval_put_share(out, NULL, "accuracy with image", hits[1], n[1]));
    return tkp__eval_put_share(
        out, NULL, "accuracy of all", hits[0] + hits[1], n[0] + n[1]);
}

/* A question's rotations. */
typedef struct turns {
    int32_t wanted, there, right;
} turns;

/* A question counts if all its rotations are there, as many as it has options,
 * and is right if each of them is. */
static tkp_status figures_circular(
    tkp__eval_figures *out,
    const tkp__eval_kind *kind,
    const tkp__eval_table *table,
    const uint32_t *weights)
{
    (void)kind;
    int64_t n = 0, hits = 0, first = 0, first_hits = 0, rows = 0, row_hits = 0,
            left_out = 0;
    turns *questions =
        tkp__zalloc((size_t)table->groups.count + 1, sizeof(turns));
    if (!questions)
        return TKP_ERR_MEMORY;
    for (int64_t i = 0; i < table->n_rows; i++) {
        const tkp__eval_row *row = &table->rows[i];
        const int64_t w = tkp__eval_weight(row, weights);
        const bool right = row->value == 1;
        turns *t = &questions[row->group];
        t->wanted = row->options;
        t->there++;
        t->right += right;
        rows += w;
        row_hits += right ? w : 0;
        first += row->rotation == 0 ? w : 0;
        first_hits += row->rotation == 0 && right ? w : 0;
    }
    for (int32_t g = 0; g < table->groups.count; g++) {
        const int64_t w = weights ? weights[g] : 1;
        const bool whole = questions[g].there == questions[g].wanted;
        n += whole ? w : 0;
        left_out += whole ? 0 : w;
        hits += whole && questions[g].right == questions[g].there ? w : 0;
    }
    tkp__free(questions);
    TKP__TRY(tkp__eval_put_share(out, NULL, "circular", hits, n));
    TKP__TRY(tkp__eval_put_share(
        out, NULL, "accuracy as written", first_hits, first));
    TKP__TRY(tkp__eval_put_share(
        out, NULL, "accuracy of all rotations", row_hits, rows));
    return tkp__eval_put(
        out, NULL, "questions with rotations missing", (double)left_out,
        n + left_out, -1);
}

enum { NEED_BOTH = TKP__EVAL_NEED_ANSWER | TKP__EVAL_NEED_OPTIONS };

const tkp__eval_kind tkp__eval_choice_kinds[] = {
    {"sqa_llava", "'B', 'B. ...' or 'The answer is B.'", NEED_BOTH,
     score_sqa_llava, figures_sqa},
    {"sqa_lmms", "'B' in any case, or 'B.' and more", NEED_BOTH, score_sqa_lmms,
     figures_sqa},
    {"mcq_vlmeval", "an option's letter among the last words, or its text",
     NEED_BOTH, score_vlmeval, tkp__eval_figures_mean},
    {"mmbench_circular", "the same; right if it is in every rotation",
     NEED_BOTH, score_vlmeval, figures_circular},
    {NULL, NULL, 0, NULL, NULL}};
