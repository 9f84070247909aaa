use std::ops::BitOr;
use std::ptr;

use tokenprune_sys as sys;

use crate::{Error, Result, Status, TensorRef};

/// What a stage wants to be given: a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Needs(pub(crate) u32);

macro_rules! needs {
    ($($(#[$doc:meta])* $name:ident = $raw:ident),* $(,)?) => {
        impl Needs {
            $($(#[$doc])* pub const $name: Needs = Needs(sys::$raw);)*
        }
        const NAMES: &[(&str, u32)] = &[$((stringify!($name), sys::$raw)),*];
    };
}
needs! {
    /// q and k, or finished rows.
    ATTENTION = TKP_NEED_ATTENTION,
    /// Hidden rows.
    HIDDEN = TKP_NEED_HIDDEN,
    /// The CLS row of the encoder.
    CLS_ATTENTION = TKP_NEED_CLS_ATTENTION,
    /// The weight of the final norm.
    NORM_WEIGHT = TKP_NEED_NORM_WEIGHT,
    /// Scores of the caller.
    SCORES = TKP_NEED_SCORES,
    /// Rows of the question's words.
    TEXT = TKP_NEED_TEXT,
    /// Values of the score layer.
    VALUES = TKP_NEED_VALUES,
    /// Rows of the encoder.
    VISION = TKP_NEED_VISION,
    /// Keys of the encoder.
    VISION_KEYS = TKP_NEED_VISION_KEYS,
    /// Patches in the shared space.
    CLIP = TKP_NEED_CLIP,
    /// Prompts there.
    CLIP_TEXT = TKP_NEED_CLIP_TEXT,
    /// Tokens of text there.
    CLIP_TOKENS = TKP_NEED_CLIP_TOKENS,
    /// What entered the decoder.
    EMBEDDINGS = TKP_NEED_EMBEDDINGS,
    /// The CLS row of an early block.
    CLS_SHALLOW = TKP_NEED_CLS_SHALLOW,
    /// k alone.
    KEYS = TKP_NEED_KEYS,
    /// q and k before rotary.
    PLAIN_ATTENTION = TKP_NEED_PLAIN_ATTENTION,
    /// Values of the encoder.
    VISION_VALUES = TKP_NEED_VISION_VALUES,
}

impl Needs {
    /// Nothing.
    pub const NONE: Needs = Needs(0);

    /// Whether all of `other` is in it.
    pub fn contains(self, other: Needs) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Names of what is in it.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(_, bit)| self.0 & bit != 0).map(|(name, _)| *name)
    }
}

impl BitOr for Needs {
    type Output = Needs;
    fn bitor(self, other: Needs) -> Needs {
        Needs(self.0 | other.0)
    }
}

macro_rules! inputs {
    (tensors: $($(#[$doc:meta])* $name:ident),* ; offsets: $($(#[$odoc:meta])* $oname:ident),* $(;)?) => {
        /// What is handed over at a pruning point; views, so nothing is copied. What a stage does
        /// not need may be left out.
        ///
        /// R rows of the packed batch, N candidates, Q query rows, H query heads, G key heads,
        /// C channels, D hidden size.
        #[derive(Clone, Default)]
        pub struct Inputs<'a> {
            $($name: Option<TensorRef<'a>>,)*
            $($oname: Option<&'a [i32]>,)*
        }

        impl<'a> Inputs<'a> {
            /// None of them.
            pub fn new() -> Inputs<'a> {
                Inputs::default()
            }
            $($(#[$doc])* pub fn $name(mut self, tensor: TensorRef<'a>) -> Self {
                self.$name = Some(tensor);
                self
            })*
            $($(#[$odoc])* pub fn $oname(mut self, offsets: &'a [i32]) -> Self {
                self.$oname = Some(offsets);
                self
            })*

            /// The struct of C, good while self is. Offsets are B + 1.
            pub(crate) fn raw(&self, sequences: i32) -> Result<sys::tkp_inputs> {
                // SAFETY: pointers and numbers; the init function fills in the size.
                let mut raw = unsafe {
                    let mut raw = std::mem::zeroed();
                    sys::tkp_inputs_init(&mut raw);
                    raw
                };
                $(raw.$name = self.$name.as_ref().map_or(ptr::null(), |t| &t.raw);)*
                $(if let Some(offsets) = self.$oname {
                    if offsets.len() != sequences as usize + 1 {
                        return Err(Error::new(
                            Status::Shape,
                            format!(
                                "inputs: {}: has {} entries, wanted {}",
                                stringify!($oname), offsets.len(), sequences + 1
                            ),
                        ));
                    }
                    raw.$oname = offsets.as_ptr();
                })*
                Ok(raw)
            }

            /// What C hands to a scorer that was registered.
            pub(crate) unsafe fn from_raw(raw: &sys::tkp_inputs, sequences: usize) -> Inputs<'a> {
                Inputs {
                    $($name: raw.$name.as_ref().map(|t| TensorRef::from_raw(*t)),)*
                    $($oname: if raw.$oname.is_null() {
                        None
                    } else {
                        Some(std::slice::from_raw_parts(raw.$oname, sequences + 1))
                    },)*
                }
            }
        }

        /// What a closure that the library calls may look at.
        #[derive(Clone)]
        pub struct Given<'a>(pub(crate) Inputs<'a>);

        impl<'a> Given<'a> {
            $($(#[$doc])* pub fn $name(&self) -> Option<&TensorRef<'a>> {
                self.0.$name.as_ref()
            })*
            $($(#[$odoc])* pub fn $oname(&self) -> Option<&'a [i32]> {
                self.0.$oname
            })*
        }
    };
}
inputs! {
    tensors:
    /// Queries after rotary, [Q, H, C]; or of all rows.
    q,
    /// Keys, [R, G, C]; or [B, L, G, C]; or pages.
    k,
    /// Log-sum-exp of the queries, [Q, H] f32.
    lse,
    /// Pages of each sequence, [B, T] i32.
    block_table,
    /// Finished probabilities of the query rows, [Q, H, L].
    attention_rows,
    /// The full tensor of probabilities, [B, L, H, L].
    attention,
    /// Hidden rows, [R, D].
    hidden,
    /// Of the final norm, [D].
    norm_weight,
    /// The CLS row of the encoder, [N] or [heads, N].
    cls_attention,
    /// The caller's own scores, [N].
    scores,
    /// Rows of the question's words, [m, D].
    text,
    /// Values of the score layer, as k.
    values,
    /// Rows of the encoder, [N, Dv].
    vision,
    /// Keys of the encoder, heads meaned, [N, Dk].
    vision_keys,
    /// The CLS row of an early block.
    cls_shallow,
    /// Patches in the space that text shares, [N, Dc].
    clip,
    /// Prompts there, [m, Dc].
    clip_text,
    /// Tokens of text there, [l, Dc].
    clip_tokens,
    /// What entered the decoder, [R0, D].
    embeddings,
    /// Pivots in the order they are visited, [P] i32 on the host.
    pivot_order,
    /// Mergers: parts of a chain that chose each token, [K] i32.
    roles,
    /// Mergers: what each part could have chosen, [N] i32.
    pools,
    /// Mergers that weigh rows, [N] f32.
    token_scores,
    /// Queries before rotary, [R, H, C].
    plain_q,
    /// Keys before rotary, [R, G, C].
    plain_k,
    /// Values of the encoder's last block, heads side by side, [N, Dw].
    vision_values;
    offsets:
    /// Where the rows of `text` begin for each sequence.
    text_offsets,
    /// Likewise of `clip_text`.
    clip_text_offsets,
    /// Likewise of `clip_tokens`.
    clip_token_offsets;
}
