//! Recommends by what sessions like this one went on with: VMIS-kNN over an index that every click updates in the commit
//! that takes it, and that queries read where it lies. The rules stand in `knn`, the rows in `rows`; here are records,
//! parameters, state and queries.
//!
//! | store | key | value |
//! |---|---|---|
//! | `names` | session | its number, as text |
//! | `sessions` | number | its clicks, see `rows` |
//! | `items` | item id | its latest sessions, see `rows` |
//! | `counts` | item id | in how many sessions it was clicked, as text; `*`: the sum over all items |
//! | `numbers` | `next` | the next number of a session, as text |
//!
//! Numbers and ids are keys as decimal text. A session counts as recent by the time of its latest click, as of its own
//! click on the item.

mod knn;
mod rows;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use common::{ItemId, Label};
use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Output, Processor, Query, QueryError, Record, config, params, processor, query};
use serde::Deserialize;

use knn::{Neighbour, distinct, neighbours, scores};
use rows::{Session, Visits};

params! {
    "m": {
        "type": "integer", "default": 500, "min": 1, "max": 10000,
        "description": "sessions that are remembered of an item, and looked at for a query: the latest"
    },
    "k": {
        "type": "integer", "default": 50, "min": 1, "max": 1000,
        "description": "sessions whose items are recommended: those most alike"
    },
    "last": {
        "type": "integer", "default": 2, "min": 1, "max": 100,
        "description": "clicks of a session that its neighbours are looked for by"
    },
    "keep": {
        "type": "integer", "default": 100, "min": 1, "max": 10000,
        "description": "clicks that are remembered of a session"
    },
    "idf": {
        "type": "number", "default": 1, "min": 0,
        "description": "weight of an item's rarity"
    }
}

processor!(Indexer);
query!(Recommender);

/// Bytes of a session's name; a state key has room for 4096.
const SESSION_BYTES_MAX: usize = 1024;
/// Items of an answer unless the query says otherwise, and at most.
const ANSWER_ITEMS: usize = 20;
const ANSWER_ITEMS_MAX: usize = 1000;
/// The key of the sum of all counts.
const ALL: &str = "*";
const NEXT: &str = "next";

/// Learns from clicks.
pub struct Indexer {
    m: usize,
    keep: usize,
    stores: Stores,
}

/// Answers from what was learnt.
pub struct Recommender {
    m: usize,
    k: usize,
    last: usize,
    idf: f64,
    stores: Stores,
}

struct Stores {
    names: Store,
    sessions: Store,
    items: Store,
    counts: Store,
    numbers: Store,
}

/// A record's value.
#[derive(Deserialize)]
struct Click<'a> {
    #[serde(borrow, alias = "session_id")]
    session: Label<'a>,
    #[serde(alias = "item_id")]
    item: ItemId,
    /// milliseconds since 1970; without it the record's
    time: Option<u64>,
}

/// A query: a session that is known, or the items of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked<'a> {
    #[serde(borrow)]
    session: Option<Label<'a>>,
    /// oldest first
    items: Option<Vec<ItemId>>,
    /// at most so many answers
    limit: Option<usize>,
}

impl Stores {
    fn open() -> Self {
        let [names, sessions, items, counts, numbers] =
            ["names", "sessions", "items", "counts", "numbers"].map(Store::open);
        Self { names, sessions, items, counts, numbers }
    }
}

// === impl Indexer ===

impl Processor for Indexer {
    fn open() -> Result<Self, String> {
        Ok(Self {
            m: config::parse_or("m", 500)?,
            keep: config::parse_or("keep", 100)?,
            stores: Stores::open(),
        })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        // Faults of records come first: after this nothing but unreadable state can end the batch.
        let mut clicks = Vec::with_capacity(batch.len());
        for record in batch {
            clicks.push(click(record).map_err(|why| record.fault(why))?);
        }
        let numbers = self.numbers(&clicks)?;
        let mut sessions = self.sessions(&numbers)?;
        let ids = distinct(&clicks.iter().map(|click| click.item.0).collect::<Vec<_>>());
        let mut items: HashMap<u32, Visits> = read(&self.stores.items, "items", ids.iter(), Visits::read)?;
        let mut counts: HashMap<u32, u64> = read(&self.stores.counts, "counts", ids.iter(), text)?;
        let mut all = self.stores.counts.get(ALL).map_or(Some(0), |row| text(&row));
        let all = all.as_mut().ok_or_else(|| unreadable("counts", ALL))?;

        for (Click { session, item, time }, record) in clicks.iter().zip(batch) {
            let number = numbers[&*session.text];
            let session = sessions.entry(number).or_default();
            let time = time.unwrap_or_else(|| record.timestamp().max(0).cast_unsigned());
            if session.click(item.0, time, self.keep) {
                *counts.entry(item.0).or_default() += 1;
                *all += 1;
            }
            items.entry(item.0).or_default().visit(number, session.time, self.m);
        }

        write(&self.stores.sessions, sessions.iter().map(|(number, session)| (number, session.write())));
        write(&self.stores.items, items.iter().map(|(item, visits)| (item, visits.write())));
        write(&self.stores.counts, counts.iter().map(|(item, n)| (item, n.to_string().into_bytes())));
        self.stores.counts.put(ALL, all.to_string());
        Ok(Vec::new())
    }
}

