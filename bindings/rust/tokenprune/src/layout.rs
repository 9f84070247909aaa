use std::ops::Range;
use std::ptr::{self, NonNull};

use tokenprune_sys as sys;

use crate::error::check;
use crate::{Error, Result, Status};

/// What a batch looks like before pruning: sequences, their images, positions.
///
/// It may be filled until something uses it; then it is frozen, and changes are
/// [`Status::State`].
pub struct Layout {
    pub(crate) raw: NonNull<sys::tkp_layout>,
}

// SAFETY: filling takes &mut; once it is used it is frozen and may be shared (layout.h).
unsafe impl Send for Layout {}
// SAFETY: likewise.
unsafe impl Sync for Layout {}

/// One image, or one video, of a sequence: a grid of visual tokens.
#[derive(Debug, Clone, Default)]
pub struct Image<'a> {
    start: i64,
    frames: i32,
    rows: i32,
    cols: i32,
    row_stride: i32,
    valid: Option<&'a [u8]>,
    keep: Option<&'a [u8]>,
    tile: [i32; 4],
}

impl<'a> Image<'a> {
    /// `rows` times `cols` tokens from row `start` of the sequence on.
    pub fn new(start: i64, rows: i32, cols: i32) -> Image<'a> {
        Image { start, rows, cols, ..Image::default() }
    }

    /// So many grids one after the other in time.
    pub fn frames(mut self, frames: i32) -> Self {
        self.frames = frames;
        self
    }

    /// Tokens from one row of the grid to the next; cols + 1 where rows end in a newline token.
    pub fn row_stride(mut self, stride: i32) -> Self {
        self.row_stride = stride;
        self
    }

    /// One byte a cell: 0 = padding, which is no candidate.
    pub fn valid(mut self, cells: &'a [u8]) -> Self {
        self.valid = Some(cells);
        self
    }

    /// One byte a cell: 1 = always kept.
    pub fn keep(mut self, cells: &'a [u8]) -> Self {
        self.keep = Some(cells);
        self
    }

    /// The grid is tiles side by side, each so many cells high and wide.
    pub fn tiles(mut self, height: i32, width: i32) -> Self {
        self.tile[0] = height;
        self.tile[1] = width;
        self
    }

    /// Rows and columns that the first tiles lack, where padding was cut off.
    pub fn first_tile_lacks(mut self, top: i32, left: i32) -> Self {
        self.tile[2] = top;
        self.tile[3] = left;
        self
    }

    fn mask(&self, cells: Option<&[u8]>, name: &str) -> Result<*const u8> {
        let cells = match cells {
            Some(cells) => cells,
            None => return Ok(ptr::null()),
        };
        let wanted = i128::from(self.frames.max(1)) * i128::from(self.rows) * i128::from(self.cols);
        if cells.len() as i128 != wanted {
            return Err(Error::new(
                Status::Shape,
                format!("{name}: has {} bytes, wanted {wanted}", cells.len()),
            ));
        }
        Ok(cells.as_ptr())
    }
}

impl Layout {
    /// An empty batch.
    pub fn new() -> Result<Layout> {
        let mut raw = ptr::null_mut();
        // SAFETY: out is a place for a pointer.
        check(unsafe { sys::tkp_layout_create(&mut raw) })?;
        Ok(Layout { raw: NonNull::new(raw).expect("a layout that was made") })
    }

    /// A sequence of `length` tokens; its number in the batch. `text` is what guides the pruning;
    /// an empty range is every token behind the last image. `id` names it to the random generator.
    pub fn add_sequence(&mut self, length: i64, text: Range<i64>, id: u32) -> Result<i32> {
        let mut index = 0;
        // SAFETY: the description comes from the init function and lives through the call.
        check(unsafe {
            let mut desc = std::mem::zeroed();
            sys::tkp_sequence_desc_init(&mut desc);
            desc.length = length;
            desc.text_begin = text.start;
            desc.text_end = text.end;
            desc.id = id;
            sys::tkp_layout_add_sequence(self.raw.as_ptr(), &desc, &mut index)
        })?;
        Ok(index)
    }

    /// An image of a sequence; its number in the batch.
    pub fn add_image(&mut self, sequence: i32, image: &Image<'_>) -> Result<i32> {
        let valid = image.mask(image.valid, "valid")?;
        let keep = image.mask(image.keep, "keep")?;
        let mut index = 0;
        // SAFETY: masks have one byte a cell and are copied during the call.
        check(unsafe {
            let mut desc = std::mem::zeroed();
            sys::tkp_image_desc_init(&mut desc);
            desc.sequence = sequence;
            desc.start = image.start;
            desc.frames = image.frames;
            desc.rows = image.rows;
            desc.cols = image.cols;
            desc.row_stride = image.row_stride;
            desc.valid = valid;
            desc.keep = keep;
            desc.tile_height = image.tile[0];
            desc.tile_width = image.tile[1];
            desc.tile_top = image.tile[2];
            desc.tile_left = image.tile[3];
            sys::tkp_layout_add_image(self.raw.as_ptr(), &desc, &mut index)
        })?;
        Ok(index)
    }

    /// Rotary positions of all rows, `n_rows` (1, or 3 for M-RoPE) times [`Layout::rows`].
    pub fn set_positions(&mut self, n_rows: i32, positions: &[i32]) -> Result<()> {
        let rows = positions.len() as i64 / i64::from(n_rows.max(1));
        if rows * i64::from(n_rows.max(1)) != positions.len() as i64 {
            return Err(Error::new(
                Status::Shape,
                format!("positions: has {} entries, wanted {n_rows} for each row", positions.len()),
            ));
        }
        // SAFETY: the slice has n_rows * rows entries; they are copied.
        check(unsafe { sys::tkp_layout_set_positions(self.raw.as_ptr(), n_rows, positions.as_ptr(), rows) })
    }

    /// Sequences in the batch.
    pub fn sequences(&self) -> i32 {
        // SAFETY: the layout lives as long as self; the same below.
        unsafe { sys::tkp_layout_sequences(self.raw.as_ptr()) }
    }

    /// Images of all sequences.
    pub fn images(&self) -> i32 {
        unsafe { sys::tkp_layout_images(self.raw.as_ptr()) }
    }

    /// Rows of the packed batch.
    pub fn rows(&self) -> i64 {
        unsafe { sys::tkp_layout_rows(self.raw.as_ptr()) }
    }

    /// Candidates of a sequence; None outside the batch.
    pub fn visual_tokens(&self, sequence: i32) -> Option<i64> {
        let n = unsafe { sys::tkp_layout_visual_tokens(self.raw.as_ptr(), sequence) };
        (n >= 0).then_some(n)
    }

    pub(crate) fn candidates(&self) -> usize {
        (0..self.sequences()).filter_map(|b| self.visual_tokens(b)).sum::<i64>() as usize
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: made by create, destroyed once; users hold references of their own.
        unsafe { sys::tkp_layout_destroy(self.raw.as_ptr()) }
    }
}
