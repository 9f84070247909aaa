/*
 * Lesson 2: a method as text. Load a policy, look at it, ask what it will want
 * of the model, change its budget, and read what is said about a bad one.
 *
 *     cc 02_policy_from_yaml.c $(pkg-config --cflags --libs tokenprune) \
 *         -o 02_policy_from_yaml
 */
#include "lesson.h"

#include <string.h>

static const char mine[] =
    "tokenprune: 1\n"
    "name: mine\n"
    "stages:\n"
    "  - at: projector                # before the decoder: half of them go,\n"
    "    selector: {kind: random, seed: 7}   # whichever\n"
    "    budget: {ratio: 1/2}\n"
    "  - at: llm:2                    # before decoder layer 2: the best 64\n"
    "    scorer: {kind: attention, query: last}\n"
    "    selector: topk\n"
    "    budget: {count: 64}\n";

static void show(const tkp_policy *policy)
{
    printf("%s:\n", tkp_policy_name(policy));
    for (int32_t i = 0; i < tkp_policy_stage_count(policy); i++) {
        tkp_point point = TKP_POINT_INIT;
        check(tkp_policy_get_point(policy, i, &point));
        printf(
            "  stage %d: %s, q and k of layer %d%s\n", i,
            point.kind == TKP_POINT_LLM ? "inside the decoder"
                                        : "before the decoder",
            point.score_layer,
            point.needs & TKP_NEED_ATTENTION ? "" : ": not needed");
    }
}

int main(void)
{
    tkp_policy *policy;
    check(tkp_policy_load_text(&policy, mine, strlen(mine), "mine.yaml"));
    show(policy);

    /* Before anything runs: which tensors will be wanted, by all stages. */
    tkp_policy_info info = TKP_POLICY_INFO_INIT;
    check(tkp_policy_query(policy, &info));
    expect(info.needs == TKP_NEED_ATTENTION, "attention alone is needed");
    expect(info.last_boundary == 2, "the last cut is before layer 2");
    expect(
        info.flags & TKP_POLICY_TEXT_DEPENDENT,
        "another question gives other tokens");

    /* The same method with 32 tokens in the end. Policies do not change:
     * this is a copy. */
    tkp_budget fewer = TKP_BUDGET_INIT;
    fewer.kind = TKP_BUDGET_COUNT;
    fewer.count = 32;
    tkp_policy *smaller;
    check(tkp_policy_with_budget(&smaller, policy, 1, &fewer));

    /* As text again, with every default written out. */
    const size_t bytes = tkp_policy_to_yaml(smaller, NULL, 0) + 1;
    char *text = memory(bytes);
    tkp_policy_to_yaml(smaller, text, bytes);
    expect(strstr(text, "count: 32") != NULL, "the text has the new budget");
    fputs(text, stdout);

    /* A mistake is told with its place, and what was wanted. */
    static const char typo[] = "tokenprune: 1\nname: x\nstages:\n"
                               "  - at: llm:2\n    selectr: topk\n";
    tkp_policy *none = NULL;
    const tkp_status status =
        tkp_policy_load_text(&none, typo, strlen(typo), "typo.yaml");
    expect(status == TKP_ERR_POLICY && none == NULL, "a typing error is told");
    expect(
        strncmp(tkp_last_message(), "typo.yaml:5:", 12) == 0,
        "the message has file and line");
    printf("%s\n", tkp_last_message());

    free(text);
    tkp_policy_destroy(smaller);
    tkp_policy_destroy(policy);
    return 0;
}
