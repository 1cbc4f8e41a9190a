//! Lists in pages, by key and not by offset: a page costs the same wherever it is, and rows that come or go in
//! between neither repeat nor hide others.

use serde::Serialize;

/// Rows of a list, and the key to ask for the next ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page<T, K> {
    /// The rows, in the order of the list.
    pub rows: Vec<T>,
    /// Pass it as `after` for the next page; `None`: this is the last one.
    pub next: Option<K>,
}

/// How many rows a page has: 1 to 1,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u16);

impl PageSize {
    /// The largest page.
    pub const MAX: Self = Self(1000);

    /// Takes the nearest size that is allowed.
    pub fn new(rows: usize) -> Self {
        Self(u16::try_from(rows).unwrap_or(u16::MAX).clamp(1, Self::MAX.0))
    }

    /// One row more than the page has shows whether there is another page.
    pub(crate) fn limit(self) -> i64 {
        i64::from(self.0) + 1
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(50)
    }
}

impl<T, K> Page<T, K> {
    /// Cuts rows that were asked for with [`PageSize::limit`].
    pub(crate) fn cut(mut rows: Vec<T>, size: PageSize, key: impl Fn(&T) -> K) -> Self {
        let has_more = rows.len() > usize::from(size.0);
        rows.truncate(usize::from(size.0));
        let next = if has_more { rows.last().map(key) } else { None };
        Self { rows, next }
    }
}

#[cfg(test)]
mod tests {
    use super::{Page, PageSize};

    #[test]
    fn the_extra_row_becomes_a_key() {
        let page = Page::cut(vec![1, 2, 3], PageSize::new(2), |row| *row);
        assert_eq!(page, Page { rows: vec![1, 2], next: Some(2) });
        let last = Page::cut(vec![3], PageSize::new(2), |row| *row);
        assert_eq!(last.next, None);
    }

    #[test]
    fn sizes_stay_within_bounds() {
        assert_eq!(PageSize::new(0).limit(), 2);
        assert_eq!(PageSize::new(usize::MAX), PageSize::MAX);
    }
}
