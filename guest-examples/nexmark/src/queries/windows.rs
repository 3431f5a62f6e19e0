//! Queries over windows of time: q5 the auctions with the most bids of ten seconds, every two seconds; q7 the highest bids of
//! ten seconds; q8 who came and sold something within ten seconds; q11 bids of a user without a pause of ten seconds; q12 bids
//! of a user in ten seconds of the clock.

use std::ops::ControlFlow;
use std::time::Duration;

use millstream_sdk::Fault;
use millstream_sdk::timers::{self, Clock, Timer};
use millstream_sdk::toolbox::{Merge, Pair, Sessions, Stored, Windows};

use super::Query;
use crate::binary;
use crate::event::{Bid, Body, Event, Kind, bids};
use crate::output::{Number, Out, Text};

const TEN_SECONDS: Duration = Duration::from_secs(10);
/// Rows of a call; the rest of a window follows in the next one.
const ROWS_MAX: usize = 10_000;

fn go_on(out: &Out) -> ControlFlow<()> {
    if out.rows.len() < ROWS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// q5. By auction: bids.
pub(super) struct HotItems {
    counts: Windows<u64, u64>,
}

impl HotItems {
    pub(super) fn open() -> Result<Self, String> {
        Ok(Self { counts: Windows::hopping("counts", TEN_SECONDS, Duration::from_secs(2))? })
    }
}

impl Query for HotItems {
    fn process(&mut self, events: &[Event<'_>], _: &mut Out) -> Result<(), Fault> {
        self.counts.load(bids(events).map(|(event, bid)| (event.time, bid.auction)))?;
        for (event, bid) in bids(events) {
            *self.counts.at(event.time, &bid.auction) += 1;
        }
        self.counts.flush();
        Ok(())
    }

    fn on_timer(&mut self, due: &Timer, out: &mut Out) -> Result<(), Fault> {
        let mut most = 0;
        let mut hottest = Vec::new();
        let mut end = due.at;
        self.counts.fire(due, |window, auction, count| {
            end = window.end;
            if count > most {
                most = count;
                hottest.clear();
            }
            if count == most {
                hottest.push(*auction);
            }
            ControlFlow::Continue(())
        })?;
        for auction in hottest {
            out.result(end, &[("auction", Number(auction)), ("num", Number(most))]);
        }
        Ok(())
    }
}

/// q7. One row: the highest price and the bids of it. The query's windows include both their edges where it looks for
/// bids of the highest price, but not where it looks for that price.
pub(super) struct HighestBids {
    highest: Windows<(), Highest>,
}

/// The bids of a window that have its highest price, in their binary form.
#[derive(Debug, Default)]
struct Highest {
    price: Option<u64>,
    bids: Vec<Box<[u8]>>,
    /// bids in the moment in which the window ends, as high or higher so far
    after: Vec<(u64, Box<[u8]>)>,
}

impl HighestBids {
    pub(super) fn open() -> Result<Self, String> {
        // A millisecond later, for the bids in the moment in which it ends.
        let highest = Windows::tumbling("highest", TEN_SECONDS)?.delay(Duration::from_millis(1));
        Ok(Self { highest })
    }
}

impl Highest {
    fn offer(&mut self, bid: &Bid<'_>) {
        match self.price {
            Some(highest) if bid.price < highest => return,
            Some(highest) if bid.price == highest => {}
            _ => {
                self.price = Some(bid.price);
                self.bids.clear();
                self.after.retain(|(price, _)| *price >= bid.price);
            }
        }
        self.bids.push(stored(bid));
    }
}

impl Query for HighestBids {
    fn process(&mut self, events: &[Event<'_>], _: &mut Out) -> Result<(), Fault> {
        self.highest.load(bids(events).flat_map(|(event, _)| [(event.time, ()), (event.time - 1, ())]))?;
        for (event, bid) in bids(events) {
            self.highest.at(event.time, &()).offer(bid);
            if self.highest.pane(event.time - 1) == event.time {
                let before = self.highest.at(event.time - 1, &());
                if before.price.is_none_or(|highest| highest <= bid.price) {
                    before.after.push((bid.price, stored(bid)));
                }
            }
        }
        self.highest.flush();
        Ok(())
    }

    fn on_timer(&mut self, due: &Timer, out: &mut Out) -> Result<(), Fault> {
        let mut found = None;
        self.highest.fire(due, |window, (), highest| {
            found = Some((window.end, highest));
            ControlFlow::Continue(())
        })?;
        let Some((end, Highest { price: Some(price), bids, after })) = found else { return Ok(()) };
        let after = after.into_iter().filter(|(late, _)| *late == price).map(|(_, bid)| bid);
        for bid in bids.into_iter().chain(after) {
            let bid = binary::bid(&bid)
                .ok_or_else(|| Fault::Fatal("store `highest`: a bid is not readable".into()))?;
            out.result(
                end,
                &[
                    ("auction", Number(bid.auction)),
                    ("bidder", Number(bid.bidder)),
                    ("price", Number(bid.price)),
                    ("date_time", Number(bid.date_time)),
                    ("extra", Text(&bid.extra)),
                ],
            );
        }
        Ok(())
    }
}

impl Merge for Highest {
    fn merge(&mut self, other: Self) {
        if self.price < other.price {
            self.price = other.price;
            self.bids = other.bids;
        } else if self.price == other.price {
            self.bids.extend(other.bids);
        }
        self.after.extend(other.after);
    }
}

impl Stored for Highest {
    fn put(&self, to: &mut Vec<u8>) {
        self.price.put(to);
        self.bids.put(to);
        self.after.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let price = <Option<u64> as Stored>::take(from)?;
        Some(Self { price, bids: Vec::take(from)?, after: Vec::take(from)? })
    }
}

fn stored(bid: &Bid<'_>) -> Box<[u8]> {
    let mut bytes = Vec::new();
    binary::put_bid(bid, &mut bytes);
    bytes.into()
}

/// q8. By person: the name when they came in the window, and whether they sold something in it.
pub(super) struct NewSellers {
    sellers: Windows<u64, Pair<Box<[u8]>, ()>>,
}

impl NewSellers {
    pub(super) fn open() -> Result<Self, String> {
        Ok(Self { sellers: Windows::tumbling("sellers", TEN_SECONDS)? })
    }
}

impl Query for NewSellers {
    fn wants(&self) -> &'static [Kind] {
        &[Kind::Person, Kind::Auction]
    }

    fn process(&mut self, events: &[Event<'_>], _: &mut Out) -> Result<(), Fault> {
        let key = |event: &Event<'_>| match &event.body {
            Body::Person(person) => Some((event.time, person.id)),
            Body::Auction(auction) => Some((event.time, auction.seller)),
            Body::Bid(_) => None,
        };
        self.sellers.load(events.iter().filter_map(key))?;
        for event in events {
            let Some((time, person)) = key(event) else { continue };
            let pair = self.sellers.at(time, &person);
            match &event.body {
                Body::Person(person) => pair.left = Some((*person.name).into()),
                _ => pair.right = Some(()),
            }
        }
        self.sellers.flush();
        Ok(())
    }

    fn on_timer(&mut self, due: &Timer, out: &mut Out) -> Result<(), Fault> {
        self.sellers.fire(due, |window, id, pair| {
            if let Some((name, ())) = pair.both() {
                let start = Number(window.start.cast_unsigned());
                let fields = [("id", Number(*id)), ("name", Text(name)), ("start_time", start)];
                out.result(window.end, &fields);
            }
            go_on(out)
        })
    }
}

/// q11. By bidder: sessions with their number of bids.
pub(super) struct UserSessions {
    sessions: Sessions<u64, u64>,
}

impl UserSessions {
    pub(super) fn open() -> Self {
        Self { sessions: Sessions::open("sessions", TEN_SECONDS, Duration::from_secs(1)) }
    }
}

impl Query for UserSessions {
    fn process(&mut self, events: &[Event<'_>], _: &mut Out) -> Result<(), Fault> {
        self.sessions.load(bids(events).map(|(_, bid)| bid.bidder))?;
        for (event, bid) in bids(events) {
            self.sessions.add(event.time, &bid.bidder, 1);
        }
        self.sessions.flush();
        Ok(())
    }

    fn on_timer(&mut self, due: &Timer, out: &mut Out) -> Result<(), Fault> {
        self.sessions.fire(due, |bidder, session| {
            let window = session.window;
            out.result(
                window.end,
                &[
                    ("bidder", Number(*bidder)),
                    ("bid_count", Number(session.aggregate)),
                    ("start_time", Number(window.start.cast_unsigned())),
                    ("end_time", Number(window.end.cast_unsigned())),
                ],
            );
        })
    }
}

/// q12. By bidder: bids.
pub(super) struct UserCounts {
    counts: Windows<u64, u64>,
}

impl UserCounts {
    pub(super) fn open() -> Result<Self, String> {
        Ok(Self { counts: Windows::tumbling("counts", TEN_SECONDS)?.clock(Clock::Wall) })
    }
}

impl Query for UserCounts {
    fn process(&mut self, events: &[Event<'_>], _: &mut Out) -> Result<(), Fault> {
        let now = timers::now();
        self.counts.load(bids(events).map(|(_, bid)| (now, bid.bidder)))?;
        for (_, bid) in bids(events) {
            *self.counts.at(now, &bid.bidder) += 1;
        }
        self.counts.flush();
        Ok(())
    }

    fn on_timer(&mut self, due: &Timer, out: &mut Out) -> Result<(), Fault> {
        self.counts.fire(due, |window, bidder, count| {
            out.result(
                window.end,
                &[
                    ("bidder", Number(*bidder)),
                    ("bid_count", Number(count)),
                    ("start_time", Number(window.start.cast_unsigned())),
                    ("end_time", Number(window.end.cast_unsigned())),
                ],
            );
            go_on(out)
        })
    }
}
