//! The same in two stages, for any number of partitions: the first one hands each wanted event on as it came, through the
//! deployment's internal topic `keyed`, under the key by which the query keeps its rows. Behind it the query has all events of
//! its keys, and the other tasks have those of theirs.

use std::borrow::Cow;

use millstream_sdk::config;

use crate::event::Body;

/// The internal topic, as input and as route.
pub(crate) const TOPIC: &str = "keyed";

/// What an event is handed on under; `None`: the query has no use for it.
pub(crate) type Key = for<'e> fn(&'e Body<'_>) -> Option<Cow<'e, [u8]>>;

/// How a deployment of two stages works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keyed {
    pub(crate) key: Key,
    /// index of the internal topic among the inputs
    pub(crate) topic: u32,
}

/// Looks how the deployment works; `None`: in one stage.
///
/// # Errors
/// The query looks at all events together.
pub(crate) fn open(query: &str) -> Result<Option<Keyed>, String> {
    let Some(topic) = config::inputs().iter().position(|name| name == TOPIC) else { return Ok(None) };
    let key: Key = match query {
        "q3" | "q8" | "q11" | "q12" | "q18" => who,
        "q9" | "q17" | "q19" | "q20" => what,
        "q16" => channel,
        _ => return Err(format!("parameter `query`: `{query}` has no key for an internal topic `{TOPIC}`")),
    };
    Ok(Some(Keyed { key, topic: topic as u32 }))
}

fn number<'e>(id: u64) -> Option<Cow<'e, [u8]>> {
    Some(Cow::Owned(id.to_string().into_bytes()))
}

/// Whoever is new, sells or bids.
fn who<'e>(body: &'e Body<'_>) -> Option<Cow<'e, [u8]>> {
    number(match body {
        Body::Person(person) => person.id,
        Body::Auction(auction) => auction.seller,
        Body::Bid(bid) => bid.bidder,
    })
}

/// The auction.
fn what<'e>(body: &'e Body<'_>) -> Option<Cow<'e, [u8]>> {
    match body {
        Body::Person(_) => None,
        Body::Auction(auction) => number(auction.id),
        Body::Bid(bid) => number(bid.auction),
    }
}

fn channel<'e>(body: &'e Body<'_>) -> Option<Cow<'e, [u8]>> {
    match body {
        Body::Bid(bid) => Some(Cow::Borrowed(&bid.channel)),
        _ => None,
    }
}
