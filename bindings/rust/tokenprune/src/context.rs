use std::ffi::{c_void, CStr, CString};
use std::ptr::{self, NonNull};

use tokenprune_sys as sys;

use crate::error::check;
use crate::Result;

/// What a process shares: the backends in order of preference, the number of threads.
///
/// Any number of threads may use it. Objects made from it keep it alive.
pub struct Context {
    pub(crate) raw: NonNull<sys::tkp_context>,
}

// SAFETY: read only after create; context.h promises any number of threads.
unsafe impl Send for Context {}
// SAFETY: likewise.
unsafe impl Sync for Context {}

/// How a [`Context`] is to be: see [`Context::builder`].
#[derive(Debug, Clone, Default)]
pub struct ContextBuilder {
    backends: Option<String>,
    backend_dir: Option<String>,
    threads: i32,
    cuda: Option<i32>,
}

impl ContextBuilder {
    /// Names, best first, such as `"cpu,ref"`; without them every backend that can run here.
    pub fn backends(mut self, names: impl Into<String>) -> Self {
        self.backends = Some(names.into());
        self
    }

    /// Where backend modules lie.
    pub fn backend_dir(mut self, folder: impl Into<String>) -> Self {
        self.backend_dir = Some(folder.into());
        self
    }

    /// Threads inside an operation; 1 to 1024.
    pub fn threads(mut self, threads: i32) -> Self {
        self.threads = threads;
        self
    }

    /// Work on a CUDA device.
    pub fn cuda(mut self, device: i32) -> Self {
        self.cuda = Some(device);
        self
    }

    /// Load the backends.
    pub fn build(self) -> Result<Context> {
        let backends = self.backends.map(CString::new).transpose()?;
        let folder = self.backend_dir.map(CString::new).transpose()?;
        let mut raw = ptr::null_mut();
        // SAFETY: the texts live until the call is over; options come from the init function.
        check(unsafe {
            let mut options = std::mem::zeroed();
            sys::tkp_context_options_init(&mut options);
            options.backends = backends.as_ref().map_or(ptr::null(), |t| t.as_ptr());
            options.backend_dir = folder.as_ref().map_or(ptr::null(), |t| t.as_ptr());
            options.threads = self.threads;
            if let Some(device) = self.cuda {
                options.device_type = sys::TKP_DEVICE_CUDA as i32;
                options.device_id = device;
            }
            sys::tkp_context_create(&mut raw, &options)
        })?;
        Ok(Context { raw: NonNull::new(raw).expect("a context that was made") })
    }
}

impl Context {
    /// Every backend that can run here, best first.
    pub fn new() -> Result<Context> {
        Context::builder().build()
    }

    /// Choose backends, threads or a device.
    pub fn builder() -> ContextBuilder {
        ContextBuilder::default()
    }

    /// Names of the backends, best first.
    pub fn backends(&self) -> Vec<String> {
        // SAFETY: names are static texts; i is inside the list.
        unsafe {
            (0..sys::tkp_context_backend_count(self.raw.as_ptr()))
                .map(|i| text(sys::tkp_context_backend_name(self.raw.as_ptr(), i)))
                .collect()
        }
    }

    /// Threads inside an operation.
    pub fn threads(&self) -> i32 {
        // SAFETY: the context lives as long as self.
        unsafe { sys::tkp_context_threads(self.raw.as_ptr()) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by create, destroyed once; children hold references of their own.
        unsafe { sys::tkp_context_destroy(self.raw.as_ptr()) }
    }
}

/// A text that C owns.
///
/// # Safety
/// `at` is NULL or a text that ends with NUL.
pub(crate) unsafe fn text(at: *const std::os::raw::c_char) -> String {
    if at.is_null() {
        String::new()
    } else {
        CStr::from_ptr(at).to_string_lossy().into_owned()
    }
}

/// What one thread, or one CUDA stream, works with: it has the memory for intermediate results,
/// which grows to what calls need.
pub struct Exec {
    pub(crate) raw: NonNull<sys::tkp_exec>,
    context: NonNull<sys::tkp_context>,
    workspace: *mut c_void,
    bytes: usize,
}

// SAFETY: one thread at a time, which &mut sees to.
unsafe impl Send for Exec {}

impl Exec {
    /// On the CPU, or on the device's default stream.
    pub fn new(context: &Context) -> Result<Exec> {
        // SAFETY: NULL is a stream that always is.
        unsafe { Exec::on_stream(context, ptr::null_mut()) }
    }

    /// On a CUDA stream.
    ///
    /// # Safety
    /// `stream` is a `cudaStream_t` of the context's device that outlives the exec; NULL on the CPU.
    pub unsafe fn on_stream(context: &Context, stream: *mut c_void) -> Result<Exec> {
        let mut raw = ptr::null_mut();
        check(sys::tkp_exec_create(&mut raw, context.raw.as_ptr(), stream))?;
        let raw = NonNull::new(raw).expect("an exec that was made");
        // The exec holds a reference on the context, so the pointer is good as long as it is.
        Ok(Exec { raw, context: context.raw, workspace: ptr::null_mut(), bytes: 0 })
    }

    /// Make room now, so that no later call allocates.
    pub fn reserve(&mut self, bytes: usize) -> Result<()> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let mut memory = ptr::null_mut();
        // SAFETY: the new memory is lent before the old one goes.
        unsafe {
            check(sys::tkp_device_alloc(self.context.as_ptr(), &mut memory, bytes as u64))?;
            if let Err(e) = check(sys::tkp_exec_set_workspace(self.raw.as_ptr(), memory, bytes)) {
                sys::tkp_device_free(self.context.as_ptr(), memory);
                return Err(e);
            }
            sys::tkp_device_free(self.context.as_ptr(), self.workspace);
        }
        self.workspace = memory;
        self.bytes = bytes;
        Ok(())
    }

    /// Bytes of memory there are for intermediate results.
    pub fn workspace_bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        // SAFETY: the context goes with the exec at the earliest, so memory goes first.
        unsafe {
            let _ = sys::tkp_exec_set_workspace(self.raw.as_ptr(), ptr::null_mut(), 0);
            sys::tkp_device_free(self.context.as_ptr(), self.workspace);
            sys::tkp_exec_destroy(self.raw.as_ptr());
        }
    }
}
