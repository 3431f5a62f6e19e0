//! The JSON form of events: `{"Bid":{"auction":1000,…}}`, also `Person` and `Auction`, with the names of the fields in
//! [`event`](crate::event). Members may come in any order and unknown ones are passed over.
//!
//! Parsed by hand: texts are borrowed unless they hold an escape, eight bytes are looked at at a time, and an event that is
//! not wanted costs its first bytes only. That texts are UTF-8 is taken on trust, for they are handed on as they are.

use std::borrow::Cow;

use crate::event::{Auction, Bid, Body, Kind, Person, Text};

/// Arrays and objects within one another in a member that is passed over.
const DEPTH_MAX: usize = 32;

/// Reads an event of a wanted kind; others are not looked at.
///
/// # Errors
/// What is wrong with it.
pub fn parse<'a>(bytes: &'a [u8], wanted: &[Kind]) -> Result<Option<Body<'a>>, String> {
    let mut reader = Reader { bytes, at: 0 };
    reader.event(wanted).map_err(|why| format!("the value is no event: {why} (byte {})", reader.at))
}

/// What a member is.
#[derive(Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// a string
    Text(Text<'a>),
    /// a whole number that fits
    Number(u64),
    /// something else
    Other,
}

/// A place in a JSON text.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Parsed<T> = Result<T, &'static str>;

