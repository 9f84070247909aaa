#ifndef TKP_EVAL_REPORT_CHARTS_H
#define TKP_EVAL_REPORT_CHARTS_H

#include "eval/report.h"
#include "viz/chart.h"

/* Chart i of a report: what is left of the score over the tokens that stay, for
 * each point, then speed-up promised and kept. No series behind the last. */
tkp_status
tkp__report_chart(tkp__chart *out, const tkp__report *report, int32_t i);

#endif
