//! Requests cut at the borders of sectors.

/// A request cut at the borders of sectors.
pub(super) struct Span {
    /// Bytes before the first border, which are a part of a sector; all of them where there is no border.
    pub(super) head: u64,
    /// Bytes in whole sectors.
    pub(super) body: u64,
    /// The sectors that it touches.
    pub(super) sectors: std::ops::Range<u64>,
}

impl Span {
    pub(super) fn of(offset: u64, len: u64, sector_size: u64) -> Self {
        let within = offset % sector_size;
        let head = if within == 0 {
            0
        } else {
            (sector_size - within).min(len)
        };
        let first = offset / sector_size;
        Self {
            head,
            body: whole(len - head, sector_size),
            sectors: first..first + (within + len).div_ceil(sector_size),
        }
    }
}

/// The part of `len` that is whole sectors.
pub(super) fn whole(len: u64, sector_size: u64) -> u64 {
    len / sector_size * sector_size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_head_a_body_and_a_tail() {
        let cut = |offset, len| {
            let span = Span::of(offset, len, 512);
            (span.head, span.body, span.sectors)
        };
        assert_eq!(cut(0, 1024), (0, 1024, 0..2));
        assert_eq!(cut(0, 100), (0, 0, 0..1));
        assert_eq!(cut(100, 10), (10, 0, 0..1));
        assert_eq!(cut(100, 412), (412, 0, 0..1));
        assert_eq!(cut(100, 413), (412, 0, 0..2));
        assert_eq!(cut(511, 1026), (1, 1024, 0..4));
    }
}
