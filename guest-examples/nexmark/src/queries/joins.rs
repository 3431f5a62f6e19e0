//! Joins of what is told once: q3 finds sellers of a category in three states, q20 adds the auction of a category to its bids.
//! Events may come in any order; what comes before its partner waits for it.

use millstream_sdk::Fault;
use millstream_sdk::toolbox::{Latest, Table};

use super::Query;
use crate::binary;
use crate::event::{Auction, Bid, Body, Event, Kind};
use crate::output::{Number, Out, Text};

/// The category that both look at.
const CATEGORY: u64 = 10;

/// q3. By person: name, city and state, or none when the state is another, and the auctions that came before them.
pub(super) struct LocalItems {
    persons: Table<u64, Latest<Option<Seller>, u64>>,
}

type Seller = (Box<[u8]>, Box<[u8]>, Box<[u8]>);

impl LocalItems {
    pub(super) fn open() -> Self {
        Self { persons: Table::open("persons") }
    }

    fn put(index: usize, (name, city, state): &Seller, auction: u64, out: &mut Out) {
        let fields =
            [("name", Text(name)), ("city", Text(city)), ("state", Text(state)), ("id", Number(auction))];
        out.append(index, &fields);
    }
}

impl Query for LocalItems {
    fn wants(&self) -> &'static [Kind] {
        &[Kind::Person, Kind::Auction]
    }

    fn process(&mut self, events: &[Event<'_>], out: &mut Out) -> Result<(), Fault> {
        let key = |event: &Event<'_>| match &event.body {
            Body::Person(person) => Some(person.id),
            Body::Auction(auction) if auction.category == CATEGORY => Some(auction.seller),
            _ => None,
        };
        self.persons.load(events.iter().filter_map(key))?;
        for event in events {
            let Some(key) = key(event) else { continue };
            match &event.body {
                Body::Person(person) => {
                    let is_local =
                        [&b"or"[..], b"id", b"ca"].iter().any(|s| person.state.eq_ignore_ascii_case(s));
                    let text = |text: &[u8]| text.into();
                    let seller: Option<Seller> =
                        is_local.then(|| (text(&person.name), text(&person.city), text(&person.state)));
                    let waiting = self.persons.row(&key).get_or_insert_default().update(seller.clone());
                    if let Some(seller) = seller {
                        waiting.iter().for_each(|auction| Self::put(event.index, &seller, *auction, out));
                    }
                }
                Body::Auction(auction) => match self.persons.get(&key) {
                    Some(Latest::Row(Some(seller))) => Self::put(event.index, seller, auction.id, out),
                    Some(Latest::Row(None)) => {}
                    _ => drop(self.persons.row(&key).get_or_insert_default().find(|| auction.id)),
                },
                Body::Bid(_) => {}
            }
        }
        self.persons.flush();
        Ok(())
    }
}

/// q20. By auction: the auction in its binary form, or none when its category is another, and the bids that came before it.
pub(super) struct BidsWithAuctions {
    auctions: Table<u64, Latest<Option<Stored>, Stored>>,
}

/// An event in its binary form.
type Stored = Box<[u8]>;

impl BidsWithAuctions {
    pub(super) fn open() -> Self {
        Self { auctions: Table::open("auctions") }
    }

    fn put(index: usize, bid: &Bid<'_>, auction: &Auction<'_>, out: &mut Out) {
        out.append(
            index,
            &[
                ("auction", Number(bid.auction)),
                ("bidder", Number(bid.bidder)),
                ("price", Number(bid.price)),
                ("channel", Text(&bid.channel)),
                ("url", Text(&bid.url)),
                ("bid_date_time", Number(bid.date_time)),
                ("bid_extra", Text(&bid.extra)),
                ("item_name", Text(&auction.item_name)),
                ("description", Text(&auction.description)),
                ("initial_bid", Number(auction.initial_bid)),
                ("reserve", Number(auction.reserve)),
                ("auction_date_time", Number(auction.date_time)),
                ("expires", Number(auction.expires)),
                ("seller", Number(auction.seller)),
                ("category", Number(auction.category)),
                ("auction_extra", Text(&auction.extra)),
            ],
        );
    }
}

impl Query for BidsWithAuctions {
    fn wants(&self) -> &'static [Kind] {
        &[Kind::Auction, Kind::Bid]
    }

    fn process(&mut self, events: &[Event<'_>], out: &mut Out) -> Result<(), Fault> {
        let key = |event: &Event<'_>| match &event.body {
            Body::Person(_) => None,
            Body::Auction(auction) => Some(auction.id),
            Body::Bid(bid) => Some(bid.auction),
        };
        self.auctions.load(events.iter().filter_map(key))?;
        for event in events {
            match &event.body {
                Body::Person(_) => {}
                Body::Auction(auction) => {
                    let row = (auction.category == CATEGORY).then(|| {
                        let mut row = Vec::new();
                        binary::put_auction(auction, &mut row);
                        row.into_boxed_slice()
                    });
                    let is_wanted = row.is_some();
                    let waiting = self.auctions.row(&auction.id).get_or_insert_default().update(row);
                    for bid in waiting.iter().filter(|_| is_wanted) {
                        let bid = binary::bid(bid).ok_or_else(unreadable)?;
                        Self::put(event.index, &bid, auction, out);
                    }
                }
                Body::Bid(bid) => match self.auctions.get(&bid.auction) {
                    Some(Latest::Row(Some(auction))) => {
                        let auction = binary::auction(auction).ok_or_else(unreadable)?;
                        Self::put(event.index, bid, &auction, out);
                    }
                    Some(Latest::Row(None)) => {}
                    _ => {
                        let mut waiting = Vec::new();
                        binary::put_bid(bid, &mut waiting);
                        let row = self.auctions.row(&bid.auction).get_or_insert_default();
                        row.find(|| waiting.into());
                    }
                },
            }
        }
        self.auctions.flush();
        Ok(())
    }
}

fn unreadable() -> Fault {
    Fault::Fatal("store `auctions`: an event is not readable".into())
}
