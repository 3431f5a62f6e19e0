//! Brings a number with every poll. A real source fetches something instead, and its cursor says how far it has come.

use millstream_sdk::{Fault, Output, Polled, Source, source};

struct Numbers;

source!(Numbers);

impl Source for Numbers {
    /// Once per instance, before the first poll.
    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    /// Records and cursor are one commit: the next poll begins where this one ended, whatever happens.
    fn poll(&mut self, cursor: Option<&[u8]>) -> Result<Polled, Fault> {
        let text = str::from_utf8(cursor.unwrap_or(b"0")).map_err(|e| Fault::Fatal(e.to_string()))?;
        let number: u64 = text.parse().map_err(|e| Fault::Fatal(format!("the cursor `{text}`: {e}")))?;
        let outputs = vec![Output::new().value(number.to_string())];
        Ok(Polled { outputs, cursor: Some((number + 1).to_string().into_bytes()), more: false })
    }
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::poll_until_idle;

    use super::*;

    #[test]
    fn the_cursor_says_where_it_goes_on() {
        let (outputs, cursor) = poll_until_idle(&mut Numbers, Some(b"7")).unwrap();
        assert_eq!(outputs, [Output::new().value("7")]);
        assert_eq!(cursor.as_deref(), Some(&b"8"[..]));
    }
}
