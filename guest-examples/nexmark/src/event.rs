//! The events of an online auction house.

use std::borrow::Cow;

/// Text, borrowed from the record where it stands there as it is.
pub type Text<'a> = Cow<'a, [u8]>;

/// What kinds of events there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// somebody new
    Person,
    /// something is put up for auction
    Auction,
    /// somebody bids
    Bid,
}

/// An event of a batch.
#[derive(Debug)]
pub struct Event<'a> {
    /// its place in the batch
    pub index: usize,
    /// event time: the record's timestamp
    pub time: i64,
    /// what happened
    pub body: Body<'a>,
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// somebody new
    Person(Person<'a>),
    /// something is put up for auction
    Auction(Auction<'a>),
    /// somebody bids
    Bid(Bid<'a>),
}

/// Somebody new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person<'a> {
    pub id: u64,
    pub name: Text<'a>,
    pub email_address: Text<'a>,
    pub credit_card: Text<'a>,
    pub city: Text<'a>,
    pub state: Text<'a>,
    /// milliseconds since 1970-01-01T00:00Z, here and below
    pub date_time: u64,
    pub extra: Text<'a>,
}

/// Something is put up for auction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auction<'a> {
    pub id: u64,
    pub item_name: Text<'a>,
    pub description: Text<'a>,
    /// cents, as all prices
    pub initial_bid: u64,
    pub reserve: u64,
    pub date_time: u64,
    pub expires: u64,
    pub seller: u64,
    pub category: u64,
    pub extra: Text<'a>,
}

/// Somebody bids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bid<'a> {
    pub auction: u64,
    pub bidder: u64,
    pub price: u64,
    pub channel: Text<'a>,
    pub url: Text<'a>,
    pub date_time: u64,
    pub extra: Text<'a>,
}

/// The bids of a batch with the events they are.
pub fn bids<'e, 'a>(events: &'e [Event<'a>]) -> impl Iterator<Item = (&'e Event<'a>, &'e Bid<'a>)> + Clone {
    events.iter().filter_map(|event| match &event.body {
        Body::Bid(bid) => Some((event, bid)),
        _ => None,
    })
}
