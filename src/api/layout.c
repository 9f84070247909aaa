#include "layout/layout.h"

#include "tokenprune/sys/base.h"

void tkp_sequence_desc_init(tkp_sequence_desc *desc)
{
    if (desc)
        *desc = (tkp_sequence_desc)TKP_SEQUENCE_DESC_INIT;
}

void tkp_image_desc_init(tkp_image_desc *desc)
{
    if (desc)
        *desc = (tkp_image_desc)TKP_IMAGE_DESC_INIT;
}

tkp_status tkp_layout_create(tkp_layout **out)
{
    tkp_sys_message_clear();
    TKP__CHECK(out, TKP_ERR_ARGUMENT, "out is NULL");
    return tkp__layout_new(out);
}

void tkp_layout_destroy(tkp_layout *layout)
{
    tkp__layout_release(layout);
}

tkp_status tkp_layout_add_sequence(
    tkp_layout *layout,
    const tkp_sequence_desc *desc,
    int32_t *index_out)
{
    tkp_sys_message_clear();
    TKP__CHECK(layout, TKP_ERR_ARGUMENT, "layout is NULL");
    TKP__CHECK(desc, TKP_ERR_ARGUMENT, "desc is NULL");
    return tkp__layout_add_sequence(layout, desc, index_out);
}

tkp_status tkp_layout_add_image(
    tkp_layout *layout,
    const tkp_image_desc *desc,
    int32_t *index_out)
{
    tkp_sys_message_clear();
    TKP__CHECK(layout, TKP_ERR_ARGUMENT, "layout is NULL");
    TKP__CHECK(desc, TKP_ERR_ARGUMENT, "desc is NULL");
    return tkp__layout_add_image(layout, desc, index_out);
}

tkp_status tkp_layout_set_positions(
    tkp_layout *layout,
    int32_t n_rows,
    const int32_t *positions,
    int64_t count)
{
    tkp_sys_message_clear();
    TKP__CHECK(layout, TKP_ERR_ARGUMENT, "layout is NULL");
    TKP__CHECK(positions, TKP_ERR_ARGUMENT, "positions is NULL");
    return tkp__layout_set_positions(layout, n_rows, positions, count);
}

int32_t tkp_layout_sequences(const tkp_layout *layout)
{
    return layout ? layout->n_sequences : 0;
}

int32_t tkp_layout_images(const tkp_layout *layout)
{
    return layout ? layout->n_images : 0;
}

int64_t tkp_layout_rows(const tkp_layout *layout)
{
    return layout ? layout->rows : 0;
}

int64_t tkp_layout_visual_tokens(const tkp_layout *layout, int32_t sequence)
{
    if (!layout || sequence < 0 || sequence >= layout->n_sequences)
        return -1;
    return layout->sequences[sequence].visual;
}
