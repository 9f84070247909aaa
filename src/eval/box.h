#ifndef TKP_EVAL_BOX_H
#define TKP_EVAL_BOX_H

/* Boxes in answers (box_parse.c), and what is made of them (metric_box.c). */

#include "eval/metric.h"

/* By one parser (enum tkp__eval_box_parser): four finite numbers, as they
 * stand there. */
bool tkp__eval_box_read(double out[4], const char *answer, int32_t parser);

/* To pixels of the picture. */
void tkp__eval_box_place(
    double box[4],
    const tkp__eval_box_rule *rule,
    double width,
    double height);

/* Intersection over union; 0 if either is empty. */
double tkp__eval_box_iou(const double a[4], const double b[4]);

#endif
