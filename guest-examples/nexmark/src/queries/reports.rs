//! Statistics by day: q15 over all bids, q16 by channel, q17 by auction. Prices fall into three ranks, and bidders and
//! auctions are counted exactly, once for all of their bids and once in each rank.

use millstream_sdk::Fault;
use millstream_sdk::toolbox::{Distinct, Stored, Table};

use super::Query;
use crate::event::{Bid, Event, bids};
use crate::output::{Field, Number, Out, Text};

const DAY: u64 = 86_400_000;

/// The rank of a price, from 1.
fn rank(price: u64) -> usize {
    match price {
        0..10_000 => 1,
        10_000..1_000_000 => 2,
        _ => 3,
    }
}

/// What a bid adds to: all, and its rank.
fn aspects(bid: &Bid<'_>) -> u8 {
    1 | 1 << rank(bid.price)
}

/// How many bids, bidders and auctions, each in all and by rank.
#[derive(Debug, Clone, Default)]
struct Counts {
    counts: [u64; 12],
    /// the last minute of the day with a bid
    minute: u64,
}

/// A kind of thing that is counted once.
const BIDDER: u8 = 1;
const AUCTION: u8 = 2;

impl Counts {
    /// Adds one to each count of a kind whose bit is set.
    fn add(&mut self, kind: u8, aspects: u8) {
        let counts = self.counts.iter_mut().skip(usize::from(kind) * 4).take(4);
        for (aspect, count) in counts.enumerate() {
            *count += u64::from(aspects >> aspect & 1);
        }
    }

    fn fields(&self) -> [(&'static str, Field<'static>); 12] {
        const NAMES: [&str; 12] = [
            "total_bids",
            "rank1_bids",
            "rank2_bids",
            "rank3_bids",
            "total_bidders",
            "rank1_bidders",
            "rank2_bidders",
            "rank3_bidders",
            "total_auctions",
            "rank1_auctions",
            "rank2_auctions",
            "rank3_auctions",
        ];
        std::array::from_fn(|n| (NAMES[n], Number(self.counts[n])))
    }
}

impl Stored for Counts {
    fn put(&self, to: &mut Vec<u8>) {
        self.counts.iter().for_each(|count| count.put(to));
        self.minute.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let mut taken = Self::default();
        for count in &mut taken.counts {
            *count = u64::take(from)?;
        }
        taken.minute = u64::take(from)?;
        Some(taken)
    }
}

/// q15. By day: counts, and who and what has been seen.
pub(super) struct Days {
    days: Table<u64, Counts>,
    seen: Distinct<u64, (u8, u64)>,
}

impl Days {
    pub(super) fn open() -> Self {
        Self { days: Table::open("days"), seen: Distinct::open("seen") }
    }
}

impl Query for Days {
    fn process(&mut self, events: &[Event<'_>], out: &mut Out) -> Result<(), Fault> {
        let items = |bid: &Bid<'_>| {
            let day = bid.date_time / DAY;
            [(day, (BIDDER, bid.bidder)), (day, (AUCTION, bid.auction))]
        };
        self.days.load(bids(events).map(|(_, bid)| bid.date_time / DAY))?;
        self.seen.load(bids(events).flat_map(|(_, bid)| items(bid)))?;
        for (_, bid) in bids(events) {
            let counts = self.days.row(&(bid.date_time / DAY)).get_or_insert_default();
            counts.add(0, aspects(bid));
            for item in items(bid) {
                counts.add(item.1.0, self.seen.see(&item, aspects(bid)));
            }
        }
        for (day, counts) in self.days.changed() {
            let Some(counts) = counts else { continue };
            let date = date(*day);
            let mut fields = vec![("day", Text(&date))];
            fields.extend(counts.fields());
            out.update(&[Text(&date)], &fields);
        }
        self.days.flush();
        self.seen.flush();
        Ok(())
    }
}

/// q16. By channel and day: counts, and who and what has been seen.
pub(super) struct Channels {
    channels: Table<Channel, Counts>,
    seen: Distinct<Channel, (u8, u64)>,
}

type Channel = (u64, Box<[u8]>);

impl Channels {
    pub(super) fn open() -> Self {
        Self { channels: Table::open("channels"), seen: Distinct::open("seen") }
    }
}