/// Fills the fields of an event from the members of an object, and fails when one is missing or of another type.
macro_rules! fields {
    ($reader:expr, $event:ident, numbers: $($number:ident)*, texts: $($text:ident)*) => {{
        $(let mut $number = None;)*
        $(let mut $text = None;)*
        $reader.object(|key, value| {
            match (key, value) {
                $((name, Value::Number(value)) if name == stringify!($number).as_bytes() => $number = Some(value),)*
                $((name, Value::Text(value)) if name == stringify!($text).as_bytes() => $text = Some(value),)*
                _ => {}
            }
        })?;
        $(let $number = $number.ok_or(concat!("no number `", stringify!($number), "`"))?;)*
        $(let $text = $text.ok_or(concat!("no text `", stringify!($text), "`"))?;)*
        Ok($event { $($number,)* $($text,)* })
    }};
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Begins at the front.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn event(&mut self, wanted: &[Kind]) -> Parsed<Option<Body<'a>>> {
        self.expect(b'{')?;
        let kind = match &*self.key()? {
            b"Person" => Kind::Person,
            b"Auction" => Kind::Auction,
            b"Bid" => Kind::Bid,
            _ => return Err("no member `Person`, `Auction` or `Bid`"),
        };
        if !wanted.contains(&kind) {
            return Ok(None);
        }
        let start = self.at;
        let body = match kind {
            Kind::Person => self.person().map(Body::Person)?,
            Kind::Auction => self.auction().map(Body::Auction)?,
            Kind::Bid => match self.plain_bid() {
                Some(bid) => Body::Bid(bid),
                None => {
                    self.at = start;
                    self.bid().map(Body::Bid)?
                }
            },
        };
        self.expect(b'}')?;
        self.end()?;
        Ok(Some(body))
    }

    fn person(&mut self) -> Parsed<Person<'a>> {
        fields!(self, Person, numbers: id date_time, texts: name email_address credit_card city state extra)
    }

    fn auction(&mut self) -> Parsed<Auction<'a>> {
        fields!(
            self, Auction,
            numbers: id initial_bid reserve date_time expires seller category,
            texts: item_name description extra
        )
    }

    fn bid(&mut self) -> Parsed<Bid<'a>> {
        fields!(self, Bid, numbers: auction bidder price date_time, texts: channel url extra)
    }

    /// A bid as the generator writes it, which nine of ten events are: fields in this order, no white space, no escape. None:
    /// it may still be one.
    fn plain_bid(&mut self) -> Option<Bid<'a>> {
        let bid = Bid {
            auction: self.plain_number(b"{\"auction\":")?,
            bidder: self.plain_number(b",\"bidder\":")?,
            price: self.plain_number(b",\"price\":")?,
            channel: self.plain_text(b",\"channel\":\"")?,
            url: self.plain_text(b",\"url\":\"")?,
            date_time: self.plain_number(b",\"date_time\":")?,
            extra: self.plain_text(b",\"extra\":\"")?,
        };
        self.pass(b"}").then_some(bid)
    }

    #[inline(always)]
    fn plain_number(&mut self, before: &[u8]) -> Option<u64> {
        // As many digits as fit into 64 bits whatever they are.
        const DIGITS_MAX: usize = 19;
        if !self.pass(before) {
            return None;
        }
        let start = self.at;
        let mut number = 0_u64;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        (1..=DIGITS_MAX).contains(&(self.at - start)).then_some(number)
    }

    #[inline(always)]
    fn plain_text(&mut self, before: &[u8]) -> Option<Text<'a>> {
        if !self.pass(before) {
            return None;
        }
        let rest = self.bytes.get(self.at..)?;
        let length = plain(rest);
        (rest.get(length) == Some(&b'"')).then(|| {
            self.at += length + 1;
            Cow::Borrowed(&rest[..length])
        })
    }

    /// Goes on behind these bytes, when they are the next ones.
    #[inline(always)]
    fn pass(&mut self, bytes: &[u8]) -> bool {
        let is_next = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(bytes));
        if is_next {
            self.at += bytes.len();
        }
        is_next
    }

    /// Visits the members of an object in their order.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn object(&mut self, mut visit: impl FnMut(&[u8], Value<'a>)) -> Parsed<()> {
        self.expect(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            let value = self.value()?;
            visit(&key, value);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err("expected `,` or `}`"),
            }
        }
    }

    /// A member's name and the colon behind it.
    fn key(&mut self) -> Parsed<Text<'a>> {
        let key = self.text()?;
        self.expect(b':')?;
        Ok(key)
    }

    fn value(&mut self) -> Parsed<Value<'a>> {
        match self.peek() {
            Some(b'"') => self.text().map(Value::Text),
            Some(b'0'..=b'9') => self.number(),
            _ => self.skip(),
        }
    }

    fn text(&mut self) -> Parsed<Text<'a>> {
        self.expect(b'"')?;
        let rest = &self.bytes[self.at..];
        let plain = plain(rest);
        if rest.get(plain) == Some(&b'"') {
            self.at += plain + 1;
            return Ok(Cow::Borrowed(&rest[..plain]));
        }
        self.escaped().map(Cow::Owned)
    }

    /// A text with escapes, from behind its quotation mark.
    fn escaped(&mut self) -> Parsed<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            let rest = &self.bytes[self.at..];
            let plain = plain(rest);
            text.extend_from_slice(&rest[..plain]);
            self.at += plain + 1;
            match rest.get(plain) {
                Some(b'"') => return Ok(text),
                Some(b'\\') => self.escape(&mut text)?,
                _ => return Err("a text without an end"),
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self, text: &mut Vec<u8>) -> Parsed<()> {
        let escape = self.bytes.get(self.at).ok_or("a text without an end")?;
        self.at += 1;
        let byte = match escape {
            b'"' | b'\\' | b'/' => *escape,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut code = self.hex()?;
                if (0xd800..0xdc00).contains(&code) && self.bytes[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    let low = self.hex()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err("half of a surrogate pair");
                    }
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                let character = char::from_u32(code).ok_or("half of a surrogate pair")?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err("an unknown escape"),
        };
        text.push(byte);
        Ok(())
    }

    fn hex(&mut self) -> Parsed<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or("a text without an end")?;
        self.at += 4;
        digits.iter().try_fold(0, |code, digit| {
            let digit = char::from(*digit).to_digit(16).ok_or("an escape that is not hexadecimal")?;
            Ok(code * 16 + digit)
        })
    }

    fn number(&mut self) -> Parsed<Value<'a>> {
        let start = self.at;
        let mut number = 0_u64;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            let longer = number.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit - b'0')));
            number = longer.ok_or("a number that is too large")?;
            self.at += 1;
        }
        if let Some(b'.' | b'e' | b'E') = self.bytes.get(self.at) {
            self.at = start;
            return self.skip();
        }
        Ok(Value::Number(number))
    }

    /// Passes over anything else: literals, numbers with a sign or a fraction, arrays and objects.
    fn skip(&mut self) -> Parsed<Value<'a>> {
        let mut depth = 0;
        loop {
            match self.peek().ok_or("the value is cut off")? {
                b'"' => drop(self.text()?),
                b'[' | b'{' if depth == DEPTH_MAX => return Err("members too deep within one another"),
                b'[' | b'{' => {
                    depth += 1;
                    self.at += 1;
                }
                b']' | b'}' | b',' if depth == 0 => return Err("a member without a value"),
                b']' | b'}' => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                _ => {
                    let rest = &self.bytes[self.at..];
                    let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"+-.".contains(b);
                    let length = rest.iter().position(|b| !is_word(b)).unwrap_or(rest.len());
                    if length == 0 {
                        return Err("an unexpected character");
                    }
                    self.at += length;
                }
            }
            if depth == 0 {
                return Ok(Value::Other);
            }
        }
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(match byte {
            b'{' => "expected `{`",
            b'}' => "expected `}`",
            b':' => "expected `:`",
            _ => "expected a text",
        })
    }

    fn end(&mut self) -> Parsed<()> {
        self.peek().map_or(Ok(()), |_| Err("something follows"))
    }
}

