//! Scorers, selectors and mergers by themselves.
//!
//! Their options are said as in a policy file: `"{kind: attention, query: last}"`.

use std::ptr::{self, NonNull};

use tokenprune_sys as sys;

use crate::error::check;
use crate::{
    Budget, Context, Error, Exec, Inputs, Layout, ModelShape, Needs, Policy, Result, Status, TensorMut,
    TensorRef,
};

fn requirements() -> sys::tkp_requirements {
    // SAFETY: numbers and pointers; the init function fills in the size.
    unsafe {
        let mut raw = std::mem::zeroed();
        sys::tkp_requirements_init(&mut raw);
        raw
    }
}

/// Gives each visual token a number.
pub struct Scorer {
    raw: NonNull<sys::tkp_scorer>,
    sequences: i32,
    candidates: usize,
    bytes: usize,
}

// SAFETY: a plan is read only; runs take the exec alone.
unsafe impl Send for Scorer {}
// SAFETY: likewise.
unsafe impl Sync for Scorer {}

impl Scorer {
    /// `scorer` as in a policy file: `"attention"`, `"{kind: norm, norm: l2}"`.
    pub fn new(context: &Context, layout: &Layout, model: &ModelShape, scorer: &str) -> Result<Scorer> {
        Scorer::of(&Policy::of_parts(scorer, "topk", "none")?, 0, context, layout, model)
    }

    /// The scorer of a stage.
    pub fn of(
        policy: &Policy,
        stage: i32,
        context: &Context,
        layout: &Layout,
        model: &ModelShape,
    ) -> Result<Scorer> {
        let options = policy.stage(stage)?;
        let model = model.raw();
        let mut raw = ptr::null_mut();
        let mut need = requirements();
        // SAFETY: options point into the policy, which lives through the calls.
        unsafe {
            check(sys::tkp_scorer_create(
                &mut raw,
                context.raw.as_ptr(),
                options.scorer,
                layout.raw.as_ptr(),
                &model,
            ))?;
        }
        let mut made = Scorer {
            raw: NonNull::new(raw).expect("a scorer that was made"),
            sequences: layout.sequences(),
            candidates: layout.candidates(),
            bytes: 0,
        };
        // SAFETY: the scorer is there; the struct comes from the init function.
        check(unsafe { sys::tkp_scorer_query(raw, &mut need) })?;
        made.bytes = need.workspace_bytes as usize;
        Ok(made)
    }

    /// What it must be given.
    pub fn needs(&self) -> Needs {
        // SAFETY: the scorer lives as long as self.
        Needs(unsafe { sys::tkp_scorer_needs(self.raw.as_ptr()) })
    }

    /// Rows of the packed batch whose queries it wants.
    pub fn query_rows(&self) -> Vec<i32> {
        // SAFETY: the list has room for as many as were counted.
        unsafe {
            let n = sys::tkp_scorer_query_rows(self.raw.as_ptr(), ptr::null_mut(), 0).max(0);
            let mut rows = vec![0; n as usize];
            sys::tkp_scorer_query_rows(self.raw.as_ptr(), rows.as_mut_ptr(), n);
            rows
        }
    }

    /// How many scores there are: candidates of the batch.
    pub fn candidates(&self) -> usize {
        self.candidates
    }

    /// Scores into `scores` [N] f32, which lies where the context works.
    pub fn run_into(&self, exec: &mut Exec, inputs: &Inputs<'_>, scores: &mut TensorMut<'_>) -> Result<()> {
        exec.reserve(self.bytes)?;
        let raw = inputs.raw(self.sequences)?;
        // SAFETY: views are of borrowed memory and checked by C; the exec is ours alone.
        check(unsafe { sys::tkp_scorer_run(self.raw.as_ptr(), exec.raw.as_ptr(), &raw, &scores.raw) })
    }

    /// Scores of all candidates, on the CPU.
    pub fn run(&self, exec: &mut Exec, inputs: &Inputs<'_>) -> Result<Vec<f32>> {
        let mut scores = vec![0.0f32; self.candidates];
        let n = scores.len();
        self.run_into(exec, inputs, &mut TensorMut::new(&mut scores, &[n])?)?;
        Ok(scores)
    }
}

impl Drop for Scorer {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once.
        unsafe { sys::tkp_scorer_destroy(self.raw.as_ptr()) }
    }
}

/// Chooses which visual tokens stay.
pub struct Selector {
    raw: NonNull<sys::tkp_selector>,
    sequences: i32,
    candidates: usize,
    bytes: usize,
}

