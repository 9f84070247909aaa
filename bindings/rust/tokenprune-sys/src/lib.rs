//! The C interface of [libtokenprune](https://github.com/tokenprune/tokenprune), as it is.
//!
//! Everything here is made by `bindings/rust/generate` from the headers, whose comments say
//! what each call does. The crate `tokenprune` is the one to use.
#![allow(non_camel_case_types, non_upper_case_globals, non_snake_case, clippy::all)]

mod raw;
pub use raw::*;

/// The reference model, `tokenprune/mllm.h`.
#[cfg(feature = "mllm")]
pub mod mllm;
