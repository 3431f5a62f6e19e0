//! What the queries come to, computed over all events at once: plain loops over plain maps, without anything of the code
//! under test. It follows the SQL of the Nexmark benchmark; where that leaves an order open, the queries' rules hold. The
//! result is one sorted line of JSON per row.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use nexmark_generator::EventGenerator;
use nexmark_generator::config::{NexmarkConfig, RateShape};
use nexmark_generator::event::{Auction, Bid, Event, Person};
use serde_json::{Value, json};

/// Queries whose results change: the last row of each key counts.
pub(super) const CHANGING: [&str; 7] = ["q4", "q9", "q15", "q16", "q17", "q18", "q19"];

/// All queries that have one answer; q12 goes by the clock.
pub(super) const ALL: [&str; 19] = [
    "q0", "q1", "q2", "q3", "q4", "q5", "q7", "q8", "q9", "q11", "q14", "q15", "q16", "q17", "q18", "q19",
    "q20", "q21", "q22",
];

/// Queries that have the same answer over many partitions, once the events are handed on by key.
pub(super) const KEYED: [&str; 9] = ["q3", "q8", "q9", "q11", "q16", "q17", "q18", "q19", "q20"];

/// The first events of the generator, of an evening, at this many a second.
pub(super) fn events(count: usize, per_second: usize) -> Vec<Event> {
    let config = NexmarkConfig {
        // 2026-01-01T23:59:40Z: midnight comes early in any run.
        base_time: 1_767_311_980_000,
        first_rate: per_second,
        next_rate: per_second,
        rate_shape: RateShape::Square,
        ..NexmarkConfig::default()
    };
    EventGenerator::new(config).take(count).collect()
}

/// The same events, none of them later than another by `within` milliseconds or more that comes after it.
pub(super) fn shuffled(mut events: Vec<Event>, within: u64, seed: u64) -> Vec<Event> {
    let mut random = seed | 1;
    let mut delay = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % within
    };
    events.sort_by_cached_key(|event| event.timestamp() + delay());
    events
}

/// The rows of a query.
pub(super) fn expected(query: &str, events: &[Event]) -> Vec<String> {
    let mut persons: Vec<&Person> = Vec::new();
    let mut auctions: Vec<&Auction> = Vec::new();
    let mut bids: Vec<&Bid> = Vec::new();
    for event in events {
        match event {
            Event::Person(person) => persons.push(person),
            Event::Auction(auction) => auctions.push(auction),
            Event::Bid(bid) => bids.push(bid),
        }
    }
    let rows = match query {
        "q0" => bids.iter().map(|b| q0(b)).collect(),
        "q1" => bids.iter().map(|b| q1(b)).collect(),
        "q2" => {
            let wanted = bids.iter().filter(|b| b.auction % 123 == 0);
            wanted.map(|b| json!({ "auction": b.auction, "price": b.price })).collect()
        }
        "q3" => q3(&persons, &auctions),
        "q4" => q4(&auctions, &bids),
        "q5" => q5(&bids),
        "q7" => q7(&bids),
        "q8" => q8(&persons, &auctions),
        "q9" => q9(&auctions, &bids),
        "q11" => q11(&bids),
        "q14" => bids.iter().filter_map(|b| q14(b)).collect(),
        "q15" => reports(&bids, |bid| (String::new(), day(bid))),
        "q16" => reports(&bids, |bid| (bid.channel.clone(), day(bid))),
        "q17" => q17(&bids),
        "q18" => q18(&bids),
        "q19" => q19(&bids),
        "q20" => q20(&auctions, &bids),
        "q21" => bids.iter().filter_map(|b| q21(b)).collect(),
        "q22" => bids.iter().map(|b| q22(b)).collect(),
        other => panic!("no query {other}"),
    };
    let mut lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    lines.sort();
    lines
}

/// What came out, in the form of `expected`: a key and a value of each row, in their order.
pub(super) fn canonical(query: &str, rows: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let line = |value: &str| serde_json::from_str::<Value>(value).expect("a row is JSON").to_string();
    let mut lines: Vec<String> = if CHANGING.contains(&query) {
        let last: BTreeMap<String, String> = rows.into_iter().collect();
        last.values().map(|value| line(value)).collect()
    } else {
        rows.into_iter().map(|(_, value)| line(&value)).collect()
    };
    lines.sort();
    lines
}

