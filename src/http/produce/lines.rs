//! Cuts a body that arrives in pieces into lines. A line inside one piece is a part of it; one across pieces is copied.

use crate::model::limits::LINE_BYTES_MAX;

/// Room kept for the next line across pieces.
const OPEN_KEPT: usize = 16 << 10;

/// What stands between two newlines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// its bytes, without the newline; not empty
    Text(&'a [u8]),
    /// longer than a line may be; its bytes are gone
    TooLong,
}

/// The state between pieces.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// the beginning of a line whose end has not come yet
    open: Vec<u8>,
    /// the open line is too long and is being passed over
    skipping: bool,
    /// lines begun so far, blank ones included
    number: u64,
}

impl Lines {
    /// Hands over every line that ends in `piece`, with its number from 1. Blank lines count and are passed over.
    pub(super) fn feed(&mut self, mut piece: &[u8], mut take: impl FnMut(u64, Line<'_>)) {
        while !piece.is_empty() {
            let Some(length) = memchr::memchr(b'\n', piece) else { return self.extend(piece) };
            self.end(&piece[..length], &mut take);
            piece = &piece[length + 1..];
        }
    }

    /// The last line, which needs no newline.
    pub(super) fn finish(mut self, mut take: impl FnMut(u64, Line<'_>)) {
        self.end(&[], &mut take);
    }

    /// A part of a line that goes on in the next piece.
    fn extend(&mut self, part: &[u8]) {
        self.skipping |= self.open.len() + part.len() > LINE_BYTES_MAX;
        if self.skipping {
            self.open = Vec::new();
        } else {
            self.open.extend_from_slice(part);
        }
    }

    /// The last part of a line.
    fn end(&mut self, part: &[u8], take: &mut impl FnMut(u64, Line<'_>)) {
        self.number += 1;
        let is_too_long = self.open.len() + part.len() > LINE_BYTES_MAX;
        if std::mem::take(&mut self.skipping) || is_too_long {
            self.open = Vec::new();
            take(self.number, Line::TooLong);
            return;
        }
        let line = if self.open.is_empty() {
            part
        } else {
            self.open.extend_from_slice(part);
            &self.open
        };
        let text = line.trim_ascii();
        if !text.is_empty() {
            take(self.number, Line::Text(text));
        }
        // What a long line needed is given back; another may never come.
        self.open.clear();
        self.open.shrink_to(OPEN_KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lines as text; `None` for one that is too long.
    fn cut(pieces: &[&[u8]]) -> Vec<(u64, Option<String>)> {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        let mut take = |number, line: Line<'_>| match line {
            Line::Text(text) => out.push((number, Some(String::from_utf8(text.to_vec()).unwrap()))),
            Line::TooLong => out.push((number, None)),
        };
        for piece in pieces {
            lines.feed(piece, &mut take);
        }
        lines.finish(take);
        out
    }

    #[test]
    fn blank_lines_count_and_are_passed_over() {
        let text = |t: &str| Some(t.to_owned());
        assert_eq!(cut(&[b"a\r\n\n  \nb"]), [(1, text("a")), (4, text("b"))]);
        assert_eq!(cut(&[b"a\n"]), [(1, text("a"))]);
        assert_eq!(cut(&[]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_named_and_the_next_one_is_read() {
        let long = vec![b'x'; LINE_BYTES_MAX / 2 + 1];
        let lines = cut(&[&long, &long, b"x\nnext\n"]);
        assert_eq!(lines, [(1, None), (2, Some("next".to_owned()))]);
        let whole = [long.as_slice(), &long, b"\nnext"].concat();
        assert_eq!(cut(&[&whole]), [(1, None), (2, Some("next".to_owned()))]);
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
