package io.github.tokenprune;

import io.github.tokenprune.internal.tkp_model_desc;

/**
 * Shapes of the language model: for planning, for the report of costs, and to check inputs
 * against. What a method does not need may stay 0.
 */
public final class ModelShape {
    /** Of hidden rows, q and k. */
    public Dtype dtype = Dtype.F32;
    /** Decoder layers. */
    public int layers;
    /** Query heads. */
    public int heads;
    /** Key heads; 0 = as many as query heads. */
    public int kvHeads;
    /** Channels of a head; 0 = hidden / heads. */
    public int headDim;
    /** Width of a row. */
    public long hidden;
    /** Inner width of the MLP. */
    public long intermediate;
    /** 3 gated, 2 plain; 0 = 3. */
    public int mlpMatrices;
    /** Of the KV cache; null = dtype. */
    public Dtype kvDtype;
    /** Keys of a page, where k comes in pages. */
    public int kvPage;
    /** Pages of the pool. */
    public long kvPages;
    /** Width of the encoder's rows. */
    public long visionHidden;
    /** Width of its keys. */
    public long visionKeyDim;
    /** Width of the space that pictures and text share. */
    public long clipDim;
    /** Most rows of text. */
    public int textRows;
    /** Most rows of prompts in the shared space. */
    public int clipTextRows;
    /** Most rows of tokens there. */
    public int clipTokenRows;
    /** Of the final norm; 0 = 1e-5. */
    public float normEps;
    /** Base of the rotary angles; 0 = not given. */
    public double ropeTheta;
    /** Width of the encoder's values. */
    public long visionValueDim;

    /** All 0. */
    public ModelShape() {}

    tkp_model_desc raw() {
        tkp_model_desc d = new tkp_model_desc();
        d.setDtype(dtype.code());
        d.setLayers(layers);
        d.setHeads(heads);
        d.setKv_heads(kvHeads);
        d.setHead_dim(headDim);
        d.setHidden(hidden);
        d.setIntermediate(intermediate);
        d.setMlp_matrices(mlpMatrices);
        d.setKv_dtype(kvDtype == null ? 0 : kvDtype.code());
        d.setKv_page(kvPage);
        d.setKv_pages(kvPages);
        d.setVision_hidden(visionHidden);
        d.setVision_key_dim(visionKeyDim);
        d.setClip_dim(clipDim);
        d.setText_rows(textRows);
        d.setClip_text_rows(clipTextRows);
        d.setClip_token_rows(clipTokenRows);
        d.setNorm_eps(normEps);
        d.setRope_theta(ropeTheta);
        d.setVision_value_dim(visionValueDim);
        return d;
    }
}
