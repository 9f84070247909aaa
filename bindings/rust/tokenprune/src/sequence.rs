use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use tokenprune_sys as sys;

use crate::error::check;
use crate::{Context, Exec, Inputs, Layout, ModelShape, Point, Policy, Result, TensorMut, TensorRef};

/// Runs a policy against one batch: the one object an engine has to learn. The engine pulls.
///
/// ```no_run
/// # use tokenprune::*;
/// # fn forward(_: &Point) -> (Vec<f32>, Vec<f32>, Vec<f32>) { unimplemented!() }
/// # fn run(context: &Context, exec: &mut Exec, policy: &Policy, layout: &Layout, model: &ModelShape) -> Result<()> {
/// let mut sequence = Sequence::new(context)?;
/// sequence.begin(exec, policy, layout, model)?;
/// while let Some(point) = sequence.next_point()? {
///     let (q, k, hidden) = forward(&point); // up to the point
///     let inputs = Inputs::new()
///         .q(TensorRef::new(&q, &[1, 32, 128])?)
///         .k(TensorRef::new(&k, &[622, 32, 128])?);
///     let decision = sequence.prune(exec, &inputs)?;
///     let mut fewer = vec![0.0f32; decision.rows_out() * 4096];
///     decision.gather(
///         exec,
///         &mut TensorMut::new(&mut fewer, &[decision.rows_out(), 4096])?,
///         &TensorRef::new(&hidden, &[decision.rows_in(), 4096])?,
///     )?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Sequence {
    raw: NonNull<sys::tkp_sequence>,
    bytes: usize,
    sequences: i32,
    position_rows: usize,
}

// SAFETY: one thread at a time, which &mut sees to.
unsafe impl Send for Sequence {}

/// What a batch cost.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Cuts that really ran.
    pub stages: i32,
    /// Tokens that each layer of the decoder processed.
    pub layer_tokens: Vec<i64>,
    /// Visual ones among them.
    pub layer_visual: Vec<i64>,
    /// Candidates in the layout.
    pub visual_before: i64,
    /// After the last cut.
    pub visual_after: i64,
    /// Mean over layers of the visual tokens processed.
    pub equiv_in: f64,
    /// Mean over layers of those that leave the layer.
    pub equiv_out: f64,
    /// Multiply-accumulates of the decoder's prefill.
    pub macs: f64,
    /// Without pruning.
    pub macs_unpruned: f64,
    /// Bytes of keys and values after prefill.
    pub kv_bytes: i64,
    /// Without pruning.
    pub kv_bytes_unpruned: i64,
    /// Seconds spent in scoring, selecting, merging and gathering.
    pub seconds: [f64; 4],
}

impl Report {
    /// # Safety
    /// Its lists have as many entries as it says.
    pub(crate) unsafe fn of(raw: &sys::tkp_report) -> Report {
        let list = |at: *const i64| {
            if at.is_null() || raw.layers <= 0 {
                Vec::new()
            } else {
                std::slice::from_raw_parts(at, raw.layers as usize).to_vec()
            }
        };
        Report {
            stages: raw.stages,
            layer_tokens: list(raw.layer_tokens),
            layer_visual: list(raw.layer_visual),
            visual_before: raw.visual_before,
            visual_after: raw.visual_after,
            equiv_in: raw.equiv_in,
            equiv_out: raw.equiv_out,
            macs: raw.macs,
            macs_unpruned: raw.macs_unpruned,
            kv_bytes: raw.kv_bytes,
            kv_bytes_unpruned: raw.kv_bytes_unpruned,
            seconds: [raw.score_seconds, raw.select_seconds, raw.merge_seconds, raw.gather_seconds],
        }
    }

    pub(crate) fn empty() -> sys::tkp_report {
        // SAFETY: numbers and pointers; the init function fills in the size.
        unsafe {
            let mut raw = std::mem::zeroed();
            sys::tkp_report_init(&mut raw);
            raw
        }
    }
}

impl Sequence {
    /// For batches of a context.
    pub fn new(context: &Context) -> Result<Sequence> {
        let mut raw = ptr::null_mut();
        // SAFETY: out is a place for a pointer.
        check(unsafe { sys::tkp_sequence_create(&mut raw, context.raw.as_ptr()) })?;
        let raw = NonNull::new(raw).expect("a sequence that was made");
        Ok(Sequence { raw, bytes: 0, sequences: 0, position_rows: 1 })
    }