// SAFETY: as a scorer.
unsafe impl Send for Selector {}
// SAFETY: likewise.
unsafe impl Sync for Selector {}

/// What a selector kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Numbers of candidates, ascending in each sequence.
    pub indices: Vec<i32>,
    /// Where each sequence's begin; one more than there are sequences.
    pub offsets: Vec<i32>,
}

impl Selector {
    /// `selector` as in a policy file: `"topk"`, `"{kind: window, window: [2, 2]}"`.
    pub fn new(context: &Context, layout: &Layout, selector: &str, budget: &Budget) -> Result<Selector> {
        let parts = Policy::of_parts("external", selector, "none")?;
        Selector::create(&parts.stage(0)?, &budget.raw, context, layout, None)
    }

    /// For kinds that look at more than scores.
    pub fn with_model(
        context: &Context,
        layout: &Layout,
        model: &ModelShape,
        selector: &str,
        budget: &Budget,
    ) -> Result<Selector> {
        let parts = Policy::of_parts("external", selector, "none")?;
        Selector::create(&parts.stage(0)?, &budget.raw, context, layout, Some(model))
    }

    /// The selector of a stage, with its budget.
    pub fn of(
        policy: &Policy,
        stage: i32,
        context: &Context,
        layout: &Layout,
        model: &ModelShape,
    ) -> Result<Selector> {
        let options = policy.stage(stage)?;
        Selector::create(&options, options.budget, context, layout, Some(model))
    }

    fn create(
        options: &sys::tkp_stage_options,
        budget: *const sys::tkp_budget,
        context: &Context,
        layout: &Layout,
        model: Option<&ModelShape>,
    ) -> Result<Selector> {
        let mut raw = ptr::null_mut();
        let mut need = requirements();
        // SAFETY: options point into a policy that lives through the call.
        check(unsafe {
            match model {
                Some(model) => sys::tkp_selector_create_for(
                    &mut raw,
                    context.raw.as_ptr(),
                    options.selector,
                    budget,
                    layout.raw.as_ptr(),
                    &model.raw(),
                ),
                None => sys::tkp_selector_create(
                    &mut raw,
                    context.raw.as_ptr(),
                    options.selector,
                    budget,
                    layout.raw.as_ptr(),
                ),
            }
        })?;
        let mut made = Selector {
            raw: NonNull::new(raw).expect("a selector that was made"),
            sequences: layout.sequences(),
            candidates: layout.candidates(),
            bytes: 0,
        };
        // SAFETY: the selector is there; the struct comes from the init function.
        check(unsafe { sys::tkp_selector_query(raw, &mut need) })?;
        made.bytes = need.workspace_bytes as usize;
        Ok(made)
    }

    /// What it must be given beside scores.
    pub fn needs(&self) -> Needs {
        // SAFETY: the selector lives as long as self; the same below.
        Needs(unsafe { sys::tkp_selector_needs(self.raw.as_ptr()) })
    }

    /// Tokens kept of a sequence, or the most there may be where the data decide.
    pub fn count(&self, sequence: i32) -> Option<i64> {
        let n = unsafe { sys::tkp_selector_count(self.raw.as_ptr(), sequence) };
        (n >= 0).then_some(n)
    }

    /// Choose by scores [N], on the CPU.
    pub fn run(&self, exec: &mut Exec, scores: &[f32]) -> Result<Selection> {
        let scores = TensorRef::new(scores, &[scores.len()])?;
        self.run_on(exec, Some(&scores), &Inputs::new())
    }

    /// Choose, for kinds that compare tokens or want no scores.
    pub fn run_on(
        &self,
        exec: &mut Exec,
        scores: Option<&TensorRef<'_>>,
        inputs: &Inputs<'_>,
    ) -> Result<Selection> {
        exec.reserve(self.bytes)?;
        let kept: i64 = (0..self.sequences).filter_map(|b| self.count(b)).sum();
        let mut indices = vec![0i32; kept as usize];
        let mut offsets = vec![0i32; self.sequences as usize + 1];
        let (n, b) = (indices.len(), offsets.len());
        {
            let to = TensorMut::new(&mut indices, &[n])?;
            let at = TensorMut::new(&mut offsets, &[b])?;
            let raw = inputs.raw(self.sequences)?;
            // SAFETY: views are of borrowed memory and checked by C; the exec is ours alone.
            check(unsafe {
                sys::tkp_selector_run_on(
                    self.raw.as_ptr(),
                    exec.raw.as_ptr(),
                    &raw,
                    scores.map_or(ptr::null(), |t| &t.raw),
                    &to.raw,
                    &at.raw,
                    ptr::null(),
                    ptr::null(),
                )
            })?;
        }
        indices.truncate(offsets[b - 1].max(0) as usize);
        Ok(Selection { indices, offsets })
    }
}

