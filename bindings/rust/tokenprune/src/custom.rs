//! Scorers and selectors written in Rust, under a name that policies know.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{c_void, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};

use tokenprune_sys as sys;

use crate::error::check;
use crate::inputs::Given;
use crate::{Error, Inputs, Needs, Result, Status, TensorMut, TensorRef};

thread_local! {
    /// What a closure gave or threw, on its way through C.
    static THROWN: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// The error of a closure, if that is what a call failed with.
pub(crate) fn take_thrown(code: u32) -> Option<Error> {
    THROWN.with(|thrown| thrown.borrow_mut().take()).filter(|e| e.status().code() == code)
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Run a closure for C: nothing unwinds through it.
pub(crate) fn guarded(run: impl FnOnce() -> Result<()>) -> sys::tkp_status {
    let error = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => return sys::TKP_OK,
        Ok(Err(error)) => error,
        Err(payload) => {
            Error::new(Status::Panicked, format!("a closure panicked: {}", panic_text(&*payload)))
        }
    };
    let code = error.status().code();
    THROWN.with(|thrown| *thrown.borrow_mut() = Some(error));
    code
}

/// The batch, as a closure sees it. Lists live through the call.
pub struct BatchView<'a> {
    raw: &'a sys::tkp_batch_view,
}

impl<'a> BatchView<'a> {
    unsafe fn list(&self, at: *const i32, n: usize) -> &'a [i32] {
        if at.is_null() {
            &[]
        } else {
            std::slice::from_raw_parts(at, n)
        }
    }

    /// Sequences in the batch.
    pub fn sequences(&self) -> usize {
        self.raw.sequences as usize
    }

    /// Rows of the packed batch now.
    pub fn rows(&self) -> usize {
        self.raw.rows as usize
    }

    /// Candidates now.
    pub fn candidates(&self) -> usize {
        self.raw.candidates as usize
    }

    /// Where each sequence's rows begin.
    pub fn row_offsets(&self) -> &'a [i32] {
        // SAFETY: scorer.h says how long each list is; the same below.
        unsafe { self.list(self.raw.row_offsets, self.sequences() + 1) }
    }

    /// Where each sequence's candidates begin.
    pub fn candidate_offsets(&self) -> &'a [i32] {
        unsafe { self.list(self.raw.candidate_offsets, self.sequences() + 1) }
    }

    /// The row of each candidate in the packed batch.
    pub fn candidate_rows(&self) -> &'a [i32] {
        unsafe { self.list(self.raw.candidate_rows, self.candidates()) }
    }

    /// The image of each candidate.
    pub fn candidate_images(&self) -> &'a [i32] {
        unsafe { self.list(self.raw.candidate_images, self.candidates()) }
    }

    /// (frame * rows + row) * cols + col of each candidate.
    pub fn candidate_cells(&self) -> &'a [i32] {
        unsafe { self.list(self.raw.candidate_cells, self.candidates()) }
    }
}

fn not_on_the_host(what: &str) -> Error {
    Error::new(Status::Unsupported, format!("{what}: lies on a device; closures work on the host"))
}

unsafe extern "C" fn release<F>(user: *mut c_void) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(Box::from_raw(user as *mut F))));
}

unsafe extern "C" fn run_scorer<F>(
    user: *mut c_void,
    view: *const sys::tkp_batch_view,
    inputs: *const sys::tkp_inputs,
    _exec: *mut sys::tkp_exec,
    scores: *const sys::tkp_tensor,
) -> sys::tkp_status
where
    F: Fn(&BatchView<'_>, &Given<'_>, &mut [f32]) -> Result<()> + Send + Sync + 'static,
{
    guarded(|| {
        let score = &*(user as *const F);
        let view = BatchView { raw: &*view };
        let given = Given(Inputs::from_raw(&*inputs, view.sequences()));
        let mut out = TensorMut::from_raw(*scores);
        let out = out.as_mut_slice::<f32>().ok_or_else(|| not_on_the_host("scores"))?;
        score(&view, &given, out)
    })
}