    /// Start a batch; what was running is forgotten. Budgets are resolved here, so one that does
    /// not fit fails before anything is computed.
    pub fn begin(
        &mut self,
        exec: &mut Exec,
        policy: &Policy,
        layout: &Layout,
        model: &ModelShape,
    ) -> Result<()> {
        // SAFETY: all of them live through the call; C keeps references of its own.
        unsafe {
            check(sys::tkp_sequence_begin(
                self.raw.as_ptr(),
                exec.raw.as_ptr(),
                policy.raw.as_ptr(),
                layout.raw.as_ptr(),
                &model.raw(),
            ))?;
            let mut need: sys::tkp_requirements = std::mem::zeroed();
            sys::tkp_requirements_init(&mut need);
            check(sys::tkp_sequence_query(self.raw.as_ptr(), &mut need))?;
            self.bytes = need.workspace_bytes as usize;
        }
        self.sequences = layout.sequences();
        exec.reserve(self.bytes)
    }

    /// The next place that really cuts; None behind the last.
    pub fn next_point(&mut self) -> Result<Option<Point>> {
        // SAFETY: the struct comes from the init function.
        unsafe {
            let mut raw = std::mem::zeroed();
            sys::tkp_point_init(&mut raw);
            check(sys::tkp_sequence_next(self.raw.as_ptr(), &mut raw))?;
            Ok(Point::of(&raw))
        }
    }

    /// Rows of the packed batch whose queries the point wants.
    pub fn query_rows(&self) -> Vec<i32> {
        // SAFETY: the list has room for as many as were counted.
        unsafe {
            let n = sys::tkp_sequence_query_rows(self.raw.as_ptr(), ptr::null_mut(), 0).max(0);
            let mut rows = vec![0; n as usize];
            sys::tkp_sequence_query_rows(self.raw.as_ptr(), rows.as_mut_ptr(), n);
            rows
        }
    }

    /// Decide at the point that [`Sequence::next_point`] gave.
    pub fn prune(&mut self, exec: &mut Exec, inputs: &Inputs<'_>) -> Result<Decision<'_>> {
        exec.reserve(self.bytes)?;
        let given = inputs.raw(self.sequences)?;
        // SAFETY: views are of borrowed memory and checked by C; exec and sequence are ours alone.
        let raw = unsafe {
            let mut raw = std::mem::zeroed();
            sys::tkp_decision_init(&mut raw);
            check(sys::tkp_sequence_prune(self.raw.as_ptr(), exec.raw.as_ptr(), &given, &mut raw))?;
            raw
        };
        self.position_rows = raw.position_rows.max(1) as usize;
        Ok(Decision { raw, sequence: self.raw, borrowed: PhantomData })
    }

    /// Rows of the layout that are still there, and where each sequence's begin: after cuts inside
    /// the encoder these are what goes on to the decoder.
    pub fn rows(&self) -> (Vec<i32>, Vec<i32>) {
        // SAFETY: lists have room for as many as were counted.
        unsafe {
            let at = self.raw.as_ptr();
            let n = sys::tkp_sequence_rows(at, ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0).max(0);
            let mut rows = vec![0; n as usize];
            let mut offsets = vec![0; self.sequences as usize + 1];
            sys::tkp_sequence_rows(at, rows.as_mut_ptr(), ptr::null_mut(), offsets.as_mut_ptr(), n);
            (rows, offsets)
        }
    }

    /// Rotary position of the first generated token of a sequence in a layer.
    pub fn next_position(&self, sequence: i32, layer: i32) -> Option<i32> {
        // SAFETY: the sequence lives as long as self.
        let at = unsafe { sys::tkp_sequence_next_position(self.raw.as_ptr(), sequence, layer) };
        (at >= 0).then_some(at)
    }

    /// Cells of an image that are still there, ascending.
    pub fn kept_cells(&mut self, exec: &mut Exec, image: i32) -> Option<Vec<i32>> {
        // SAFETY: the list has room for as many as were counted.
        unsafe {
            let n =
                sys::tkp_sequence_kept_cells(self.raw.as_ptr(), exec.raw.as_ptr(), image, ptr::null_mut(), 0);
            if n < 0 {
                return None;
            }
            let mut cells = vec![0; n as usize];
            sys::tkp_sequence_kept_cells(self.raw.as_ptr(), exec.raw.as_ptr(), image, cells.as_mut_ptr(), n);
            Some(cells)
        }
    }

    /// What it costs; layers after the last cut count as it left them.
    pub fn report(&self) -> Result<Report> {
        let mut raw = Report::empty();
        // SAFETY: the struct comes from the init function; its lists are copied at once.
        unsafe {
            check(sys::tkp_sequence_report(self.raw.as_ptr(), &mut raw))?;
            Ok(Report::of(&raw))
        }
    }
}

impl Drop for Sequence {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once.
        unsafe { sys::tkp_sequence_destroy(self.raw.as_ptr()) }
    }
}