impl Drop for Selector {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once; mergers hold references of their own.
        unsafe { sys::tkp_selector_destroy(self.raw.as_ptr()) }
    }
}

/// Says where the content of dropped tokens goes.
pub struct Merger {
    raw: NonNull<sys::tkp_merger>,
    sequences: i32,
    candidates: usize,
    bytes: usize,
}

// SAFETY: as a scorer.
unsafe impl Send for Merger {}
// SAFETY: likewise.
unsafe impl Sync for Merger {}

/// What became of the tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// Tokens that each kept one stands for.
    pub sizes: Vec<f32>,
    /// For each candidate the entry of `kept` that it went to.
    pub assignment: Vec<Option<usize>>,
}

impl Merger {
    /// `merger` as in a policy file: `"nearest"`.
    pub fn new(context: &Context, selector: &Selector, model: &ModelShape, merger: &str) -> Result<Merger> {
        Merger::create(&Policy::of_parts("external", "topk", merger)?, 0, context, selector, model)
    }

    /// The merger of a stage.
    pub fn of(
        policy: &Policy,
        stage: i32,
        context: &Context,
        selector: &Selector,
        model: &ModelShape,
    ) -> Result<Merger> {
        Merger::create(policy, stage, context, selector, model)
    }

    fn create(
        policy: &Policy,
        stage: i32,
        context: &Context,
        selector: &Selector,
        model: &ModelShape,
    ) -> Result<Merger> {
        let options = policy.stage(stage)?;
        let mut raw = ptr::null_mut();
        let mut need = requirements();
        // SAFETY: options point into the policy, which lives through the call.
        check(unsafe {
            sys::tkp_merger_create(
                &mut raw,
                context.raw.as_ptr(),
                options.merger,
                selector.raw.as_ptr(),
                &model.raw(),
            )
        })?;
        let mut made = Merger {
            raw: NonNull::new(raw).expect("a merger that was made"),
            sequences: selector.sequences,
            candidates: selector.candidates,
            bytes: 0,
        };
        // SAFETY: the merger is there; the struct comes from the init function.
        check(unsafe { sys::tkp_merger_query(raw, &mut need) })?;
        made.bytes = need.workspace_bytes as usize;
        Ok(made)
    }

    /// New rows of the kept tokens into `rows` [K, D] of the dtype of `hidden`.
    pub fn run_into(
        &self,
        exec: &mut Exec,
        inputs: &Inputs<'_>,
        kept: &[i32],
        rows: &mut TensorMut<'_>,
    ) -> Result<Merged> {
        // C trusts numbers of candidates.
        if let Some(wrong) = kept.iter().find(|i| **i < 0 || **i as usize >= self.candidates) {
            return Err(Error::new(
                Status::Argument,
                format!("kept: has candidate {wrong}, wanted 0 to {}", self.candidates as i64 - 1),
            ));
        }
        exec.reserve(self.bytes)?;
        let kept = TensorRef::new(kept, &[kept.len()])?;
        let n = kept.shape()[0] as usize;
        let mut sizes = vec![0.0f32; n];
        let mut assignment = vec![-1i32; self.candidates];
        {
            let all = assignment.len();
            let size_view = TensorMut::new(&mut sizes, &[n])?;
            let assigned = TensorMut::new(&mut assignment, &[all])?;
            let raw = inputs.raw(self.sequences)?;
            // SAFETY: views are of borrowed memory and checked by C; the exec is ours alone.
            check(unsafe {
                sys::tkp_merger_run(
                    self.raw.as_ptr(),
                    exec.raw.as_ptr(),
                    &raw,
                    &kept.raw,
                    &rows.raw,
                    &size_view.raw,
                    &assigned.raw,
                )
            })?;
        }
        let assignment = assignment.into_iter().map(|i| (i >= 0).then_some(i as usize)).collect();
        Ok(Merged { sizes, assignment })
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once.
        unsafe { sys::tkp_merger_destroy(self.raw.as_ptr()) }
    }
}