/// Appends a text with its quotation marks.
pub fn put_text(text: &[u8], to: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    to.push(b'"');
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(plain(rest));
        to.extend_from_slice(plain);
        let Some((byte, tail)) = special.split_first() else { break };
        match byte {
            b'"' | b'\\' => to.extend_from_slice(&[b'\\', *byte]),
            b'\n' => to.extend_from_slice(b"\\n"),
            b'\r' => to.extend_from_slice(b"\\r"),
            b'\t' => to.extend_from_slice(b"\\t"),
            _ => {
                to.extend_from_slice(b"\\u00");
                to.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
        rest = tail;
    }
    to.push(b'"');
}

/// How many bytes come before the first quotation mark, backslash or control character.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    // A byte is 0 when taking 1 from it borrows into its high bit (Mycroft 1987); below the first such byte nothing borrows.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (words, tail) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let slashes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let special = quotes | slashes | controls;
        if special != 0 {
            return n * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
    words.len() * 8 + tail.iter().position(is_special).unwrap_or(tail.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_any_order_and_unknown_ones_are_passed_over() {
        let text = br#" {"Bid": {"url":"a\/\"\u00e4\ud83d\ude00", "new":[{"x":[1,-2.5e3,"]"]},null], "price": 3,
            "more":true, "auction":1,"bidder":2,"channel":"","date_time":18446744073709551615,"extra":"xyzxyzxyz"} } "#;
        let Ok(Some(Body::Bid(bid))) = parse(text, &[Kind::Bid]) else {
            panic!("{:?}", parse(text, &[Kind::Bid]))
        };
        let expected = Bid {
            auction: 1,
            bidder: 2,
            price: 3,
            channel: Cow::Borrowed(b""),
            url: Cow::Borrowed("a/\"ä😀".as_bytes()),
            date_time: u64::MAX,
            extra: Cow::Borrowed(b"xyzxyzxyz"),
        };
        assert_eq!(bid, expected);
        assert_eq!(parse(text, &[Kind::Person]), Ok(None));
    }

    #[test]
    fn a_plain_bid_is_read_as_any_other() {
        let fields = r#""auction":1,"bidder":22,"price":1234567890123456789,"channel":"c","url":"","date_time":4,"extra":"e""#;
        let plain = format!(r#"{{"Bid":{{{fields}}}}}"#);
        let spaced = plain.replace(':', ": ");
        let read = |text: &str| parse(text.as_bytes(), &[Kind::Bid]).map(|body| format!("{body:?}"));
        assert!(read(&plain).is_ok_and(|bid| bid.contains("price: 1234567890123456789")));
        assert_eq!(read(&plain), read(&spaced));
        // What is not so plain is left to the other way.
        let fraction = plain.replace("\"auction\":1", "\"auction\":1.5");
        assert_eq!(read(&fraction), Err("the value is no event: no number `auction` (byte 111)".into()));
        let large = plain.replace("1234567890123456789", "99999999999999999999");
        assert!(read(&large).is_err_and(|why| why.contains("too large")));
        assert!(read(&plain.replace(r#""e""#, r#""\n""#)).is_ok_and(|bid| bid.contains("extra: [10]")));
    }

    #[test]
    fn what_is_no_event_says_why() {
        for (text, why) in [
            (&b"7"[..], "expected `{`"),
            (br#"{"Bed":{}}"#, "no member `Person`"),
            (br#"{"Bid":{"auction":1}}"#, "no number `bidder`"),
            (br#"{"Bid":{"auction":"1"}}"#, "no number `auction`"),
            (br#"{"Bid":{"auction":99999999999999999999}}"#, "too large"),
            (br#"{"Bid":{"auction":1"#, "expected `,`"),
            (br#"{"Bid":{"channel":"x"#, "without an end"),
            (br#"{"Bid":{"channel":"\u00"#, "without an end"),
            (br#"{"Bid":{"channel":"\ud800"}}"#, "surrogate"),
            (br#"{"Bid":{"channel":}}"#, "without a value"),
            (br#"{"Bid":{"channel":["#, "cut off"),
        ] {
            let told = parse(text, &[Kind::Bid]);
            assert!(told.as_ref().is_err_and(|told| told.contains(why)), "{told:?} instead of {why}");
        }
        let deep = [b"{\"Bid\":{\"x\":".as_slice(), &[b'['; 100]].concat();
        assert!(parse(&deep, &[Kind::Bid]).is_err_and(|told| told.contains("deep")));
    }

    #[test]
    fn texts_are_escaped_as_json_demands() {
        for length in 0..20 {
            for special in *b"\"\\\n\x01\x1f\x20\x7f\x80\xff" {
                let mut text = vec![b'x'; length];
                text.push(special);
                text.extend_from_slice(b"\x80tail");
                let mut written = Vec::new();
                put_text(&text, &mut written);
                let mut reader = Reader::new(&written);
                assert_eq!(reader.text().as_deref(), Ok(&*text));
                assert_eq!(reader.end(), Ok(()));
            }
        }
    }
}
