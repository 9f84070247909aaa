use tokenprune_sys as sys;

use crate::error::check;
use crate::Result;

/// How many visual tokens stay: whole numbers, or a share a / b of them.
#[derive(Debug, Clone)]
pub struct Budget {
    pub(crate) raw: sys::tkp_budget,
}

/// What the number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Label {
    /// Tokens in every layer after the cut.
    Retain,
    /// Mean over all layers of the tokens that each processes.
    EquivIn,
    /// Mean over all layers of the tokens that leave each.
    EquivOut,
}

/// How a share becomes a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rounding {
    /// Half to even.
    Nearest,
    /// Down.
    Floor,
    /// Up.
    Ceil,
    /// As engines do in double precision, cut off.
    DoubleTruncate,
}

/// What has a budget of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// All images of a sequence together.
    Sequence,
    /// Each image.
    Image,
    /// Each tile of each image.
    Tile,
    /// Each frame of each image.
    Frame,
}

impl Budget {
    fn of_kind(kind: u32) -> Budget {
        // SAFETY: numbers only; the init function fills in the size.
        let mut raw = unsafe {
            let mut raw: sys::tkp_budget = std::mem::zeroed();
            sys::tkp_budget_init(&mut raw);
            raw
        };
        raw.kind = kind as i32;
        Budget { raw }
    }

    /// Everything stays.
    pub fn all() -> Budget {
        Budget::of_kind(sys::TKP_BUDGET_ALL)
    }

    /// So many tokens.
    pub fn count(tokens: i64) -> Budget {
        let mut b = Budget::of_kind(sys::TKP_BUDGET_COUNT);
        b.raw.count = tokens;
        b
    }

    /// A share of them.
    pub fn ratio(num: i64, den: i64) -> Budget {
        let mut b = Budget::of_kind(sys::TKP_BUDGET_RATIO);
        b.raw.ratio_num = num;
        b.raw.ratio_den = den;
        b
    }

    /// Share of the patches to remove in all, where training already merged tokens
    /// (a 2 x 2 merger: `trained` is 4 / 1).
    pub fn total_reduction(num: i64, den: i64, trained: (i64, i64)) -> Budget {
        let mut b = Budget::of_kind(sys::TKP_BUDGET_TOTAL_REDUCTION);
        b.raw.ratio_num = num;
        b.raw.ratio_den = den;
        b.raw.tacr_num = trained.0;
        b.raw.tacr_den = trained.1;
        b
    }

    /// At least so many, if they are there.
    pub fn min_keep(mut self, tokens: i64) -> Budget {
        self.raw.min_keep = tokens;
        self
    }

    /// What the number means; [`Label::Retain`] if nothing is said.
    pub fn label(mut self, label: Label) -> Budget {
        self.raw.label = match label {
            Label::Retain => sys::TKP_LABEL_RETAIN,
            Label::EquivIn => sys::TKP_LABEL_EQUIV_IN,
            Label::EquivOut => sys::TKP_LABEL_EQUIV_OUT,
        } as i32;
        self
    }

    /// [`Rounding::Nearest`] if nothing is said.
    pub fn rounding(mut self, rounding: Rounding) -> Budget {
        self.raw.rounding = match rounding {
            Rounding::Nearest => sys::TKP_ROUND_NEAREST,
            Rounding::Floor => sys::TKP_ROUND_FLOOR,
            Rounding::Ceil => sys::TKP_ROUND_CEIL,
            Rounding::DoubleTruncate => sys::TKP_ROUND_DOUBLE_TRUNCATE,
        } as i32;
        self
    }

    /// [`Scope::Sequence`] if nothing is said.
    pub fn scope(mut self, scope: Scope) -> Budget {
        self.raw.scope = match scope {
            Scope::Sequence => sys::TKP_SCOPE_SEQUENCE,
            Scope::Image => sys::TKP_SCOPE_IMAGE,
            Scope::Tile => sys::TKP_SCOPE_TILE,
            Scope::Frame => sys::TKP_SCOPE_FRAME,
        } as i32;
        self
    }

    /// A share is of the tokens before any cut, not of those that are there.
    pub fn of_original(mut self) -> Budget {
        self.raw.of = sys::TKP_OF_ORIGINAL as i32;
        self
    }

    /// Tokens kept of n by a cut before layer `boundary` of `layers`.
    pub fn resolve(&self, n: i64, boundary: i32, layers: i32) -> Result<i64> {
        let mut keep = 0;
        // SAFETY: a budget made by the init function, and a place for a number.
        check(unsafe { sys::tkp_budget_resolve(&self.raw, n, boundary, layers, &mut keep) })?;
        Ok(keep)
    }
}
