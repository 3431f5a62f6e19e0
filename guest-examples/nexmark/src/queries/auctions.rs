//! Queries of an auction's winning bid, the highest one between its begin and its end: q4 averages their prices by category, q9
//! tells them with their auctions. Of equal prices the earlier bid wins, then that of the lower bidder. Events may come in
//! any order: bids wait for their auction.

use std::cmp::Reverse;

use millstream_sdk::Fault;
use millstream_sdk::toolbox::{Latest, Map, Stored, Table};

use super::Query;
use crate::binary;
use crate::event::{Auction, Bid, Body, Event, Kind};
use crate::output::{Number, Out, Text};

/// What decides about a bid, the best one greatest.
type Rank = (u64, Reverse<(u64, u64)>);

fn rank(bid: &Bid<'_>) -> Rank {
    (bid.price, Reverse((bid.date_time, bid.bidder)))
}

const WANTED: &[Kind] = &[Kind::Auction, Kind::Bid];

fn auction_of(event: &Event<'_>) -> Option<u64> {
    match &event.body {
        Body::Person(_) => None,
        Body::Auction(auction) => Some(auction.id),
        Body::Bid(bid) => Some(bid.auction),
    }
}

/// An auction as q4 sees it.
#[derive(Debug, Clone)]
struct Lot {
    category: u64,
    begins: u64,
    expires: u64,
    highest: Option<u64>,
}

/// Sum and number of winning prices.
type Total = (u64, u64);

/// q4. By auction: its lot, or time and price of bids that came before it. By category: the total.
pub(super) struct CategoryAverages {
    lots: Table<u64, Latest<Lot, (u64, u64)>>,
    totals: Table<u64, Total>,
    /// what the batch changes: by category, how much and how many more
    changes: Map<u64, Total>,
}

impl CategoryAverages {
    pub(super) fn open() -> Self {
        Self { lots: Table::open("lots"), totals: Table::open("totals"), changes: Map::default() }
    }
}

impl Lot {
    fn bid(&mut self, (time, price): (u64, u64), changes: &mut Map<u64, Total>) {
        let counts =
            (self.begins..=self.expires).contains(&time) && self.highest.is_none_or(|old| old < price);
        if !counts {
            return;
        }
        let change = changes.entry(self.category).or_default();
        change.0 += price - self.highest.unwrap_or(0);
        change.1 += u64::from(self.highest.is_none());
        self.highest = Some(price);
    }
}

impl Query for CategoryAverages {
    fn wants(&self) -> &'static [Kind] {
        WANTED
    }

    fn process(&mut self, events: &[Event<'_>], out: &mut Out) -> Result<(), Fault> {
        self.lots.load(events.iter().filter_map(auction_of))?;
        for event in events {
            match &event.body {
                Body::Person(_) => {}
                Body::Auction(Auction { id, category, date_time, expires, .. }) => {
                    let lot =
                        Lot { category: *category, begins: *date_time, expires: *expires, highest: None };
                    let row = self.lots.row(id).get_or_insert_default();
                    let waiting = row.update(lot);
                    if let Latest::Row(lot) = row {
                        waiting.into_iter().for_each(|bid| lot.bid(bid, &mut self.changes));
                    }
                }
                Body::Bid(bid) => {
                    // A row is written only when the bid means a change.
                    if let Some(Latest::Row(lot)) = self.lots.get(&bid.auction)
                        && lot.highest.is_some_and(|highest| bid.price <= highest)
                    {
                        continue;
                    }
                    match self.lots.row(&bid.auction).get_or_insert_default() {
                        Latest::Row(lot) => lot.bid((bid.date_time, bid.price), &mut self.changes),
                        Latest::Waiting(bids) => bids.push((bid.date_time, bid.price)),
                    }
                }
            }
        }
        self.lots.flush();

        self.totals.load(self.changes.keys().copied())?;
        for (category, (more, new)) in self.changes.drain() {
            let (sum, count) = self.totals.row(&category).get_or_insert_default();
            *sum += more;
            *count += new;
            out.update(&[Number(category)], &[("id", Number(category)), ("final", Number(*sum / *count))]);
        }
        self.totals.flush();
        Ok(())
    }
}

impl Stored for Lot {
    fn put(&self, to: &mut Vec<u8>) {
        (self.category, self.begins, self.expires, self.highest).put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let (category, begins, expires, highest) = <(u64, u64, u64, Option<u64>)>::take(from)?;
        Some(Self { category, begins, expires, highest })
    }
}