fn q0(bid: &Bid) -> Value {
    let Bid { auction, bidder, price, date_time, extra, .. } = bid;
    json!({ "auction": auction, "bidder": bidder, "price": price, "date_time": date_time, "extra": extra })
}

/// A price of 0.908 of the original one, with three decimals.
fn euros(price: usize) -> Value {
    let text = format!("{}.{:03}", price * 908 / 1000, price * 908 % 1000);
    serde_json::from_str(&text).expect("a number")
}

fn q1(bid: &Bid) -> Value {
    let mut row = q0(bid);
    row["price"] = euros(bid.price);
    row
}

fn q3(persons: &[&Person], auctions: &[&Auction]) -> Vec<Value> {
    let mut rows = Vec::new();
    let by_id: BTreeMap<usize, &Person> = persons.iter().map(|person| (person.id, *person)).collect();
    for auction in auctions.iter().filter(|auction| auction.category == 10) {
        if let Some(person) = by_id.get(&auction.seller)
            && ["or", "id", "ca"].contains(&person.state.as_str())
        {
            let Person { name, city, state, .. } = person;
            rows.push(json!({ "name": name, "city": city, "state": state, "id": auction.id }));
        }
    }
    rows
}

/// Bids of an auction while it was open.
fn on_time<'a>(auction: &Auction, bids: &'a BTreeMap<usize, Vec<&'a Bid>>) -> impl Iterator<Item = &'a Bid> {
    let open = auction.date_time..=auction.expires;
    let bids = bids.get(&auction.id).map_or(&[][..], Vec::as_slice);
    bids.iter().copied().filter(move |bid| open.contains(&bid.date_time))
}

fn by_auction<'a>(bids: &[&'a Bid]) -> BTreeMap<usize, Vec<&'a Bid>> {
    let mut map: BTreeMap<usize, Vec<&Bid>> = BTreeMap::new();
    bids.iter().for_each(|bid| map.entry(bid.auction).or_default().push(bid));
    map
}

fn q4(auctions: &[&Auction], bids: &[&Bid]) -> Vec<Value> {
    let bids = by_auction(bids);
    let mut prices: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for auction in auctions {
        if let Some(price) = on_time(auction, &bids).map(|bid| bid.price).max() {
            prices.entry(auction.category).or_default().push(price);
        }
    }
    let average = |prices: &[usize]| prices.iter().sum::<usize>() / prices.len();
    prices.iter().map(|(id, prices)| json!({ "id": id, "final": average(prices) })).collect()
}

fn q5(bids: &[&Bid]) -> Vec<Value> {
    let mut windows: BTreeMap<u64, BTreeMap<usize, u64>> = BTreeMap::new();
    for bid in bids {
        let last = bid.date_time / 2_000 * 2_000;
        for start in (0..5).map(|n| last - n * 2_000) {
            *windows.entry(start).or_default().entry(bid.auction).or_default() += 1;
        }
    }
    let mut rows = Vec::new();
    for counts in windows.values() {
        let most = counts.values().max().expect("a window has a bid");
        let hottest = counts.iter().filter(|(_, count)| *count == most);
        rows.extend(hottest.map(|(auction, count)| json!({ "auction": auction, "num": count })));
    }
    rows
}

fn q7(bids: &[&Bid]) -> Vec<Value> {
    let mut highest: BTreeMap<u64, usize> = BTreeMap::new();
    for bid in bids {
        let end = (bid.date_time / 10_000 + 1) * 10_000;
        let price = highest.entry(end).or_default();
        *price = bid.price.max(*price);
    }
    let mut rows = Vec::new();
    for (end, price) in highest {
        let fits = |bid: &&&Bid| bid.price == price && (end - 10_000..=end).contains(&bid.date_time);
        rows.extend(bids.iter().filter(fits).map(|bid| q0(bid)));
    }
    rows
}

