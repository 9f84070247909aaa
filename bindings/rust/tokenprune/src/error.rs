use std::ffi::{CStr, NulError};
use std::fmt;

use tokenprune_sys as sys;

/// What kind of failure it was: the codes of `tkp_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Out of range, or not allowed here.
    Argument,
    /// Dimensions or strides disagree.
    Shape,
    /// An element type that is not accepted.
    Dtype,
    /// An option holds an impossible value.
    Option,
    /// The workspace is missing or too small.
    Workspace,
    /// An output overlaps an input.
    Alias,
    /// Calls in the wrong order.
    State,
    /// Legal, but not available; the message says why.
    Unsupported,
    /// The backend asked for is not there.
    NoBackend,
    /// A caller, file or module of another version.
    Version,
    /// Out of memory.
    Memory,
    /// A file cannot be read or written.
    Io,
    /// A callback asked to stop.
    Cancelled,
    /// The device failed.
    Device,
    /// A bug of the library's.
    Internal,
    /// Data hold values that nothing can be made of (NaN).
    Data,
    /// The text of a policy is not well formed: file:line:column.
    Parse,
    /// The text is well formed, the policy is not.
    Policy,
    /// A model or image file is damaged.
    Format,
    /// A closure that the library called panicked.
    Panicked,
    /// A code that this crate does not know.
    Other(u32),
}

const CODES: &[(u32, Status)] = &[
    (sys::TKP_ERR_ARGUMENT, Status::Argument),
    (sys::TKP_ERR_SHAPE, Status::Shape),
    (sys::TKP_ERR_DTYPE, Status::Dtype),
    (sys::TKP_ERR_OPTION, Status::Option),
    (sys::TKP_ERR_WORKSPACE, Status::Workspace),
    (sys::TKP_ERR_ALIAS, Status::Alias),
    (sys::TKP_ERR_STATE, Status::State),
    (sys::TKP_ERR_UNSUPPORTED, Status::Unsupported),
    (sys::TKP_ERR_NO_BACKEND, Status::NoBackend),
    (sys::TKP_ERR_VERSION, Status::Version),
    (sys::TKP_ERR_MEMORY, Status::Memory),
    (sys::TKP_ERR_IO, Status::Io),
    (sys::TKP_ERR_CANCELLED, Status::Cancelled),
    (sys::TKP_ERR_DEVICE, Status::Device),
    (sys::TKP_ERR_INTERNAL, Status::Internal),
    (sys::TKP_ERR_DATA, Status::Data),
    (sys::TKP_ERR_PARSE, Status::Parse),
    (sys::TKP_ERR_POLICY, Status::Policy),
    (sys::TKP_ERR_FORMAT, Status::Format),
];

impl Status {
    pub(crate) fn of(code: u32) -> Status {
        CODES.iter().find(|(c, _)| *c == code).map_or(Status::Other(code), |(_, status)| *status)
    }

    /// The C library's code; a panic is its `TKP_ERR_CANCELLED`.
    pub fn code(self) -> u32 {
        match self {
            Status::Panicked => sys::TKP_ERR_CANCELLED,
            Status::Other(code) => code,
            _ => CODES.iter().find(|(_, s)| *s == self).map_or(sys::TKP_ERR_INTERNAL, |(code, _)| *code),
        }
    }

    /// Its name in C, such as `TKP_ERR_SHAPE`.
    pub fn name(self) -> &'static str {
        // SAFETY: the text is static and never NULL.
        unsafe { CStr::from_ptr(sys::tkp_status_string(self.code())) }.to_str().unwrap_or("?")
    }
}

/// A failed call: a code for the program and a line for the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    status: Status,
    message: String,
}

/// What fallible calls of this crate give.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of one's own, for closures that the library calls.
    pub fn new(status: Status, message: impl Into<String>) -> Error {
        Error { status, message: message.into() }
    }

    /// What kind of failure it was.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The line that names the field, the value met and the value wanted.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

#[allow(clippy::incompatible_msrv)] // std has had it all along; alloc since 1.64
impl From<NulError> for Error {
    fn from(e: NulError) -> Error {
        Error::new(Status::Argument, format!("text: byte {} is NUL", e.nul_position()))
    }
}

/// The status of a call that has just been made on this thread.
pub(crate) fn check(status: sys::tkp_status) -> Result<()> {
    if status == sys::TKP_OK {
        return Ok(());
    }
    if let Some(error) = crate::custom::take_thrown(status) {
        return Err(error);
    }
    // SAFETY: never NULL, and this thread has called nothing since.
    let message = unsafe { CStr::from_ptr(sys::tkp_last_message()) };
    Err(Error::new(Status::of(status), message.to_string_lossy()))
}
