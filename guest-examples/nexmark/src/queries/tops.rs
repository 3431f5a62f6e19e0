//! Queries of the last and the best: q18 a bidder's last bid in an auction, q19 the ten highest bids of an auction. Of bids at
//! one time the higher one is the last; of bids with one price the earlier one is the best, then that of the lower bidder.

use std::cmp::Ordering;

use millstream_sdk::Fault;
use millstream_sdk::toolbox::{Map, Stored, Table, Top};

use super::Query;
use crate::binary;
use crate::event::{Bid, Event, bids};
use crate::output::{Number, Out, Text};

/// q18. By bidder and auction: time and price of the last bid; the rest of it stands in the result.
pub(super) struct LastBids {
    last: Table<(u64, u64), (u64, u64)>,
}

impl LastBids {
    pub(super) fn open() -> Self {
        Self { last: Table::open("last") }
    }
}

impl Query for LastBids {
    fn process(&mut self, events: &[Event<'_>], out: &mut Out) -> Result<(), Fault> {
        self.last.load(bids(events).map(|(_, bid)| (bid.bidder, bid.auction)))?;
        for (_, bid) in bids(events) {
            let key = (bid.bidder, bid.auction);
            let place = (bid.date_time, bid.price);
            if self.last.get(&key).is_none_or(|last| *last < place) {
                *self.last.row(&key) = Some(place);
            }
        }
        for (_, bid) in bids(events) {
            let key = (bid.bidder, bid.auction);
            // Only what is the last one now, and was not so before the batch.
            if self.last.is_changed(&key) && self.last.get(&key) == Some(&(bid.date_time, bid.price)) {
                out.update(
                    &[Number(bid.bidder), Number(bid.auction)],
                    &[
                        ("auction", Number(bid.auction)),
                        ("bidder", Number(bid.bidder)),
                        ("price", Number(bid.price)),
                        ("channel", Text(&bid.channel)),
                        ("url", Text(&bid.url)),
                        ("date_time", Number(bid.date_time)),
                        ("extra", Text(&bid.extra)),
                    ],
                );
            }
        }
        self.last.flush();
        Ok(())
    }
}

/// Bids of an auction that are told.
const RANKS: usize = 10;

/// q19. By auction: its ten highest bids in their binary form.
pub(super) struct TopBids {
    tops: Table<u64, Top<Ranked, RANKS>>,
    /// the first rank that the batch has changed, by auction
    changed: Map<u64, usize>,
}

/// A bid by its rank, the best one greatest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ranked {
    price: u64,
    time: u64,
    bidder: u64,
    bid: Box<[u8]>,
}

impl TopBids {
    pub(super) fn open() -> Self {
        Self { tops: Table::open("tops"), changed: Map::default() }
    }

    fn put(rank: usize, bid: &Bid<'_>, out: &mut Out) {
        let rank = Number(rank as u64 + 1);
        out.update(
            &[Number(bid.auction), rank],
            &[
                ("auction", Number(bid.auction)),
                ("bidder", Number(bid.bidder)),
                ("price", Number(bid.price)),
                ("channel", Text(&bid.channel)),
                ("url", Text(&bid.url)),
                ("date_time", Number(bid.date_time)),
                ("extra", Text(&bid.extra)),
                ("rank_number", rank),
            ],
        );
    }
}

impl Query for TopBids {
    fn process(&mut self, events: &[Event<'_>], out: &mut Out) -> Result<(), Fault> {
        self.tops.load(bids(events).map(|(_, bid)| bid.auction))?;
        for (_, bid) in bids(events) {
            // Most bids are below ten others: they are not copied and change no row.
            let top = self.tops.get(&bid.auction).map_or(&[][..], Top::values);
            let rank = (bid.price, u64::MAX - bid.date_time, u64::MAX - bid.bidder);
            if top.len() == RANKS && top.last().is_some_and(|last| rank <= last.rank()) {
                continue;
            }
            let mut bytes = Vec::with_capacity(200);
            binary::put_bid(bid, &mut bytes);
            let ranked =
                Ranked { price: bid.price, time: bid.date_time, bidder: bid.bidder, bid: bytes.into() };
            if let Some(rank) = self.tops.row(&bid.auction).get_or_insert_default().offer(ranked) {
                let first = self.changed.entry(bid.auction).or_insert(rank);
                *first = rank.min(*first);
            }
        }
        for (auction, first) in self.changed.drain() {
            let top = self.tops.get(&auction).map_or(&[][..], Top::values);
            for (rank, ranked) in top.iter().enumerate().skip(first) {
                let bid = binary::bid(&ranked.bid)
                    .ok_or_else(|| Fault::Fatal("store `tops`: a bid is not readable".into()))?;
                Self::put(rank, &bid, out);
            }
        }
        self.tops.flush();
        Ok(())
    }
}

// === impl Ranked ===

impl Ranked {
    fn rank(&self) -> (u64, u64, u64) {
        (self.price, u64::MAX - self.time, u64::MAX - self.bidder)
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank()).then_with(|| self.bid.cmp(&other.bid))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Stored for Ranked {
    fn put(&self, to: &mut Vec<u8>) {
        self.bid.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let bytes = <Box<[u8]>>::take(from)?;
        let Bid { price, date_time: time, bidder, .. } = binary::bid(&bytes)?;
        Some(Self { price, time, bidder, bid: bytes })
    }
}
