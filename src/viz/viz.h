#ifndef TKP_VIZ_VIZ_H
#define TKP_VIZ_VIZ_H

/* Pictures of what a policy did. */

#include "util/util.h"

typedef struct tkp__viz_image {
    const uint8_t *rgb; /* [height, width, 3] as the model saw it */
    int32_t height, width;
    int32_t grid_rows, grid_cols;
    const int32_t *cells; /* kept, row * grid_cols + col */
    int64_t n_cells;
} tkp__viz_image;

/*
 * A PNG of the images side by side: kept patches as they are, dropped ones
 * grey and at a quarter of their brightness, thin lines between patches. Each
 * image is magnified by a whole number so that its patches have 12 pixels.
 */
tkp_status
tkp__viz_kept(const char *path, const tkp__viz_image *images, int32_t count);

#endif