fn q8(persons: &[&Person], auctions: &[&Auction]) -> Vec<Value> {
    let window = |time: u64| time / 10_000 * 10_000;
    let sellers: BTreeSet<_> = auctions.iter().map(|a| (a.seller, window(a.date_time))).collect();
    let sold = |person: &&&Person| sellers.contains(&(person.id, window(person.date_time)));
    let row = |person: &&Person| json!({ "id": person.id, "name": person.name, "start_time": window(person.date_time) });
    persons.iter().filter(sold).map(row).collect()
}

fn q9(auctions: &[&Auction], bids: &[&Bid]) -> Vec<Value> {
    let bids = by_auction(bids);
    let mut rows = Vec::new();
    for auction in auctions {
        let best = on_time(auction, &bids).max_by_key(|b| (b.price, Reverse((b.date_time, b.bidder))));
        let Some(bid) = best else { continue };
        rows.push(json!({
            "id": auction.id,
            "item_name": auction.item_name,
            "description": auction.description,
            "initial_bid": auction.initial_bid,
            "reserve": auction.reserve,
            "date_time": auction.date_time,
            "expires": auction.expires,
            "seller": auction.seller,
            "category": auction.category,
            "extra": auction.extra,
            "auction": bid.auction,
            "bidder": bid.bidder,
            "price": bid.price,
            "bid_date_time": bid.date_time,
            "bid_extra": bid.extra,
        }));
    }
    rows
}

fn q11(bids: &[&Bid]) -> Vec<Value> {
    let mut times: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    bids.iter().for_each(|bid| times.entry(bid.bidder).or_default().push(bid.date_time));
    let mut rows = Vec::new();
    for (bidder, mut times) in times {
        times.sort_unstable();
        for session in times.chunk_by(|one, next| next - one < 10_000) {
            rows.push(json!({
                "bidder": bidder,
                "bid_count": session.len(),
                "start_time": session[0],
                "end_time": session[session.len() - 1] + 10_000,
            }));
        }
    }
    rows
}

fn q14(bid: &Bid) -> Option<Value> {
    let thousandths = bid.price * 908;
    if thousandths <= 1_000_000_000 || thousandths >= 50_000_000_000 {
        return None;
    }
    let hour = bid.date_time / 3_600_000 % 24;
    let time = if (8..=18).contains(&hour) {
        "dayTime"
    } else if hour <= 6 || hour >= 20 {
        "nightTime"
    } else {
        "otherTime"
    };
    let mut row = q1(bid);
    row["bid_time_type"] = time.into();
    row["c_counts"] = bid.extra.matches('c').count().into();
    Some(row)
}

/// Only the two days on which the events of these tests lie.
fn day(bid: &Bid) -> String {
    match bid.date_time / 86_400_000 {
        20_454 => "2026-01-01".into(),
        20_455 => "2026-01-02".into(),
        other => panic!("an event of day {other}"),
    }
}

fn rank(bid: &Bid) -> usize {
    if bid.price < 10_000 {
        1
    } else if bid.price < 1_000_000 {
        2
    } else {
        3
    }
}

fn reports(bids: &[&Bid], group: impl Fn(&Bid) -> (String, String)) -> Vec<Value> {
    let mut groups: BTreeMap<(String, String), Vec<&Bid>> = BTreeMap::new();
    bids.iter().for_each(|bid| groups.entry(group(bid)).or_default().push(bid));
    let mut rows = Vec::new();
    for ((channel, day), bids) in groups {
        let mut row = json!({ "day": day });
        if !channel.is_empty() {
            let minute = bids.iter().map(|bid| bid.date_time / 60_000 % 1_440).max().expect("a bid");
            row["channel"] = channel.into();
            row["minute"] = format!("{:02}:{:02}", minute / 60, minute % 60).into();
        }
        for (name, wanted) in [("total", 0), ("rank1", 1), ("rank2", 2), ("rank3", 3)] {
            let bids: Vec<_> = bids.iter().filter(|bid| wanted == 0 || rank(bid) == wanted).collect();
            let bidders: BTreeSet<_> = bids.iter().map(|bid| bid.bidder).collect();
            let auctions: BTreeSet<_> = bids.iter().map(|bid| bid.auction).collect();
            row[format!("{name}_bids")] = bids.len().into();
            row[format!("{name}_bidders")] = bidders.len().into();
            row[format!("{name}_auctions")] = auctions.len().into();
        }
        rows.push(row);
    }
    rows
}

