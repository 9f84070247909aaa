use tokenprune_sys as sys;

use crate::Dtype;

/// Shapes of the language model: for planning, for the report of costs, and to check inputs
/// against. Fields that a method does not need may stay 0.
///
/// ```
/// use tokenprune::ModelShape;
/// let model = ModelShape { layers: 32, heads: 32, hidden: 4096, ..ModelShape::default() };
/// ```
#[derive(Debug, Clone)]
pub struct ModelShape {
    /// Of hidden rows, q and k.
    pub dtype: Dtype,
    /// Decoder layers.
    pub layers: i32,
    /// Query heads.
    pub heads: i32,
    /// Key heads; 0 = as many as query heads.
    pub kv_heads: i32,
    /// Channels of a head; 0 = hidden / heads.
    pub head_dim: i32,
    /// Width of a row.
    pub hidden: i64,
    /// Inner width of the MLP.
    pub intermediate: i64,
    /// 3 gated, 2 plain; 0 = 3.
    pub mlp_matrices: i32,
    /// Of the KV cache; None = dtype.
    pub kv_dtype: Option<Dtype>,
    /// Keys of a page, where k comes in pages.
    pub kv_page: i32,
    /// Pages of the pool.
    pub kv_pages: i64,
    /// Width of the encoder's rows.
    pub vision_hidden: i64,
    /// Width of the encoder's keys.
    pub vision_key_dim: i64,
    /// Width of the space that pictures and text share.
    pub clip_dim: i64,
    /// Most rows of `text`.
    pub text_rows: i32,
    /// Most rows of `clip_text`.
    pub clip_text_rows: i32,
    /// Most rows of `clip_tokens`.
    pub clip_token_rows: i32,
    /// Of the final norm; 0 = 1e-5.
    pub norm_eps: f32,
    /// Base of the rotary angles; 0 = not given.
    pub rope_theta: f64,
    /// Width of the encoder's values.
    pub vision_value_dim: i64,
}

impl Default for ModelShape {
    fn default() -> ModelShape {
        ModelShape {
            dtype: Dtype::F32,
            layers: 0,
            heads: 0,
            kv_heads: 0,
            head_dim: 0,
            hidden: 0,
            intermediate: 0,
            mlp_matrices: 0,
            kv_dtype: None,
            kv_page: 0,
            kv_pages: 0,
            vision_hidden: 0,
            vision_key_dim: 0,
            clip_dim: 0,
            text_rows: 0,
            clip_text_rows: 0,
            clip_token_rows: 0,
            norm_eps: 0.0,
            rope_theta: 0.0,
            vision_value_dim: 0,
        }
    }
}

impl ModelShape {
    pub(crate) fn raw(&self) -> sys::tkp_model_desc {
        // SAFETY: numbers only; the init function fills in the size.
        let mut raw = unsafe {
            let mut raw = std::mem::zeroed();
            sys::tkp_model_desc_init(&mut raw);
            raw
        };
        raw.dtype = self.dtype.raw();
        raw.layers = self.layers;
        raw.heads = self.heads;
        raw.kv_heads = self.kv_heads;
        raw.head_dim = self.head_dim;
        raw.hidden = self.hidden;
        raw.intermediate = self.intermediate;
        raw.mlp_matrices = self.mlp_matrices;
        raw.kv_dtype = self.kv_dtype.map_or(0, Dtype::raw);
        raw.kv_page = self.kv_page;
        raw.kv_pages = self.kv_pages;
        raw.vision_hidden = self.vision_hidden;
        raw.vision_key_dim = self.vision_key_dim;
        raw.clip_dim = self.clip_dim;
        raw.text_rows = self.text_rows;
        raw.clip_text_rows = self.clip_text_rows;
        raw.clip_token_rows = self.clip_token_rows;
        raw.norm_eps = self.norm_eps;
        raw.rope_theta = self.rope_theta;
        raw.vision_value_dim = self.vision_value_dim;
        raw
    }
}
