//! Queries that look at one bid at a time: q0 passes bids through, q1 converts their currency, q2 selects every 123rd auction,
//! q14 computes and selects, q21 finds a channel's number, q22 cuts the URL into parts.

use millstream_sdk::Fault;

use super::Query;
use crate::event::{Bid, Event, bids};
use crate::output::{Milli, Null, Number, Out, Text};

/// A function of each bid, given with its place in the batch.
pub(super) struct Each(pub(super) fn(usize, &Bid<'_>, &mut Out));

impl Query for Each {
    fn process(&mut self, events: &[Event<'_>], out: &mut Out) -> Result<(), Fault> {
        bids(events).for_each(|(event, bid)| (self.0)(event.index, bid, out));
        Ok(())
    }
}

/// A price in euros, in thousandths: 0.908 of the dollars.
fn euros(price: u64) -> u64 {
    price.saturating_mul(908)
}

pub(super) fn q0(index: usize, bid: &Bid<'_>, out: &mut Out) {
    out.append(
        index,
        &[
            ("auction", Number(bid.auction)),
            ("bidder", Number(bid.bidder)),
            ("price", Number(bid.price)),
            ("date_time", Number(bid.date_time)),
            ("extra", Text(&bid.extra)),
        ],
    );
}

pub(super) fn q1(index: usize, bid: &Bid<'_>, out: &mut Out) {
    out.append(
        index,
        &[
            ("auction", Number(bid.auction)),
            ("bidder", Number(bid.bidder)),
            ("price", Milli(euros(bid.price))),
            ("date_time", Number(bid.date_time)),
            ("extra", Text(&bid.extra)),
        ],
    );
}

pub(super) fn q2(index: usize, bid: &Bid<'_>, out: &mut Out) {
    if bid.auction.is_multiple_of(123) {
        out.append(index, &[("auction", Number(bid.auction)), ("price", Number(bid.price))]);
    }
}

pub(super) fn q14(index: usize, bid: &Bid<'_>, out: &mut Out) {
    let price = euros(bid.price);
    if price <= 1_000_000_000 || price >= 50_000_000_000 {
        return;
    }
    let time: &[u8] = match bid.date_time / 3_600_000 % 24 {
        8..=18 => b"dayTime",
        0..=6 | 20.. => b"nightTime",
        _ => b"otherTime",
    };
    let letters = bid.extra.iter().filter(|letter| **letter == b'c').count();
    out.append(
        index,
        &[
            ("auction", Number(bid.auction)),
            ("bidder", Number(bid.bidder)),
            ("price", Milli(price)),
            ("bid_time_type", Text(time)),
            ("date_time", Number(bid.date_time)),
            ("extra", Text(&bid.extra)),
            ("c_counts", Number(letters as u64)),
        ],
    );
}

pub(super) fn q21(index: usize, bid: &Bid<'_>, out: &mut Out) {
    const KNOWN: [(&[u8], &[u8]); 4] =
        [(b"apple", b"0"), (b"google", b"1"), (b"facebook", b"2"), (b"baidu", b"3")];
    let known = KNOWN.iter().find(|(name, _)| bid.channel.eq_ignore_ascii_case(name));
    let Some(id) = known.map(|(_, id)| *id).or_else(|| channel_id(&bid.url)) else { return };
    out.append(
        index,
        &[
            ("auction", Number(bid.auction)),
            ("bidder", Number(bid.bidder)),
            ("price", Number(bid.price)),
            ("channel", Text(&bid.channel)),
            ("channel_id", Text(id)),
        ],
    );
}

/// What stands behind `channel_id=` at the front of a URL or behind an ampersand.
fn channel_id(url: &[u8]) -> Option<&[u8]> {
    url.split(|byte| *byte == b'&').find_map(|part| part.strip_prefix(b"channel_id="))
}

pub(super) fn q22(index: usize, bid: &Bid<'_>, out: &mut Out) {
    let mut parts = bid.url.split(|byte| *byte == b'/').skip(3);
    let mut part = || parts.next().map_or(Null, Text);
    out.append(
        index,
        &[
            ("auction", Number(bid.auction)),
            ("bidder", Number(bid.bidder)),
            ("price", Number(bid.price)),
            ("channel", Text(&bid.channel)),
            ("dir1", part()),
            ("dir2", part()),
            ("dir3", part()),
        ],
    );
}
