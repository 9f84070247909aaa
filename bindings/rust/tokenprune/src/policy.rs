use std::ffi::CString;
use std::path::Path;
use std::ptr::{self, NonNull};

use tokenprune_sys as sys;

use crate::context::text;
use crate::error::check;
use crate::{Budget, Error, Needs, Result, Status};

/// A named list of stages: where to cut, how to score, select and merge, and to how many.
///
/// It is data, and may be shared by everything.
pub struct Policy {
    pub(crate) raw: NonNull<sys::tkp_policy>,
}

// SAFETY: never changed once it is made here; policy.h lets everything share it.
unsafe impl Send for Policy {}
// SAFETY: likewise.
unsafe impl Sync for Policy {}

/// Where a stage acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum At {
    /// Before the language model.
    Projector,
    /// Before this layer of the decoder.
    Llm(i32),
    /// After so many blocks of the encoder.
    Vision(i32),
    /// Inside this block of the encoder, between attention and MLP.
    VisionMlp(i32),
    /// After prefill, in the KV caches.
    Kv,
}

impl At {
    pub(crate) fn of(kind: i32, boundary: i32) -> Option<At> {
        match kind as u32 {
            sys::TKP_POINT_PROJECTOR => Some(At::Projector),
            sys::TKP_POINT_LLM => Some(At::Llm(boundary)),
            sys::TKP_POINT_VISION => Some(At::Vision(boundary)),
            sys::TKP_POINT_VISION_MLP => Some(At::VisionMlp(boundary)),
            sys::TKP_POINT_KV => Some(At::Kv),
            _ => None,
        }
    }

    fn raw(self) -> (i32, i32) {
        match self {
            At::Projector => (sys::TKP_POINT_PROJECTOR as i32, 0),
            At::Llm(b) => (sys::TKP_POINT_LLM as i32, b),
            At::Vision(b) => (sys::TKP_POINT_VISION as i32, b),
            At::VisionMlp(b) => (sys::TKP_POINT_VISION_MLP as i32, b),
            At::Kv => (sys::TKP_POINT_KV as i32, 0),
        }
    }
}

/// What an engine can ask before it runs anything.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyInfo {
    /// Of all stages together.
    pub needs: Needs,
    /// What is kept depends on the question.
    pub text_dependent: bool,
    /// Kept rows are changed.
    pub merges: bool,
    /// It acts inside the encoder.
    pub in_vision: bool,
    /// It acts inside the decoder.
    pub in_llm: bool,
    /// It acts on the KV cache after prefill.
    pub evicts: bool,
    /// The data decide how many are kept.
    pub adaptive: bool,
    /// Attention has to take a bias of each key.
    pub key_bias: bool,
    /// The last layer of the decoder that is cut before.
    pub last_boundary: Option<i32>,
}

/// A place in the forward where the batch is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Point {
    /// Where.
    pub at: At,
    /// Number of the stage in the policy.
    pub stage: i32,
    /// The layer whose q and k are wanted.
    pub score_layer: Option<i32>,
    /// What is to be handed over.
    pub needs: Needs,
    /// Rows before the cut.
    pub rows_in: i64,
    /// Rows after it; the most there may be where the data decide.
    pub rows_out: i64,
    /// Rows whose queries are wanted.
    pub query_rows: i64,
    /// Layers whose caches are cut, where `at` is [`At::Kv`].
    pub kv_layers: std::ops::Range<i32>,
}

impl Point {
    pub(crate) fn of(raw: &sys::tkp_point) -> Option<Point> {
        Some(Point {
            at: At::of(raw.kind, raw.boundary)?,
            stage: raw.stage,
            score_layer: (raw.score_layer >= 0).then_some(raw.score_layer),
            needs: Needs(raw.needs),
            rows_in: raw.rows_in,
            rows_out: raw.rows_out,
            query_rows: raw.query_rows,
            kv_layers: raw.kv_begin..raw.kv_end,
        })
    }
}

/// Names of the presets.
pub fn presets() -> Vec<String> {
    // SAFETY: names are static texts; i is inside the list.
    unsafe { (0..sys::tkp_policy_preset_count()).map(|i| text(sys::tkp_policy_preset_name(i))).collect() }
}

impl Policy {
    pub(crate) fn made(status: sys::tkp_status, raw: *mut sys::tkp_policy) -> Result<Policy> {
        check(status)?;
        Ok(Policy { raw: NonNull::new(raw).expect("a policy that was made") })
    }

    /// A method by name, with the numbers of its paper.
    pub fn preset(name: &str) -> Result<Policy> {
        let name = CString::new(name)?;
        let mut raw = ptr::null_mut();
        // SAFETY: the text lives through the call.
        let status = unsafe { sys::tkp_policy_load_preset(&mut raw, name.as_ptr()) };
        Policy::made(status, raw)
    }

    /// From YAML; `source` stands for the file's name in messages.
    pub fn from_yaml(yaml: &str, source: &str) -> Result<Policy> {
        let source = CString::new(source)?;
        let mut raw = ptr::null_mut();
        // SAFETY: the texts live through the call; the first comes with its length.
        let status =
            unsafe { sys::tkp_policy_load_text(&mut raw, yaml.as_ptr().cast(), yaml.len(), source.as_ptr()) };
        Policy::made(status, raw)
    }

    /// From a YAML file.
    pub fn load(path: impl AsRef<Path>) -> Result<Policy> {
        let path = path.as_ref();
        let name = path
            .to_str()
            .ok_or_else(|| Error::new(Status::Argument, format!("{}: is not UTF-8", path.display())))?;
        let name = CString::new(name)?;
        let mut raw = ptr::null_mut();
        // SAFETY: the text lives through the call.
        let status = unsafe { sys::tkp_policy_load_file(&mut raw, name.as_ptr()) };
        Policy::made(status, raw)
    }