impl Query for Channels {
    fn process(&mut self, events: &[Event<'_>], out: &mut Out) -> Result<(), Fault> {
        let channel = |bid: &Bid<'_>| -> Channel { (bid.date_time / DAY, (*bid.channel).into()) };
        let items = |bid: &Bid<'_>| {
            let channel = channel(bid);
            [(channel.clone(), (BIDDER, bid.bidder)), (channel, (AUCTION, bid.auction))]
        };
        self.channels.load(bids(events).map(|(_, bid)| channel(bid)))?;
        self.seen.load(bids(events).flat_map(|(_, bid)| items(bid)))?;
        for (_, bid) in bids(events) {
            let items = items(bid);
            let counts = self.channels.row(&items[0].0).get_or_insert_default();
            counts.add(0, aspects(bid));
            counts.minute = counts.minute.max(bid.date_time % DAY / 60_000);
            for item in items {
                counts.add(item.1.0, self.seen.see(&item, aspects(bid)));
            }
        }
        for ((day, channel), counts) in self.channels.changed() {
            let Some(counts) = counts else { continue };
            let (date, minute) = (date(*day), format!("{:02}:{:02}", counts.minute / 60, counts.minute % 60));
            let mut fields =
                vec![("channel", Text(channel)), ("day", Text(&date)), ("minute", Text(minute.as_bytes()))];
            fields.extend(counts.fields());
            out.update(&[Text(channel), Text(&date)], &fields);
        }
        self.channels.flush();
        self.seen.flush();
        Ok(())
    }
}

/// q17. By day and auction: prices.
pub(super) struct Auctions {
    prices: Table<(u64, u64), Prices>,
}

/// The prices of a day.
#[derive(Debug, Clone, Default)]
struct Prices {
    bids: u64,
    ranks: [u64; 3],
    least: u64,
    most: u64,
    sum: u64,
}

impl Auctions {
    pub(super) fn open() -> Self {
        Self { prices: Table::open("prices") }
    }
}

impl Query for Auctions {
    fn process(&mut self, events: &[Event<'_>], out: &mut Out) -> Result<(), Fault> {
        let key = |bid: &Bid<'_>| (bid.date_time / DAY, bid.auction);
        self.prices.load(bids(events).map(|(_, bid)| key(bid)))?;
        for (_, bid) in bids(events) {
            self.prices.row(&key(bid)).get_or_insert_default().add(bid.price);
        }
        for ((day, auction), prices) in self.prices.changed() {
            let Some(prices) = prices else { continue };
            let date = date(*day);
            out.update(
                &[Number(*auction), Text(&date)],
                &[
                    ("auction", Number(*auction)),
                    ("day", Text(&date)),
                    ("total_bids", Number(prices.bids)),
                    ("rank1_bids", Number(prices.ranks[0])),
                    ("rank2_bids", Number(prices.ranks[1])),
                    ("rank3_bids", Number(prices.ranks[2])),
                    ("min_price", Number(prices.least)),
                    ("max_price", Number(prices.most)),
                    ("avg_price", Number(prices.sum / prices.bids.max(1))),
                    ("sum_price", Number(prices.sum)),
                ],
            );
        }
        self.prices.flush();
        Ok(())
    }
}

impl Prices {
    fn add(&mut self, price: u64) {
        self.least = if self.bids == 0 { price } else { self.least.min(price) };
        self.most = self.most.max(price);
        self.bids += 1;
        self.ranks[rank(price) - 1] += 1;
        self.sum += price;
    }
}

impl Stored for Prices {
    fn put(&self, to: &mut Vec<u8>) {
        let [first, second, third] = self.ranks;
        [self.bids, first, second, third, self.least, self.most, self.sum].iter().for_each(|n| n.put(to));
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let mut next = || u64::take(from);
        let bids = next()?;
        Some(Self { bids, ranks: [next()?, next()?, next()?], least: next()?, most: next()?, sum: next()? })
    }
}

/// A day since 1970-01-01 as `yyyy-MM-dd`.
fn date(day: u64) -> Vec<u8> {
    // Years of 400 have 146,097 days, in which the leap years repeat; the year is counted from March, so that its leap day
    // is the last one.
    let days = day + 719_468;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{date:02}", year + days / 146_097 * 400 + next).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        for (day, text) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_453, "2025-12-31"),
            (20_454, "2026-01-01"),
        ] {
            assert_eq!(date(day), text.as_bytes());
        }
    }
}
