//! The reference model: from a Hugging Face directory, pictures and a question to an answer.

use std::ffi::{c_void, CString};
use std::ops::ControlFlow;
use std::os::raw::c_char;
use std::path::Path;
use std::ptr::{self, NonNull};

use tokenprune_sys::{self as sys, mllm as raw};

use crate::context::text;
use crate::custom::guarded;
use crate::error::check;
use crate::{Context, Dtype, Error, Policy, Report, Result, Status, TensorRef};

/// A loaded model; any number of threads may ask it.
pub struct Model {
    raw: NonNull<raw::tkp_mllm>,
}

// SAFETY: mllm.h: immutable, shared by threads.
unsafe impl Send for Model {}
// SAFETY: likewise.
unsafe impl Sync for Model {}

/// How it is loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// Of activations: f32 or bf16; None = as the weights are.
    pub dtype: Option<Dtype>,
    /// Larger images are refused; 0 = 178956970.
    pub max_pixels: i64,
}

/// What was loaded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Info {
    /// "llava", "llava_next", "qwen2_vl".
    pub kind: String,
    /// Decoder layers.
    pub layers: i32,
    /// Query heads.
    pub heads: i32,
    /// Key heads.
    pub kv_heads: i32,
    /// Channels of a head.
    pub head_dim: i32,
    /// Width of a row.
    pub hidden: i64,
    /// Tokens the tokenizer knows.
    pub vocab: i64,
    /// Elements of all weights.
    pub parameters: i64,
    /// Rows and columns of visual tokens of a square; 0 where pictures have grids of their own.
    pub grid: (i32, i32),
}

/// One prompt.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// The question, in UTF-8.
    pub prompt: &'a str,
    /// Text of the system; "" = none.
    pub system: &'a str,
    /// Picture files, in order of appearance.
    pub images: &'a [&'a str],
    /// The prompt is the whole text, without chat template.
    pub raw: bool,
    /// Names it to the random generator.
    pub id: u32,
}

/// How to answer.
#[derive(Default)]
pub struct GenerateOptions<'a> {
    /// None = 64.
    pub max_new_tokens: Option<u32>,
    /// None = nothing is pruned.
    pub policy: Option<&'a Policy>,
    /// Draw tokens, with this temperature, instead of taking the likeliest.
    pub temperature: Option<f64>,
    /// For drawing.
    pub seed: u64,
    /// Go on behind the end token.
    pub ignore_eos: bool,
    /// One f32 for each visual token of the batch, for policies with external scores.
    pub scores: Option<TensorRef<'a>>,
    /// Hears text as it becomes certain, with the number of the request; may stop the batch.
    #[allow(clippy::type_complexity)]
    pub on_text: Option<&'a mut dyn FnMut(usize, &str) -> ControlFlow<()>>,
}

/// Answers to a batch.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answers {
    /// One for each request.
    pub answers: Vec<Answer>,
    /// Tokens, work and memory of the prefill.
    pub report: Report,
    /// Seconds of pictures, encoder, prefill, pruning within it, and decoding.
    pub seconds: [f64; 5],
}

/// One answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// Its text.
    pub text: String,
    /// Its tokens, the last of which may be the end.
    pub tokens: Vec<i32>,
    /// Cells kept of each image.
    pub kept: Vec<Vec<i32>>,
}

impl Model {
    /// Map the weights of a directory and read its configuration.
    pub fn load(context: &Context, directory: impl AsRef<Path>, options: &LoadOptions) -> Result<Model> {
        let directory = directory.as_ref();
        let name = directory
            .to_str()
            .ok_or_else(|| Error::new(Status::Argument, format!("{}: is not UTF-8", directory.display())))?;
        let name = CString::new(name)?;
        let mut out = ptr::null_mut();
        // SAFETY: texts and options live through the call.
        check(unsafe {
            let mut o = std::mem::zeroed();
            raw::tkp_mllm_options_init(&mut o);
            o.dtype = options.dtype.map_or(0, Dtype::raw);
            o.max_pixels = options.max_pixels;
            raw::tkp_mllm_load(&mut out, context.raw.as_ptr(), name.as_ptr(), &o)
        })?;
        Ok(Model { raw: NonNull::new(out).expect("a model that was made") })
    }

    /// Its shapes.
    pub fn info(&self) -> Result<Info> {
        // SAFETY: the struct comes from the init function.
        unsafe {
            let mut i = std::mem::zeroed();
            raw::tkp_mllm_info_init(&mut i);
            check(raw::tkp_mllm_get_info(self.raw.as_ptr(), &mut i))?;
            Ok(Info {
                kind: text(i.kind),
                layers: i.layers,
                heads: i.heads,
                kv_heads: i.kv_heads,
                head_dim: i.head_dim,
                hidden: i.hidden,
                vocab: i.vocab,
                parameters: i.parameters,
                grid: (i.grid_rows, i.grid_cols),
            })
        }
    }

