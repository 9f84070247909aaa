//! Visual-token pruning for multimodal language models:
//! [libtokenprune](https://github.com/tokenprune/tokenprune) from Rust.
//!
//! ```
//! use tokenprune::*;
//! # fn main() -> Result<()> {
//! let context = Context::builder().backends("ref").build()?;
//! let mut exec = Exec::new(&context)?;
//!
//! // A prompt of 35 tokens, a picture of 24 x 24 visual tokens, a question of 11.
//! let mut layout = Layout::new()?;
//! layout.add_sequence(622, 611..622, 0)?;
//! layout.add_image(0, &Image::new(35, 24, 24))?;
//!
//! let policy = Policy::preset("random")?.with_budget(None, &Budget::count(64))?;
//! let model = ModelShape { layers: 32, heads: 32, hidden: 4096, ..ModelShape::default() };
//! let mut sequence = Sequence::new(&context)?;
//! sequence.begin(&mut exec, &policy, &layout, &model)?;
//! while let Some(point) = sequence.next_point()? {
//!     // Run the forward up to `point.at`, then:
//!     let decision = sequence.prune(&mut exec, &Inputs::new())?;
//!     assert_eq!(decision.rows_out() as i64, point.rows_out);
//!     assert_eq!(decision.indices().len(), 622 - 576 + 64);
//! }
//! assert_eq!(sequence.report()?.visual_after, 64);
//! # Ok(())
//! # }
//! ```
//!
//! Slices are handed over as they are: nothing is copied, and nothing of the caller's is
//! remembered once a call is over. Errors name the field, the value met and the value wanted.
#![warn(missing_docs)]

mod budget;
mod context;
mod custom;
mod error;
mod inputs;
mod layout;
#[cfg(feature = "mllm")]
pub mod mllm;
mod model;
mod parts;
mod policy;
mod sequence;
mod tensor;

pub use budget::{Budget, Label, Rounding, Scope};
pub use context::{Context, ContextBuilder, Exec};
pub use custom::{register_scorer, register_selector, unregister_scorer, unregister_selector, BatchView};
pub use error::{Error, Result, Status};
pub use inputs::{Given, Inputs, Needs};
pub use layout::{Image, Layout};
pub use model::ModelShape;
pub use parts::{Merged, Merger, Scorer, Selection, Selector};
pub use policy::{presets, At, Point, Policy, PolicyInfo};
pub use sequence::{Decision, Report, Sequence};
pub use tensor::{Bf16, Dtype, Element, TensorMut, TensorRef, F16};

/// Version of the library that is loaded.
pub fn library_version() -> String {
    // SAFETY: the text is static.
    unsafe { context::text(tokenprune_sys::tkp_version_string()) }
}

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