/// What was decided; looks into the sequence, which cannot go on before it is dropped.
pub struct Decision<'s> {
    raw: sys::tkp_decision,
    sequence: NonNull<sys::tkp_sequence>,
    borrowed: PhantomData<&'s mut Sequence>,
}

impl<'s> Decision<'s> {
    fn list<T: crate::Element>(&self, raw: &sys::tkp_tensor) -> &[T] {
        TensorRef::from_raw(*raw).as_slice().unwrap_or(&[])
    }

    /// Number of the stage.
    pub fn stage(&self) -> i32 {
        self.raw.stage
    }

    /// Rows before.
    pub fn rows_in(&self) -> usize {
        self.raw.rows_in as usize
    }

    /// Rows after.
    pub fn rows_out(&self) -> usize {
        self.raw.rows_out as usize
    }

    /// The old row of each new one.
    pub fn indices(&self) -> &[i32] {
        self.list(&self.raw.indices)
    }

    /// Where each sequence's new rows begin.
    pub fn offsets(&self) -> &[i32] {
        self.list(&self.raw.offsets)
    }

    /// Rotary positions of the new rows: one list, or three for M-RoPE, one behind the other.
    /// Empty inside the encoder.
    pub fn positions(&self) -> &[i32] {
        self.list(&self.raw.positions)
    }

    /// Tokens that each new row stands for.
    pub fn sizes(&self) -> &[f32] {
        self.list(&self.raw.sizes)
    }

    /// The new row that each old one went to; -1 = dropped.
    pub fn assignment(&self) -> &[i32] {
        self.list(&self.raw.assignment)
    }

    /// Scores of the candidates, if the stage has a scorer.
    pub fn scores(&self) -> Option<&[f32]> {
        (self.raw.scores.dtype != 0).then(|| self.list(&self.raw.scores))
    }

    /// What attention has to add to the logits of each row's key from here on; None = nothing.
    pub fn key_bias(&self) -> Option<&[f32]> {
        (self.raw.key_bias.dtype != 0).then(|| self.list(&self.raw.key_bias))
    }

    /// Rows [m, D] that replace gathered ones.
    pub fn merged(&self) -> Option<TensorRef<'_>> {
        (self.raw.merged.dtype != 0).then(|| TensorRef::from_raw(self.raw.merged))
    }

    /// New rows that those replace.
    pub fn merged_at(&self) -> &[i32] {
        self.list(&self.raw.merged_at)
    }

    /// dst [rows_out, ..] = the rows of src [rows_in, ..] that stay; merged ones take their places.
    pub fn gather(&self, exec: &mut Exec, dst: &mut TensorMut<'_>, src: &TensorRef<'_>) -> Result<()> {
        // SAFETY: views are of borrowed memory and checked by C; the sequence is borrowed alone.
        check(unsafe {
            sys::tkp_gather_rows(self.sequence.as_ptr(), exec.raw.as_ptr(), &dst.raw, &src.raw, &self.raw)
        })
    }

    /// The same without merged rows, for keys and values of earlier layers.
    pub fn gather_kv(&self, exec: &mut Exec, dst: &mut TensorMut<'_>, src: &TensorRef<'_>) -> Result<()> {
        // SAFETY: as above.
        check(unsafe {
            sys::tkp_gather_kv(self.sequence.as_ptr(), exec.raw.as_ptr(), &dst.raw, &src.raw, &self.raw)
        })
    }
}
