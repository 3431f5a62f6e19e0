//! The binary form of events. All numbers are little endian.
//!
//! ```text
//! event    = kind u8 (0 person, 1 auction, 2 bid) | fields
//! person   = id | name | email_address | credit_card | city | state | date_time | extra
//! auction  = id | item_name | description | initial_bid | reserve | date_time | expires | seller | category | extra
//! bid      = auction | bidder | price | channel | url | date_time | extra
//! number   = u64
//! text     = length u16 | UTF-8
//! ```
//!
//! Rows of results are their fields in order; a number with three decimals is a number of thousandths, and null is a text
//! of the length 65535.

use std::borrow::Cow;

use crate::event::{Auction, Bid, Body, Kind, Person, Text};

/// Null, as the length of a text.
pub const NULL: u16 = u16::MAX;

/// Reads an event of a wanted kind; others are not looked at.
///
/// # Errors
/// What is wrong with it.
pub fn parse<'a>(bytes: &'a [u8], wanted: &[Kind]) -> Result<Option<Body<'a>>, String> {
    let (kind, rest) = bytes.split_first().ok_or("the value is empty")?;
    let kind = match kind {
        0 => Kind::Person,
        1 => Kind::Auction,
        2 => Kind::Bid,
        other => return Err(format!("the value is no event: kind {other}")),
    };
    if !wanted.contains(&kind) {
        return Ok(None);
    }
    let mut fields = Fields(rest);
    let body = match kind {
        Kind::Person => fields.person().map(Body::Person),
        Kind::Auction => fields.auction().map(Body::Auction),
        Kind::Bid => fields.bid().map(Body::Bid),
    };
    let body = body.filter(|_| fields.0.is_empty());
    body.map(Some).ok_or_else(|| format!("the value is no event: its length does not fit a {kind:?}"))
}

/// Appends an event.
pub fn put(body: &Body<'_>, to: &mut Vec<u8>) {
    match body {
        Body::Person(person) => {
            to.push(0);
            number(person.id, to);
            for part in
                [&person.name, &person.email_address, &person.credit_card, &person.city, &person.state]
            {
                text(part, to);
            }
            number(person.date_time, to);
            text(&person.extra, to);
        }
        Body::Auction(auction) => {
            to.push(1);
            put_auction(auction, to);
        }
        Body::Bid(bid) => {
            to.push(2);
            put_bid(bid, to);
        }
    }
}

/// Appends the fields of an auction.
pub fn put_auction(auction: &Auction<'_>, to: &mut Vec<u8>) {
    number(auction.id, to);
    text(&auction.item_name, to);
    text(&auction.description, to);
    let Auction { initial_bid, reserve, date_time, expires, seller, category, .. } = *auction;
    [initial_bid, reserve, date_time, expires, seller, category].into_iter().for_each(|n| number(n, to));
    text(&auction.extra, to);
}

/// Appends the fields of a bid.
pub fn put_bid(bid: &Bid<'_>, to: &mut Vec<u8>) {
    [bid.auction, bid.bidder, bid.price].into_iter().for_each(|n| number(n, to));
    text(&bid.channel, to);
    text(&bid.url, to);
    number(bid.date_time, to);
    text(&bid.extra, to);
}

/// Reads the fields of an auction.
pub fn auction(bytes: &[u8]) -> Option<Auction<'_>> {
    let mut fields = Fields(bytes);
    fields.auction().filter(|_| fields.0.is_empty())
}

/// Reads the fields of a bid.
pub fn bid(bytes: &[u8]) -> Option<Bid<'_>> {
    let mut fields = Fields(bytes);
    fields.bid().filter(|_| fields.0.is_empty())
}

/// Appends a number.
pub fn number(number: u64, to: &mut Vec<u8>) {
    to.extend_from_slice(&number.to_le_bytes());
}

/// Appends a text; what is longer than the format allows is cut.
pub fn text(text: &[u8], to: &mut Vec<u8>) {
    let length = text.len().min(usize::from(NULL - 1));
    to.extend_from_slice(&(length as u16).to_le_bytes());
    to.extend_from_slice(&text[..length]);
}

/// The fields that are left.
struct Fields<'a>(&'a [u8]);

// === impl Fields ===

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    fn text(&mut self) -> Option<Text<'a>> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        self.0 = rest;
        Some(Cow::Borrowed(text))
    }

    fn person(&mut self) -> Option<Person<'a>> {
        Some(Person {
            id: self.number()?,
            name: self.text()?,
            email_address: self.text()?,
            credit_card: self.text()?,
            city: self.text()?,
            state: self.text()?,
            date_time: self.number()?,
            extra: self.text()?,
        })
    }

    fn auction(&mut self) -> Option<Auction<'a>> {
        Some(Auction {
            id: self.number()?,
            item_name: self.text()?,
            description: self.text()?,
            initial_bid: self.number()?,
            reserve: self.number()?,
            date_time: self.number()?,
            expires: self.number()?,
            seller: self.number()?,
            category: self.number()?,
            extra: self.text()?,
        })
    }

    fn bid(&mut self) -> Option<Bid<'a>> {
        Some(Bid {
            auction: self.number()?,
            bidder: self.number()?,
            price: self.number()?,
            channel: self.text()?,
            url: self.text()?,
            date_time: self.number()?,
            extra: self.text()?,
        })
    }
}
