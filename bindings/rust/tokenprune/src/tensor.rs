//! Views of numbers that somebody else owns.

use std::ffi::c_void;
use std::marker::PhantomData;

use tokenprune_sys as sys;

use crate::{Error, Result, Status};

/// IEEE half precision, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct F16(pub u16);

/// bfloat16, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Bf16(pub u16);

impl Bf16 {
    /// The nearest value, ties to even.
    pub fn from_f32(x: f32) -> Bf16 {
        let bits = x.to_bits();
        if x.is_nan() {
            return Bf16((bits >> 16) as u16 | 0x40);
        }
        Bf16(((u64::from(bits) + 0x7fff + u64::from(bits >> 16 & 1)) >> 16) as u16)
    }

    /// The same value.
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// Element types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dtype {
    /// 32-bit floating point.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// 32-bit integers.
    I32,
    /// 64-bit integers.
    I64,
    /// Bytes.
    U8,
}

impl Dtype {
    pub(crate) fn raw(self) -> i32 {
        (match self {
            Dtype::F32 => sys::TKP_DTYPE_F32,
            Dtype::F16 => sys::TKP_DTYPE_F16,
            Dtype::Bf16 => sys::TKP_DTYPE_BF16,
            Dtype::I32 => sys::TKP_DTYPE_I32,
            Dtype::I64 => sys::TKP_DTYPE_I64,
            Dtype::U8 => sys::TKP_DTYPE_U8,
        }) as i32
    }

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::U8 => 1,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::I64 => 8,
        }
    }
}

mod sealed {
    pub trait Sealed {}
}

/// Types that slices for tensors are of.
pub trait Element: Copy + sealed::Sealed + 'static {
    /// What C calls it.
    const DTYPE: Dtype;
}

macro_rules! elements {
    ($($type:ty => $dtype:ident),*) => {$(
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$dtype;
        }
    )*};
}
elements!(f32 => F32, F16 => F16, Bf16 => Bf16, i32 => I32, i64 => I64, u8 => U8);

fn wrong(message: String) -> Error {
    Error::new(Status::Shape, message)
}

/// Elements that a view touches: one behind the last.
fn extent(shape: &[usize], strides: &[usize]) -> Result<usize> {
    if shape.len() != strides.len() {
        return Err(wrong(format!("tensor: {} strides for {} dimensions", strides.len(), shape.len())));
    }
    if shape.len() > sys::TKP_MAX_DIMS as usize {
        return Err(wrong(format!(
            "tensor: has {} dimensions, wanted at most {}",
            shape.len(),
            sys::TKP_MAX_DIMS
        )));
    }
    if shape.contains(&0) {
        return Ok(0);
    }
    let mut last = 0usize;
    for (n, stride) in shape.iter().zip(strides) {
        last = (n - 1)
            .checked_mul(*stride)
            .and_then(|x| last.checked_add(x))
            .ok_or_else(|| wrong("tensor: its size does not fit".to_string()))?;
    }
    last.checked_add(1)
        .filter(|n| *n <= i64::MAX as usize)
        .ok_or_else(|| wrong("tensor: its size does not fit".to_string()))
}

fn row_major(shape: &[usize]) -> Result<Vec<usize>> {
    let mut strides = vec![1usize; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i]
            .checked_mul(shape[i].max(1))
            .ok_or_else(|| wrong("tensor: its size does not fit".to_string()))?;
    }
    Ok(strides)
}

fn fill(data: *mut c_void, dtype: Dtype, shape: &[usize], strides: &[usize]) -> sys::tkp_tensor {
    let mut raw = none();
    raw.data = data;
    raw.dtype = dtype.raw();
    raw.ndim = shape.len() as i32;
    raw.device_type = sys::TKP_DEVICE_CPU as i32;
    for i in 0..shape.len() {
        raw.shape[i] = shape[i] as i64;
        raw.strides[i] = strides[i] as i64;
    }
    raw
}

pub(crate) fn none() -> sys::tkp_tensor {
    // SAFETY: integers and a pointer; all bits 0 is the view that is not there.
    unsafe { std::mem::zeroed() }
}

fn check_length(have: usize, shape: &[usize], strides: &[usize]) -> Result<()> {
    let wanted = extent(shape, strides)?;
    if wanted > have {
        return Err(wrong(format!("tensor: {shape:?} touches {wanted} elements, the slice has {have}")));
    }
    Ok(())
}

/// A view that is read from.
#[derive(Clone, Copy)]
pub struct TensorRef<'a> {
    pub(crate) raw: sys::tkp_tensor,
    borrowed: PhantomData<&'a [u8]>,
}

// SAFETY: a view is an address and numbers; what it borrows is shared, and read only.
unsafe impl Send for TensorRef<'_> {}
// SAFETY: likewise.
unsafe impl Sync for TensorRef<'_> {}