fn q17(bids: &[&Bid]) -> Vec<Value> {
    let mut groups: BTreeMap<(usize, String), Vec<&Bid>> = BTreeMap::new();
    bids.iter().for_each(|bid| groups.entry((bid.auction, day(bid))).or_default().push(bid));
    let row = |((auction, day), bids): (&(usize, String), &Vec<&Bid>)| {
        let of = |wanted| bids.iter().filter(|bid| rank(bid) == wanted).count();
        let prices: Vec<usize> = bids.iter().map(|bid| bid.price).collect();
        let sum: usize = prices.iter().sum();
        json!({
            "auction": auction,
            "day": day,
            "total_bids": prices.len(),
            "rank1_bids": of(1),
            "rank2_bids": of(2),
            "rank3_bids": of(3),
            "min_price": prices.iter().min(),
            "max_price": prices.iter().max(),
            "avg_price": sum / prices.len(),
            "sum_price": sum,
        })
    };
    groups.iter().map(row).collect()
}

fn whole(bid: &Bid) -> Value {
    serde_json::to_value(bid).expect("a bid is JSON")
}

fn q18(bids: &[&Bid]) -> Vec<Value> {
    let mut last: BTreeMap<(usize, usize), &Bid> = BTreeMap::new();
    for bid in bids {
        let kept = last.entry((bid.bidder, bid.auction)).or_insert(bid);
        if (kept.date_time, kept.price) < (bid.date_time, bid.price) {
            *kept = bid;
        }
    }
    last.values().map(|bid| whole(bid)).collect()
}

fn q19(bids: &[&Bid]) -> Vec<Value> {
    let mut rows = Vec::new();
    for mut bids in by_auction(bids).into_values() {
        bids.sort_by_key(|bid| (Reverse(bid.price), bid.date_time, bid.bidder));
        for (place, bid) in bids.iter().take(10).enumerate() {
            let mut row = whole(bid);
            row["rank_number"] = (place + 1).into();
            rows.push(row);
        }
    }
    rows
}

fn q20(auctions: &[&Auction], bids: &[&Bid]) -> Vec<Value> {
    let by_id: BTreeMap<usize, &Auction> = auctions.iter().map(|auction| (auction.id, *auction)).collect();
    let mut rows = Vec::new();
    for bid in bids {
        let Some(auction) = by_id.get(&bid.auction).filter(|auction| auction.category == 10) else {
            continue;
        };
        rows.push(json!({
            "auction": bid.auction,
            "bidder": bid.bidder,
            "price": bid.price,
            "channel": bid.channel,
            "url": bid.url,
            "bid_date_time": bid.date_time,
            "bid_extra": bid.extra,
            "item_name": auction.item_name,
            "description": auction.description,
            "initial_bid": auction.initial_bid,
            "reserve": auction.reserve,
            "auction_date_time": auction.date_time,
            "expires": auction.expires,
            "seller": auction.seller,
            "category": auction.category,
            "auction_extra": auction.extra,
        }));
    }
    rows
}

fn q21(bid: &Bid) -> Option<Value> {
    let id = match bid.channel.to_lowercase().as_str() {
        "apple" => "0",
        "google" => "1",
        "facebook" => "2",
        "baidu" => "3",
        _ => {
            let (_, behind) = bid.url.split_once("&channel_id=")?;
            behind.split('&').next()?
        }
    };
    let Bid { auction, bidder, price, channel, .. } = bid;
    Some(
        json!({ "auction": auction, "bidder": bidder, "price": price, "channel": channel, "channel_id": id }),
    )
}

fn q22(bid: &Bid) -> Value {
    let parts: Vec<&str> = bid.url.split('/').collect();
    let Bid { auction, bidder, price, channel, .. } = bid;
    json!({
        "auction": auction, "bidder": bidder, "price": price, "channel": channel,
        "dir1": parts.get(3), "dir2": parts.get(4), "dir3": parts.get(5),
    })
}