/// q9. By auction: the auction, and apart from it its best bid so far, or the bids that came before it; events in their
/// binary form.
pub(super) struct WinningBids {
    auctions: Table<u64, Box<[u8]>>,
    bids: Table<u64, Bids>,
}

/// Bids of an auction in their binary form: the best one, or all while the auction has not come.
type Bids = Vec<Box<[u8]>>;

impl WinningBids {
    pub(super) fn open() -> Self {
        Self { auctions: Table::open("auctions"), bids: Table::open("bids") }
    }

    fn put(auction: &Auction<'_>, bid: &Bid<'_>, out: &mut Out) {
        out.update(
            &[Number(auction.id)],
            &[
                ("id", Number(auction.id)),
                ("item_name", Text(&auction.item_name)),
                ("description", Text(&auction.description)),
                ("initial_bid", Number(auction.initial_bid)),
                ("reserve", Number(auction.reserve)),
                ("date_time", Number(auction.date_time)),
                ("expires", Number(auction.expires)),
                ("seller", Number(auction.seller)),
                ("category", Number(auction.category)),
                ("extra", Text(&auction.extra)),
                ("auction", Number(bid.auction)),
                ("bidder", Number(bid.bidder)),
                ("price", Number(bid.price)),
                ("bid_date_time", Number(bid.date_time)),
                ("bid_extra", Text(&bid.extra)),
            ],
        );
    }

    /// Whether a bid is on time, and better than the best so far.
    fn wins(auction: &Auction<'_>, best: Option<&Bid<'_>>, bid: &Bid<'_>) -> bool {
        let is_on_time = (auction.date_time..=auction.expires).contains(&bid.date_time);
        is_on_time && best.is_none_or(|best| rank(best) < rank(bid))
    }

    fn auction(&mut self, auction: &Auction<'_>) -> Result<(), Fault> {
        let mut row = Vec::new();
        binary::put_auction(auction, &mut row);
        *self.auctions.row(&auction.id) = Some(row.into());
        let Some(waiting) = self.bids.get(&auction.id) else { return Ok(()) };
        let mut best: Option<Bid<'_>> = None;
        for bid in waiting {
            let bid = binary::bid(bid).ok_or_else(unreadable)?;
            if Self::wins(auction, best.as_ref(), &bid) {
                best = Some(bid);
            }
        }
        let best = best.map(|bid| vec![stored(&bid)]);
        *self.bids.row(&auction.id) = best;
        Ok(())
    }

    fn bid(&mut self, bid: &Bid<'_>) -> Result<(), Fault> {
        match self.auctions.get(&bid.auction) {
            None => self.bids.row(&bid.auction).get_or_insert_default().push(stored(bid)),
            Some(auction) => {
                let auction = binary::auction(auction).ok_or_else(unreadable)?;
                let best = self.bids.get(&bid.auction).and_then(|best| best.first());
                let best = best.map(|best| binary::bid(best).ok_or_else(unreadable)).transpose()?;
                if Self::wins(&auction, best.as_ref(), bid) {
                    *self.bids.row(&bid.auction) = Some(vec![stored(bid)]);
                }
            }
        }
        Ok(())
    }
}

impl Query for WinningBids {
    fn wants(&self) -> &'static [Kind] {
        WANTED
    }

    fn process(&mut self, events: &[Event<'_>], out: &mut Out) -> Result<(), Fault> {
        let auctions = events.iter().filter_map(auction_of);
        self.auctions.load(auctions.clone())?;
        self.bids.load(auctions)?;
        for event in events {
            match &event.body {
                Body::Person(_) => {}
                Body::Auction(auction) => self.auction(auction)?,
                Body::Bid(bid) => self.bid(bid)?,
            }
        }
        for (id, best) in self.bids.changed() {
            let Some((auction, best)) = self.auctions.get(id).zip(best.and_then(|best| best.first())) else {
                continue;
            };
            let (auction, best) = binary::auction(auction).zip(binary::bid(best)).ok_or_else(unreadable)?;
            Self::put(&auction, &best, out);
        }
        self.auctions.flush();
        self.bids.flush();
        Ok(())
    }
}

fn stored(bid: &Bid<'_>) -> Box<[u8]> {
    let mut bytes = Vec::new();
    binary::put_bid(bid, &mut bytes);
    bytes.into()
}

fn unreadable() -> Fault {
    Fault::Fatal("stores `auctions` and `bids`: an event is not readable".into())
}
