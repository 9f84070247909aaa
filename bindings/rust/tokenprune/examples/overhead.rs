//! What one call costs beyond C: `cargo run --release --example overhead`.
//!
//! The smallest scorer there is (36 tokens by their norm), run through this crate and through the
//! C call that it wraps; medians of batches that take turns.
use std::time::Instant;

use tokenprune::*;

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(|a, b| a.total_cmp(b));
    all[all.len() / 2]
}

const CALLS: usize = 20_000;

fn main() -> Result<()> {
    let context = Context::builder().backends("ref").build()?;
    let mut exec = Exec::new(&context)?;
    let mut layout = Layout::new()?;
    layout.add_sequence(6, 0..0, 0)?;
    layout.add_image(0, &Image::new(1, 2, 2))?;
    let model = ModelShape { hidden: 4, heads: 1, ..ModelShape::default() };
    let scorer = Scorer::new(&context, &layout, &model, "{kind: norm, norm: l2}")?;
    let hidden = vec![1.0f32; 24];
    let mut scores = vec![0.0f32; 4];

    let raw = in_c::Scorer::new();
    let mut there = Vec::new();
    let mut here = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        for _ in 0..CALLS {
            raw.run(&hidden, &mut scores);
        }
        there.push(start.elapsed().as_secs_f64() / CALLS as f64);
        let start = Instant::now();
        for _ in 0..CALLS {
            let inputs = Inputs::new().hidden(TensorRef::new(&hidden, &[6, 4])?);
            scorer.run_into(&mut exec, &inputs, &mut TensorMut::new(&mut scores, &[4])?)?;
        }
        here.push(start.elapsed().as_secs_f64() / CALLS as f64);
    }
    let (c, rust) = (median(there), median(here));
    println!("C {:.0} ns, Rust {:.0} ns, overhead {:.0} ns a call", c * 1e9, rust * 1e9, (rust - c) * 1e9);
    Ok(())
}

/// The same without this crate.
mod in_c {
    use std::ptr;

    use tokenprune_sys as sys;

    pub struct Scorer {
        scorer: *mut sys::tkp_scorer,
        exec: *mut sys::tkp_exec,
        _room: Vec<u64>,
    }

    impl Scorer {
        pub fn new() -> Scorer {
            // SAFETY: as a program in C would, and nothing is given back: the process ends.
            unsafe {
                let mut options = std::mem::zeroed();
                sys::tkp_context_options_init(&mut options);
                options.backends = b"ref\0".as_ptr().cast();
                let (mut context, mut layout, mut scorer, mut exec) =
                    (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
                assert_eq!(sys::tkp_context_create(&mut context, &options), sys::TKP_OK);
                assert_eq!(sys::tkp_layout_create(&mut layout), sys::TKP_OK);
                let mut sequence = std::mem::zeroed();
                sys::tkp_sequence_desc_init(&mut sequence);
                sequence.length = 6;
                assert_eq!(sys::tkp_layout_add_sequence(layout, &sequence, ptr::null_mut()), sys::TKP_OK);
                let mut image = std::mem::zeroed();
                sys::tkp_image_desc_init(&mut image);
                image.start = 1;
                image.rows = 2;
                image.cols = 2;
                assert_eq!(sys::tkp_layout_add_image(layout, &image, ptr::null_mut()), sys::TKP_OK);
                let mut what = std::mem::zeroed();
                sys::tkp_scorer_options_init(&mut what);
                what.kind = sys::TKP_SCORER_NORM as i32;
                what.norm = sys::TKP_NORM_L2 as i32;
                let mut model = std::mem::zeroed();
                sys::tkp_model_desc_init(&mut model);
                model.dtype = sys::TKP_DTYPE_F32 as i32;
                model.hidden = 4;
                model.heads = 1;
                assert_eq!(sys::tkp_scorer_create(&mut scorer, context, &what, layout, &model), sys::TKP_OK);
                assert_eq!(sys::tkp_exec_create(&mut exec, context, ptr::null_mut()), sys::TKP_OK);
                let mut need = std::mem::zeroed();
                sys::tkp_requirements_init(&mut need);
                assert_eq!(sys::tkp_scorer_query(scorer, &mut need), sys::TKP_OK);
                let mut room = vec![0u64; need.workspace_bytes as usize / 8 + 16];
                let at = (room.as_mut_ptr() as usize + 63) & !63;
                let bytes = need.workspace_bytes as usize;
                assert_eq!(sys::tkp_exec_set_workspace(exec, at as *mut _, bytes), sys::TKP_OK);
                Scorer { scorer, exec, _room: room }
            }
        }

        pub fn run(&self, hidden: &[f32], scores: &mut [f32]) {
            // SAFETY: sizes are those of new().
            unsafe {
                let mut rows = std::mem::zeroed();
                let mut out = std::mem::zeroed();
                let f32_ = sys::TKP_DTYPE_F32 as i32;
                sys::tkp_tensor_make(&mut rows, hidden.as_ptr() as *mut _, f32_, 2, [6i64, 4].as_ptr());
                sys::tkp_tensor_make(&mut out, scores.as_mut_ptr().cast(), f32_, 1, [4i64].as_ptr());
                let mut inputs = std::mem::zeroed();
                sys::tkp_inputs_init(&mut inputs);
                inputs.hidden = &rows;
                assert_eq!(sys::tkp_scorer_run(self.scorer, self.exec, &inputs, &out), sys::TKP_OK);
            }
        }
    }
}
