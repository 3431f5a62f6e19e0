//! VMIS-kNN (Kersbergen, Sprangers, Schelter: Serenade, SIGMOD 2022). The neighbours of a session are those that clicked
//! what it clicked last, later clicks counting more; a neighbour's items count the more, the more alike it is, the later
//! the click that it shares with the session, and the fewer sessions have them.

use std::collections::HashMap;

use crate::rows::{Session, Visits};

/// A session that shares clicks with the one that is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Neighbour {
    pub(crate) session: u32,
    pub(crate) time: u64,
    pub(crate) likeness: f64,
}

/// The `m` latest neighbours, those most alike first. `clicks`: the session's last ones, oldest first; `visits` are those
/// of its items. The session itself, if it is known, is none of them.
pub(crate) fn neighbours(
    clicks: &[u32],
    visits: &HashMap<u32, Visits>,
    itself: Option<u32>,
    m: usize,
) -> Vec<Neighbour> {
    let mut distinct = clicks.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let mut found: HashMap<u32, Neighbour> = HashMap::new();
    for (back, item) in clicks.iter().rev().enumerate() {
        // Of an item that was clicked several times the last click counts.
        if clicks[clicks.len() - back..].contains(item) {
            continue;
        }
        let decay = (clicks.len() - back) as f64 / distinct.len() as f64;
        for &(time, session) in visits.get(item).map_or(&[][..], |visits| &visits.0) {
            let new = Neighbour { session, time, likeness: 0.0 };
            let neighbour = found.entry(session).or_insert(new);
            neighbour.time = neighbour.time.max(time);
            neighbour.likeness += decay;
        }
    }
    let mut found: Vec<_> = found.into_values().filter(|n| Some(n.session) != itself).collect();
    found.sort_unstable_by(|a, b| (b.time, b.session).cmp(&(a.time, a.session)));
    found.truncate(m);
    // Stable: of those that are equally alike the latest come first.
    found.sort_by(|a, b| b.likeness.total_cmp(&a.likeness));
    found
}

/// The items of all neighbours, scored. `rarity` of an item, if it is known.
pub(crate) fn scores(
    clicks: &[u32],
    neighbours: &[(Neighbour, Session)],
    rarity: impl Fn(u32) -> Option<f64>,
) -> Vec<(u32, f64)> {
    let mut scores: HashMap<u32, f64> = HashMap::new();
    for (neighbour, session) in neighbours {
        // Its other items are forgotten, or it has expired.
        let Some(back) = clicks.iter().rev().position(|item| session.clicks.contains(item)) else { continue };
        let weight = (1.0 - 0.1 * (back + 1) as f64).max(0.0);
        for item in distinct(&session.clicks) {
            let rarity = rarity(item).filter(|rarity| *rarity > 0.0).unwrap_or(1.0);
            *scores.entry(item).or_default() += weight * rarity * neighbour.likeness;
        }
    }
    if let Some(last) = clicks.last() {
        scores.remove(last);
    }
    let mut scores: Vec<_> = scores.into_iter().collect();
    scores.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    scores
}

/// Each item once.
pub(crate) fn distinct(clicks: &[u32]) -> Vec<u32> {
    let mut items = clicks.to_vec();
    items.sort_unstable();
    items.dedup();
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u32 = 1;
    const B: u32 = 2;
    const C: u32 = 3;
    const D: u32 = 4;

    /// Three sessions: 1 has A B, 2 has B C, 3 has A C D; the later, the greater the number.
    fn visits() -> HashMap<u32, Visits> {
        let of = |sessions: &[u32]| Visits(sessions.iter().map(|s| (u64::from(*s) * 10, *s)).collect());
        [(A, of(&[1, 3])), (B, of(&[1, 2])), (C, of(&[2, 3])), (D, of(&[3]))].into()
    }

    fn found(clicks: &[u32], m: usize) -> Vec<(u32, f64)> {
        neighbours(clicks, &visits(), None, m).iter().map(|n| (n.session, n.likeness)).collect()
    }

    #[test]
    fn neighbours_share_clicks_and_later_clicks_count_more() {
        // B, the last of two, counts 2/2; A before it 1/2.
        assert_eq!(found(&[A, B], 9), [(1, 1.5), (2, 1.0), (3, 0.5)]);
        assert_eq!(found(&[A, B], 2), [(2, 1.0), (3, 0.5)], "of the two latest");
        assert_eq!(found(&[C], 9), [(3, 1.0), (2, 1.0)], "the latest first");
        // Twice the same: the last click of it counts, two clicks of one item.
        assert_eq!(found(&[B, B], 9), [(2, 2.0), (1, 2.0)]);
        assert_eq!(found(&[9], 9), []);
        let without: Vec<_> = neighbours(&[C], &visits(), Some(3), 9).iter().map(|n| n.session).collect();
        assert_eq!(without, [2]);
    }

    #[test]
    fn items_count_by_likeness_shared_click_and_rarity() {
        let session = |clicks: &[u32]| Session { time: 0, clicks: clicks.to_vec() };
        let near = Neighbour { session: 1, time: 10, likeness: 1.5 };
        let far = Neighbour { session: 3, time: 30, likeness: 0.5 };
        let both = [(near, session(&[A, B, A])), (far, session(&[A, C, D])), (far, session(&[D]))];
        let rarity = |item| (item == D).then_some(3.0);
        let scores = scores(&[A, B], &both, rarity);
        // near shares B, the last click: 0.9 · 1.5 for A. far shares A, the one before: 0.8 · 0.5 for A and C, three
        // times that for D. The last one shares nothing; B itself is no answer.
        let expected = [(A, 0.9 * 1.5 + 0.8 * 0.5), (D, 0.8 * 3.0 * 0.5), (C, 0.8 * 0.5)];
        assert_eq!(scores.iter().map(|s| s.0).collect::<Vec<_>>(), expected.map(|e| e.0));
        for ((_, score), (_, expected)) in scores.iter().zip(expected) {
            assert!((score - expected).abs() < 1e-12, "{score} {expected}");
        }
    }
}
