#![allow(dead_code)]
use std::path::PathBuf;

use tokenprune::*;

/// tests/golden of the library.
pub fn golden() -> PathBuf {
    std::env::var_os("TKP_TEST_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/golden")),
        PathBuf::from,
    )
}

/// 47 rows: one, 6 x 6 visual tokens, ten of text.
pub fn small_batch() -> Layout {
    let mut layout = Layout::new().unwrap();
    layout.add_sequence(47, 38..47, 0).unwrap();
    layout.add_image(0, &Image::new(1, 6, 6)).unwrap();
    layout
}

pub fn small_model() -> ModelShape {
    ModelShape {
        layers: 8,
        heads: 4,
        kv_heads: 2,
        head_dim: 6,
        hidden: 12,
        intermediate: 32,
        ..ModelShape::default()
    }
}

/// Made-up numbers, always the same.
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    (0..count as u64).map(|i| ((i * 2654435761 + seed * 40503) % 65536) as f32 / 65536.0 - 0.5).collect()
}

pub fn on_ref() -> (Context, Exec) {
    let context = Context::builder().backends("ref").build().unwrap();
    let exec = Exec::new(&context).unwrap();
    (context, exec)
}