impl Indexer {
    /// The numbers of the batch's sessions. New ones get the next.
    fn numbers<'c>(&self, clicks: &'c [Click<'_>]) -> Result<BTreeMap<&'c str, u32>, Fault> {
        let mut names: Vec<&str> = clicks.iter().map(|click| &*click.session.text).collect();
        names.sort_unstable();
        names.dedup();
        let (mut numbers, mut new) = (BTreeMap::new(), Vec::new());
        for (name, stored) in names.iter().zip(self.stores.names.get_many(&names)) {
            match stored {
                Some(row) => {
                    let number = text(&row).ok_or_else(|| unreadable("names", name))?;
                    numbers.insert(*name, number);
                }
                None => new.push(*name),
            }
        }
        let next = self.stores.numbers.get(NEXT).map_or(Some(0), |row| text::<u32>(&row));
        let first = next.ok_or_else(|| unreadable("numbers", NEXT))?;
        let all_used = || Fault::Fatal("there are no more numbers for sessions".to_owned());
        numbers.extend(new.iter().copied().zip(first..));
        let next = u32::try_from(new.len()).ok().and_then(|n| first.checked_add(n)).ok_or_else(all_used)?;
        if !new.is_empty() {
            self.stores.numbers.put(NEXT, next.to_string());
        }
        // Those that are known as well: with a ttl a name lasts from the session's latest click, as its clicks do.
        let entries: Vec<_> =
            numbers.iter().map(|(name, number)| (*name, Some(number.to_string()))).collect();
        self.stores.names.put_many(&entries);
        Ok(numbers)
    }

    fn sessions(&self, numbers: &BTreeMap<&str, u32>) -> Result<HashMap<u32, Session>, Fault> {
        // A new one has no row, or the row of a session that has expired is not its own: numbers are used once.
        read(&self.stores.sessions, "sessions", numbers.values(), Session::read)
    }
}

// === impl Recommender ===

impl Query for Recommender {
    fn open() -> Result<Self, String> {
        Ok(Self {
            m: config::parse_or("m", 500)?,
            k: config::parse_or("k", 50)?,
            last: config::parse_or("last", 2)?,
            idf: config::parse_or("idf", 1.0)?,
            stores: Stores::open(),
        })
    }

    fn query(&mut self, request: &[u8]) -> Result<Vec<u8>, QueryError> {
        let bad = |why: String| QueryError::BadRequest(why);
        let asked: Asked<'_> =
            serde_json::from_slice(request).map_err(|why| bad(format!("the query is none: {why}")))?;
        let limit = asked.limit.unwrap_or(ANSWER_ITEMS);
        if !(1..=ANSWER_ITEMS_MAX).contains(&limit) {
            return Err(bad(format!("`limit` is {limit}, expected 1 to {ANSWER_ITEMS_MAX}")));
        }
        let (itself, clicks) = match (asked.session, asked.items) {
            (Some(name), None) => {
                let (number, session) = self.session(&name)?;
                (Some(number), session.clicks)
            }
            (None, Some(items)) if !items.is_empty() => (None, items.iter().map(|item| item.0).collect()),
            _ => return Err(bad("expected `session`, or `items` with one at least".into())),
        };
        let last = &clicks[clicks.len().saturating_sub(self.last)..];
        let mut best = self.recommend(itself, last).map_err(|fault| match fault {
            Fault::Retry(why) | Fault::Fatal(why) | Fault::At(_, why) => QueryError::Failed(why),
        })?;
        best.truncate(limit);
        Ok(answer(&best).into_bytes())
    }
}

impl Recommender {
    fn session(&self, name: &Label<'_>) -> Result<(u32, Session), QueryError> {
        let unknown = || QueryError::NotFound(format!("session {name} is not known"));
        let number = self.stores.names.get(&*name.text).ok_or_else(unknown)?;
        let number: u32 = text(&number).ok_or_else(unknown)?;
        let row = self.stores.sessions.get(number.to_string()).ok_or_else(unknown)?;
        Ok((number, Session::read(&row).filter(|session| !session.clicks.is_empty()).ok_or_else(unknown)?))
    }