    /// A policy of one stage made of the parts' texts, for the parts.
    pub(crate) fn of_parts(scorer: &str, selector: &str, merger: &str) -> Result<Policy> {
        let yaml = format!(
            "tokenprune: 1\nname: part\nstages: [{{at: \"llm:1\",\nscorer: {scorer},\nselector: {selector},\n\
             merger: {merger},\nbudget: {}}}]\n",
            if selector == "all" { "all" } else { "{count: 1}" }
        );
        Policy::from_yaml(&yaml, "part")
    }

    /// Its name.
    pub fn name(&self) -> String {
        // SAFETY: the policy lives as long as self; the same below.
        unsafe { text(sys::tkp_policy_name(self.raw.as_ptr())) }
    }

    /// How many stages it has.
    pub fn stages(&self) -> i32 {
        unsafe { sys::tkp_policy_stage_count(self.raw.as_ptr()) }
    }

    /// As YAML, with every default written out.
    pub fn to_yaml(&self) -> String {
        // SAFETY: the buffer has the size that is told.
        unsafe {
            let bytes = sys::tkp_policy_to_yaml(self.raw.as_ptr(), ptr::null_mut(), 0);
            let mut yaml = vec![0u8; bytes + 1];
            sys::tkp_policy_to_yaml(self.raw.as_ptr(), yaml.as_mut_ptr().cast(), yaml.len());
            yaml.truncate(bytes);
            String::from_utf8_lossy(&yaml).into_owned()
        }
    }

    /// What it will want, before anything runs.
    pub fn info(&self) -> Result<PolicyInfo> {
        // SAFETY: the struct comes from the init function.
        let raw = unsafe {
            let mut raw = std::mem::zeroed();
            sys::tkp_policy_info_init(&mut raw);
            check(sys::tkp_policy_query(self.raw.as_ptr(), &mut raw))?;
            raw
        };
        let has = |flag: u32| raw.flags & flag != 0;
        Ok(PolicyInfo {
            needs: Needs(raw.needs),
            text_dependent: has(sys::TKP_POLICY_TEXT_DEPENDENT),
            merges: has(sys::TKP_POLICY_MERGES),
            in_vision: has(sys::TKP_POLICY_IN_VISION),
            in_llm: has(sys::TKP_POLICY_IN_LLM),
            evicts: has(sys::TKP_POLICY_EVICTS),
            adaptive: has(sys::TKP_POLICY_ADAPTIVE),
            key_bias: has(sys::TKP_POLICY_KEY_BIAS),
            last_boundary: (raw.last_boundary >= 0).then_some(raw.last_boundary),
        })
    }

    /// What stage i will ask for; rows are not known yet, and 0.
    pub fn point(&self, i: i32) -> Result<Point> {
        // SAFETY: the struct comes from the init function.
        let raw = unsafe {
            let mut raw = std::mem::zeroed();
            sys::tkp_point_init(&mut raw);
            check(sys::tkp_policy_get_point(self.raw.as_ptr(), i, &mut raw))?;
            raw
        };
        Point::of(&raw)
            .ok_or_else(|| Error::new(Status::Version, format!("point kind {} is not known", raw.kind)))
    }

    /// A copy with one stage's budget changed; None: the only one that has a budget.
    pub fn with_budget(&self, stage: Option<i32>, budget: &Budget) -> Result<Policy> {
        let mut raw = ptr::null_mut();
        // SAFETY: self and the budget live through the call; the same below.
        let status = unsafe {
            sys::tkp_policy_with_budget(&mut raw, self.raw.as_ptr(), stage.unwrap_or(-1), &budget.raw)
        };
        Policy::made(status, raw)
    }

    /// A copy with a stage moved; its score layer follows.
    pub fn with_point(&self, stage: Option<i32>, at: At) -> Result<Policy> {
        let (point, boundary) = at.raw();
        let mut raw = ptr::null_mut();
        let status = unsafe {
            sys::tkp_policy_with_point(&mut raw, self.raw.as_ptr(), stage.unwrap_or(-1), point, boundary)
        };
        Policy::made(status, raw)
    }

    /// A copy for a model of another depth.
    pub fn with_depth(&self, from_layers: i32, layers: i32, from_blocks: i32, blocks: i32) -> Result<Policy> {
        let depth = sys::tkp_depth { from_layers, layers, from_blocks, blocks };
        let mut raw = ptr::null_mut();
        let status = unsafe { sys::tkp_policy_with_depth(&mut raw, self.raw.as_ptr(), &depth) };
        Policy::made(status, raw)
    }

    /// A copy in which every random selector draws from this seed.
    pub fn with_seed(&self, seed: u64) -> Result<Policy> {
        let mut raw = ptr::null_mut();
        let status = unsafe { sys::tkp_policy_with_seed(&mut raw, self.raw.as_ptr(), seed) };
        Policy::made(status, raw)
    }

    /// What C knows of a stage; it points into the policy.
    pub(crate) fn stage(&self, i: i32) -> Result<sys::tkp_stage_options> {
        // SAFETY: the struct comes from the init function.
        unsafe {
            let mut raw = std::mem::zeroed();
            sys::tkp_stage_options_init(&mut raw);
            check(sys::tkp_policy_get_stage(self.raw.as_ptr(), i, &mut raw))?;
            Ok(raw)
        }
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once; users hold references of their own.
        unsafe { sys::tkp_policy_destroy(self.raw.as_ptr()) }
    }
}