impl<'a> TensorRef<'a> {
    /// A row-major view of all of `data`. Nothing is copied.
    pub fn new<T: Element>(data: &'a [T], shape: &[usize]) -> Result<TensorRef<'a>> {
        let strides = row_major(shape)?;
        let wanted = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        if wanted != Some(data.len()) {
            return Err(wrong(format!("tensor: {shape:?} of a slice of {} elements", data.len())));
        }
        TensorRef::with_strides(data, shape, &strides)
    }

    /// A view with gaps: strides in elements.
    pub fn with_strides<T: Element>(
        data: &'a [T],
        shape: &[usize],
        strides: &[usize],
    ) -> Result<TensorRef<'a>> {
        check_length(data.len(), shape, strides)?;
        let raw = fill(data.as_ptr() as *mut c_void, T::DTYPE, shape, strides);
        Ok(TensorRef { raw, borrowed: PhantomData })
    }

    /// Memory of a CUDA device.
    ///
    /// # Safety
    /// `data` is an address of device `device`, of `shape` elements `strides` apart, that is there
    /// and is not written to for `'a`.
    pub unsafe fn on_cuda(
        data: *const c_void,
        dtype: Dtype,
        shape: &[usize],
        strides: &[usize],
        device: i32,
    ) -> Result<TensorRef<'a>> {
        extent(shape, strides)?;
        let mut raw = fill(data as *mut c_void, dtype, shape, strides);
        raw.device_type = sys::TKP_DEVICE_CUDA as i32;
        raw.device_id = device;
        Ok(TensorRef { raw, borrowed: PhantomData })
    }

    pub(crate) fn from_raw(raw: sys::tkp_tensor) -> TensorRef<'a> {
        TensorRef { raw, borrowed: PhantomData }
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[i64] {
        &self.raw.shape[..self.raw.ndim.clamp(0, sys::TKP_MAX_DIMS as i32) as usize]
    }

    /// Where the first element lies, as C sees it.
    pub fn address(&self) -> usize {
        self.raw.data as usize + self.raw.byte_offset as usize
    }

    /// The elements, where they lie on the host one behind the other and are of this type.
    pub fn as_slice<T: Element>(&self) -> Option<&'a [T]> {
        // SAFETY: the view is one that C made or that was checked against its slice.
        unsafe { slice_parts::<T>(&self.raw).map(|(at, n)| std::slice::from_raw_parts(at, n)) }
    }
}

/// Address and count of a contiguous host tensor of T.
unsafe fn slice_parts<T: Element>(raw: &sys::tkp_tensor) -> Option<(*mut T, usize)> {
    if raw.dtype != T::DTYPE.raw() || raw.device_type != sys::TKP_DEVICE_CPU as i32 {
        return None;
    }
    if sys::tkp_tensor_is_contiguous(raw) == 0 {
        return None;
    }
    let n = sys::tkp_tensor_count(raw) as usize;
    let at = (raw.data as *mut u8).wrapping_add(raw.byte_offset as usize) as *mut T;
    if n == 0 || at.is_null() {
        return Some((std::ptr::NonNull::dangling().as_ptr(), 0));
    }
    Some((at, n))
}

/// A view that is written to.
pub struct TensorMut<'a> {
    pub(crate) raw: sys::tkp_tensor,
    borrowed: PhantomData<&'a mut [u8]>,
}

// SAFETY: as a mutable slice.
unsafe impl Send for TensorMut<'_> {}

impl<'a> TensorMut<'a> {
    /// A row-major view of all of `data`.
    pub fn new<T: Element>(data: &'a mut [T], shape: &[usize]) -> Result<TensorMut<'a>> {
        let raw = TensorRef::new(&*data, shape)?.raw;
        Ok(TensorMut {
            raw: sys::tkp_tensor { data: data.as_mut_ptr() as *mut c_void, ..raw },
            borrowed: PhantomData,
        })
    }

    /// Memory of a CUDA device.
    ///
    /// # Safety
    /// As [`TensorRef::on_cuda`]; and nobody else looks at it for `'a`.
    pub unsafe fn on_cuda(
        data: *mut c_void,
        dtype: Dtype,
        shape: &[usize],
        strides: &[usize],
        device: i32,
    ) -> Result<TensorMut<'a>> {
        let raw = TensorRef::on_cuda(data, dtype, shape, strides, device)?.raw;
        Ok(TensorMut { raw, borrowed: PhantomData })
    }

    pub(crate) fn from_raw(raw: sys::tkp_tensor) -> TensorMut<'a> {
        TensorMut { raw, borrowed: PhantomData }
    }

    /// The elements, where they lie on the host one behind the other and are of this type.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        // SAFETY: as in TensorRef; the view is borrowed alone.
        unsafe { slice_parts::<T>(&self.raw).map(|(at, n)| std::slice::from_raw_parts_mut(at, n)) }
    }
}