/// Give a scorer a name, for options, policies and YAML: `{kind: custom, custom: NAME}`.
///
/// The closure fills one score for each candidate. An error it gives, or its panic, comes out of
/// the call that ran it. The name can be taken back once no object uses it.
pub fn register_scorer<F>(name: &str, needs: Needs, score: F) -> Result<()>
where
    F: Fn(&BatchView<'_>, &Given<'_>, &mut [f32]) -> Result<()> + Send + Sync + 'static,
{
    let name = CString::new(name)?;
    let user = Box::into_raw(Box::new(score));
    // SAFETY: the closure is Send + Sync; C releases it when no object knows it any more.
    let status = unsafe {
        let mut table: sys::tkp_scorer_vtable = std::mem::zeroed();
        table.struct_size = std::mem::size_of::<sys::tkp_scorer_vtable>() as u32;
        table.needs = needs.0;
        table.run = Some(run_scorer::<F>);
        table.release = Some(release::<F>);
        sys::tkp_scorer_register(name.as_ptr(), &table, user.cast())
    };
    check(status).map_err(|e| {
        // SAFETY: nobody else has it.
        drop(unsafe { Box::from_raw(user) });
        e
    })
}

/// Take the name of a scorer back, and its closure's memory.
/// [`Status::State`] while objects use it.
pub fn unregister_scorer(name: &str) -> Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the text lives through the call.
    check(unsafe { sys::tkp_scorer_unregister(name.as_ptr()) })
}

unsafe extern "C" fn run_selector<F>(
    user: *mut c_void,
    view: *const sys::tkp_batch_view,
    scores: *const sys::tkp_tensor,
    keep_offsets: *const i32,
    _exec: *mut sys::tkp_exec,
    selected: *const sys::tkp_tensor,
) -> sys::tkp_status
where
    F: Fn(&BatchView<'_>, Option<&[f32]>, &[usize]) -> Result<Vec<Vec<i32>>> + Send + Sync + 'static,
{
    guarded(|| {
        let select = &*(user as *const F);
        let view = BatchView { raw: &*view };
        let offsets = std::slice::from_raw_parts(keep_offsets, view.sequences() + 1);
        let keep: Vec<usize> = offsets.windows(2).map(|w| (w[1] - w[0]) as usize).collect();
        let scores = match scores.as_ref() {
            Some(t) => {
                Some(TensorRef::from_raw(*t).as_slice::<f32>().ok_or_else(|| not_on_the_host("scores"))?)
            }
            None => None,
        };
        let mut out = TensorMut::from_raw(*selected);
        let out = out.as_mut_slice::<i32>().ok_or_else(|| not_on_the_host("selected"))?;
        let chosen = select(&view, scores, &keep)?;
        if chosen.len() != keep.len() {
            return Err(Error::new(
                Status::Shape,
                format!("selector: chose for {} sequences, wanted {}", chosen.len(), keep.len()),
            ));
        }
        for (b, list) in chosen.iter().enumerate() {
            if list.len() != keep[b] {
                return Err(Error::new(
                    Status::Shape,
                    format!("selector: chose {} of sequence {b}, wanted {}", list.len(), keep[b]),
                ));
            }
            out[offsets[b] as usize..offsets[b + 1] as usize].copy_from_slice(list);
        }
        Ok(())
    })
}

/// Give a selector a name: `{kind: custom, custom: NAME}`. The closure is told how many to keep of
/// each sequence, and gives their candidate numbers, in any order.
pub fn register_selector<F>(name: &str, needs_scores: bool, select: F) -> Result<()>
where
    F: Fn(&BatchView<'_>, Option<&[f32]>, &[usize]) -> Result<Vec<Vec<i32>>> + Send + Sync + 'static,
{
    let name = CString::new(name)?;
    let user = Box::into_raw(Box::new(select));
    // SAFETY: the closure is Send + Sync; C releases it when no object knows it any more.
    let status = unsafe {
        let mut table: sys::tkp_selector_vtable = std::mem::zeroed();
        table.struct_size = std::mem::size_of::<sys::tkp_selector_vtable>() as u32;
        table.needs_scores = u32::from(needs_scores);
        table.run = Some(run_selector::<F>);
        table.release = Some(release::<F>);
        sys::tkp_selector_register(name.as_ptr(), &table, user.cast())
    };
    check(status).map_err(|e| {
        // SAFETY: nobody else has it.
        drop(unsafe { Box::from_raw(user) });
        e
    })
}

/// Likewise of a selector.
pub fn unregister_selector(name: &str) -> Result<()> {
    let name = CString::new(name)?;
    // SAFETY: the text lives through the call.
    check(unsafe { sys::tkp_selector_unregister(name.as_ptr()) })
}
