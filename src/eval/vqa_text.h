#ifndef TKP_EVAL_VQA_TEXT_H
#define TKP_EVAL_VQA_TEXT_H

/* Free answers brought into one spelling before they are compared, as three
 * programs do it. */

#include "util/util.h"

enum tkp__eval_vqa_rule {
    TKP__EVAL_VQA_EVALAI,   /* LLaVA's m4c_evaluator.py, from Pythia */
    TKP__EVAL_VQA_OFFICIAL, /* VQA's vqaEval.py */
    TKP__EVAL_VQA_VLMEVAL,  /* VLMEvalKit's process_answer */
    TKP__EVAL_VQA_PLAIN     /* only blanks for newlines and tabs, stripped */
};

/* tkp__free() the result; NULL without memory. */
char *tkp__eval_vqa_text(const char *text, int32_t rule);

/* The pass over punctuation alone, as VLMEvalKit has it. */
char *tkp__eval_vlmeval_punctuation(const char *text);

#endif