    fn recommend(&self, itself: Option<u32>, clicks: &[u32]) -> Result<Vec<(u32, f64)>, Fault> {
        let visits = read(&self.stores.items, "items", distinct(clicks).iter(), Visits::read)?;
        let near = self.there(neighbours(clicks, &visits, itself, self.m))?;
        let candidates: Vec<u32> =
            near.iter().flat_map(|(_, session)| session.clicks.iter().copied()).collect();
        let counts: HashMap<u32, f64> =
            read(&self.stores.counts, "counts", distinct(&candidates).iter(), text)?;
        let all = self.stores.counts.get(ALL).and_then(|row| text::<f64>(&row)).unwrap_or(0.0);
        let rarity = |item| counts.get(&item).map(|count| (all / count).ln() * self.idf);
        Ok(scores(clicks, &near, rarity))
    }

    /// The first `k` neighbours that have not expired, and their rows.
    fn there(&self, near: Vec<Neighbour>) -> Result<Vec<(Neighbour, Session)>, Fault> {
        let mut there = Vec::with_capacity(self.k.min(near.len()));
        // Most often all are there, and the first round is the only one.
        for next in near.chunks(self.k) {
            let rows =
                read(&self.stores.sessions, "sessions", next.iter().map(|n| &n.session), Session::read)?;
            there.extend(next.iter().filter_map(|n| Some((*n, rows.get(&n.session)?.clone()))));
            if there.len() >= self.k {
                break;
            }
        }
        there.truncate(self.k);
        Ok(there)
    }
}

fn click<'a>(record: &Record<'a>) -> Result<Click<'a>, String> {
    let value = record.value().ok_or("the value is null")?;
    let click: Click<'_> =
        serde_json::from_slice(value).map_err(|why| format!("the value is no click: {why}"))?;
    if !(1..=SESSION_BYTES_MAX).contains(&click.session.text.len()) {
        return Err(format!("the value is no click: `session` must have 1 to {SESSION_BYTES_MAX} bytes"));
    }
    Ok(click)
}

/// The rows of these ids that are there.
fn read<'i, T>(
    store: &Store,
    name: &str,
    ids: impl Iterator<Item = &'i u32>,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Result<HashMap<u32, T>, Fault> {
    let ids: Vec<u32> = ids.copied().collect();
    let keys: Vec<String> = ids.iter().map(u32::to_string).collect();
    let mut rows = HashMap::with_capacity(ids.len());
    for ((id, key), stored) in ids.iter().zip(&keys).zip(store.get_many(&keys)) {
        let Some(row) = stored else { continue };
        rows.insert(*id, parse(&row).ok_or_else(|| unreadable(name, key))?);
    }
    Ok(rows)
}

fn write<'i>(store: &Store, rows: impl Iterator<Item = (&'i u32, Vec<u8>)>) {
    let rows: Vec<_> = rows.map(|(id, row)| (id.to_string(), Some(row))).collect();
    store.put_many(&rows);
}

fn text<T: std::str::FromStr>(row: &[u8]) -> Option<T> {
    std::str::from_utf8(row).ok()?.parse().ok()
}

fn unreadable(store: &str, key: &str) -> Fault {
    Fault::Fatal(format!("store `{store}`: the row of `{key}` is not readable"))
}