    /// Answer a batch of prompts.
    pub fn generate(&self, requests: &[Request<'_>], options: GenerateOptions<'_>) -> Result<Answers> {
        let texts = requests.iter().map(Texts::of).collect::<Result<Vec<_>>>()?;
        let list: Vec<_> = requests.iter().zip(&texts).map(|(r, t)| t.request(r)).collect();
        let count = i32::try_from(list.len())
            .map_err(|_| Error::new(Status::Argument, format!("{} requests are too many", list.len())))?;
        let mut on_text = options.on_text;
        let mut out = ptr::null_mut();
        // SAFETY: requests, texts, policy, scores and the closure live through the call.
        check(unsafe {
            let mut o = std::mem::zeroed();
            raw::tkp_mllm_generate_options_init(&mut o);
            o.max_new_tokens = match options.max_new_tokens {
                None => 0,
                Some(0) => -1,
                Some(n) => i32::try_from(n).unwrap_or(i32::MAX),
            };
            o.policy = options.policy.map_or(ptr::null_mut(), |p| p.raw.as_ptr());
            o.do_sample = i32::from(options.temperature.is_some());
            o.temperature = options.temperature.unwrap_or(0.0);
            o.seed = options.seed;
            o.ignore_eos = i32::from(options.ignore_eos);
            o.scores = options.scores.as_ref().map_or(ptr::null(), |t| &t.raw);
            if let Some(hears) = on_text.as_mut() {
                o.on_text = Some(hear);
                o.on_text_user = hears as *mut &mut Hears<'_> as *mut c_void;
            }
            raw::tkp_mllm_generate(&mut out, self.raw.as_ptr(), list.as_ptr(), count, &o)
        })?;
        let result = Results(NonNull::new(out).expect("a result that was made"));
        // SAFETY: the result is read before it goes.
        unsafe { result.read(list.len()) }
    }
}

type Hears<'a> = dyn FnMut(usize, &str) -> ControlFlow<()> + 'a;

unsafe extern "C" fn hear(user: *mut c_void, request: i32, at: *const c_char, bytes: usize) -> i32 {
    let hears = &mut *(user as *mut &mut Hears<'_>);
    let text = String::from_utf8_lossy(std::slice::from_raw_parts(at.cast::<u8>(), bytes));
    let status = guarded(|| match hears(request as usize, &text) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(Status::Cancelled, "stopped by the closure")),
    });
    i32::from(status != sys::TKP_OK)
}

/// Texts of a request, as C wants them.
struct Texts {
    prompt: CString,
    system: CString,
    _images: Vec<CString>,
    images: Vec<*const c_char>,
}

impl Texts {
    fn of(request: &Request<'_>) -> Result<Texts> {
        let owned = request.images.iter().map(|i| Ok(CString::new(*i)?)).collect::<Result<Vec<_>>>()?;
        Ok(Texts {
            prompt: CString::new(request.prompt)?,
            system: CString::new(request.system)?,
            images: owned.iter().map(|i| i.as_ptr()).collect(),
            _images: owned,
        })
    }

    fn request(&self, request: &Request<'_>) -> raw::tkp_mllm_request {
        // SAFETY: pointers and numbers; the init function fills in the size.
        let mut r = unsafe {
            let mut r = std::mem::zeroed();
            raw::tkp_mllm_request_init(&mut r);
            r
        };
        r.id = request.id;
        r.prompt = self.prompt.as_ptr();
        r.system = if request.system.is_empty() { ptr::null() } else { self.system.as_ptr() };
        r.images = self.images.as_ptr();
        r.n_images = self.images.len() as i32;
        r.format = if request.raw { raw::TKP_MLLM_FORMAT_RAW } else { raw::TKP_MLLM_FORMAT_MODEL } as i32;
        r
    }
}

struct Results(NonNull<raw::tkp_mllm_result>);

impl Results {
    unsafe fn read(&self, count: usize) -> Result<Answers> {
        let at = self.0.as_ptr();
        let mut report = Report::empty();
        check(raw::tkp_mllm_result_report(at, &mut report))?;
        let mut times = std::mem::zeroed();
        raw::tkp_mllm_times_init(&mut times);
        check(raw::tkp_mllm_result_times(at, &mut times))?;
        Ok(Answers {
            answers: (0..count as i32).map(|i| self.answer(i)).collect(),
            report: Report::of(&report),
            seconds: [times.load_images, times.vision, times.prefill, times.pruning, times.decode],
        })
    }

    unsafe fn answer(&self, i: i32) -> Answer {
        let at = self.0.as_ptr();
        let list = |n: i64, list: *const i32| {
            if n <= 0 || list.is_null() {
                Vec::new()
            } else {
                std::slice::from_raw_parts(list, n as usize).to_vec()
            }
        };
        let mut ids = ptr::null();
        let n = raw::tkp_mllm_result_tokens(at, i, &mut ids);
        let images = raw::tkp_mllm_result_images(at, i).max(0);
        Answer {
            text: text(raw::tkp_mllm_result_text(at, i)),
            tokens: list(n, ids),
            kept: (0..images)
                .map(|image| {
                    let mut cells = ptr::null();
                    let n = raw::tkp_mllm_result_kept_cells(at, i, image, &mut cells);
                    list(n, cells)
                })
                .collect(),
        }
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once.
        unsafe { raw::tkp_mllm_result_destroy(self.0.as_ptr()) }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once.
        unsafe { raw::tkp_mllm_destroy(self.raw.as_ptr()) }
    }
}
