//! Cuts a body that arrives in pieces into lines. A line inside one piece is a slice of it; one across pieces is copied.

use std::io::BufRead as _;

use bytes::{Bytes, BytesMut};

use crate::model::limits::LINE_BYTES_MAX;

/// What stands between two newlines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// its bytes, without the newline; not empty
    Text(Bytes),
    /// longer than a line may be; its bytes are gone
    TooLong,
}

/// The state between pieces.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// the beginning of a line whose end has not come yet
    open: BytesMut,
    /// the open line is too long and is being passed over
    skipping: bool,
    /// lines begun so far, blank ones included
    number: u64,
}

impl Lines {
    /// Hands over every line that ends in `piece`, with its number from 1. Blank lines count and are passed over.
    pub(super) fn feed(&mut self, mut piece: Bytes, mut take: impl FnMut(u64, Line)) {
        while !piece.is_empty() {
            let length = (&piece[..]).skip_until(b'\n').unwrap_or(piece.len());
            let mut part = piece.split_to(length);
            let ends = part.last() == Some(&b'\n');
            if ends {
                part.truncate(part.len() - 1);
            }
            self.extend(part, ends, &mut take);
        }
    }

    /// The last line, which needs no newline.
    pub(super) fn finish(mut self, mut take: impl FnMut(u64, Line)) {
        self.extend(Bytes::new(), true, &mut take);
    }

    fn extend(&mut self, part: Bytes, ends: bool, take: &mut impl FnMut(u64, Line)) {
        self.skipping |= self.open.len() + part.len() > LINE_BYTES_MAX;
        if !ends {
            if self.skipping {
                self.open = BytesMut::new();
            } else {
                self.open.extend_from_slice(&part);
            }
            return;
        }
        self.number += 1;
        let line = if self.open.is_empty() {
            part
        } else {
            self.open.extend_from_slice(&part);
            std::mem::take(&mut self.open).freeze()
        };
        if std::mem::take(&mut self.skipping) {
            take(self.number, Line::TooLong);
            return;
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            take(self.number, Line::Text(line.slice_ref(text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(pieces: &[&[u8]]) -> Vec<(u64, Line)> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.feed(Bytes::copy_from_slice(piece), |number, line| out.push((number, line)));
        }
        lines.finish(|number, line| out.push((number, line)));
        out
    }

    #[test]
    fn blank_lines_count_and_are_passed_over() {
        let text = |t: &'static str| Line::Text(Bytes::from_static(t.as_bytes()));
        assert_eq!(cut(&[b"a\r\n\n  \nb"]), [(1, text("a")), (4, text("b"))]);
        assert_eq!(cut(&[b"a\n"]), [(1, text("a"))]);
        assert_eq!(cut(&[]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_named_and_the_next_one_is_read() {
        let long = vec![b'x'; LINE_BYTES_MAX / 2 + 1];
        let lines = cut(&[&long, &long, b"x\nnext\n"]);
        assert_eq!(lines, [(1, Line::TooLong), (2, Line::Text(Bytes::from_static(b"next")))]);
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_makes_no_difference(text in "[a-c\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(cut(&pieces), cut(&[text.as_bytes()]));
        }
    }
}