fn answer(best: &[(u32, f64)]) -> String {
    let mut json = r#"{"items":["#.to_owned();
    for (i, (item, score)) in best.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        // Four digits are enough to look at; the order is the answer.
        let _ = write!(json, r#"{comma}{{"item":{item},"score":{score:.4}}}"#);
    }
    json.push_str("]}");
    json
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{self, input, process, reset, set_param};

    use super::*;

    /// Sessions a: 1 2, b: 2 3, c: 1 3 4, one click after the other.
    fn learn(params: &[(&str, &str)]) -> Recommender {
        reset();
        params.iter().for_each(|(name, value)| set_param(name, value));
        let mut indexer = Indexer::open().expect("its parameters are valid");
        let clicks = [("a", 1), ("a", 2), ("b", 2), ("b", 3), ("c", 1), ("c", 3), ("c", 4), ("c", 3)];
        let records: Vec<_> = (1_u64..)
            .zip(clicks)
            .map(|(time, (session, item))| {
                input(format!(r#"{{"session":"{session}","item":{item},"time":{time}}}"#))
            })
            .collect();
        // Batches of three end anywhere within the sessions.
        for batch in records.chunks(3) {
            assert_eq!(process(&mut indexer, batch), Ok(Vec::new()));
        }
        Recommender::open().expect("its parameters are valid")
    }

    fn ask(recommender: &mut Recommender, query: &str) -> Result<String, QueryError> {
        testing::query(recommender, query).map(|answer| String::from_utf8(answer).expect("it is text"))
    }

    #[test]
    fn what_was_learnt_is_the_answer() {
        let mut recommender = learn(&[]);
        // Clicked 7 times: 1 and 2 and 3 in two sessions, 4 in one; ln(7/2) = 1.2528, ln(7/1) = 1.9459.
        // After 1, then 2: a shares both (1.5), b the last one (1), c the first one (0.5).
        //   1: 0.9·1.5·1.2528 + 0.8·0.5·1.2528 = 2.1923
        //   3: 0.9·1·1.2528 + 0.8·0.5·1.2528 = 1.6286,   4: 0.8·0.5·1.9459 = 0.7784
        let expected =
            r#"{"items":[{"item":1,"score":2.1923},{"item":3,"score":1.6286},{"item":4,"score":0.7784}]}"#;
        assert_eq!(ask(&mut recommender, r#"{"items":[1,2]}"#).as_deref(), Ok(expected));
        let first = r#"{"items":[{"item":1,"score":2.1923}]}"#;
        assert_eq!(
            ask(&mut recommender, r#"{"items":[9,1,2],"limit":1}"#).as_deref(),
            Ok(first),
            "the last two"
        );
        // Its last two are 4, 3: only b has one of them, and c is no neighbour of itself.
        let other = r#"{"items":[{"item":2,"score":1.1275}]}"#;
        assert_eq!(ask(&mut recommender, r#"{"session":"c"}"#).as_deref(), Ok(other));
        assert_eq!(ask(&mut recommender, r#"{"items":[77]}"#).as_deref(), Ok(r#"{"items":[]}"#));
    }

    #[test]
    fn rarity_and_neighbours_follow_the_parameters() {
        let mut recommender = learn(&[("idf", "0"), ("k", "1"), ("last", "1"), ("m", "1")]);
        // Of 2 the latest session is b, and nothing is rare.
        let expected = r#"{"items":[{"item":3,"score":0.9000}]}"#;
        assert_eq!(ask(&mut recommender, r#"{"items":[1,2]}"#).as_deref(), Ok(expected));
        assert_eq!(testing::store("items").len(), 4);
    }

    #[test]
    fn a_neighbour_that_has_expired_uses_up_no_place() {
        let mut recommender = learn(&[("idf", "0"), ("k", "1")]);
        // Alike are a, which has both, then b, which has the last one; the row of a goes as a ttl lets it.
        Store::open("sessions").delete("0");
        let expected = r#"{"items":[{"item":3,"score":0.9000}]}"#;
        assert_eq!(ask(&mut recommender, r#"{"items":[1,2]}"#).as_deref(), Ok(expected));
    }

    #[test]
    fn every_click_renews_the_name_of_its_session() {
        learn(&[]);
        let mut indexer = Indexer::open().expect("its parameters are valid");
        // The same number written otherwise: it is seen that the row is written again.
        Store::open("names").put("a", "00");
        let again = [input(r#"{"session":"a","item":4,"time":9}"#)];
        assert_eq!(process(&mut indexer, &again), Ok(Vec::new()));
        assert_eq!(testing::store("names")[b"a".as_slice()], b"0");
        assert_eq!(testing::store("numbers")[b"next".as_slice()], b"3", "it is no new one");
    }

    #[test]
    fn what_is_no_query_or_no_click_is_refused() {
        let mut recommender = learn(&[]);
        for query in
            ["", "{}", r#"{"items":[]}"#, r#"{"items":[1],"session":"a"}"#, r#"{"items":[1],"limit":0}"#]
        {
            assert!(matches!(ask(&mut recommender, query), Err(QueryError::BadRequest(_))), "{query}");
        }
        let unknown = QueryError::NotFound("session \"z\" is not known".into());
        assert_eq!(ask(&mut recommender, r#"{"session":"z"}"#), Err(unknown));
        let mut indexer = Indexer::open().expect("its parameters are valid");
        let bad =
            process(&mut indexer, &[input(r#"{"session":1,"item":1}"#), input(r#"{"session":"","item":1}"#)]);
        assert!(matches!(bad, Err(Fault::At(1, _))), "{bad:?}");
    }
}
