//! Windows natively, on the host in memory.

use std::ops::ControlFlow;

use super::*;
use crate::testing;
use crate::timers::Timer;
use crate::{Output, Timed};

/// Windows whose visitor breaks off after each result.
struct OneByOne {
    windows: Windows<u64, u64>,
    calls: usize,
    breaks: bool,
    /// what is read after the next call
    between: Vec<(i64, u64)>,
}

impl OneByOne {
    fn over(windows: Windows<u64, u64>) -> Self {
        Self { windows, calls: 0, breaks: false, between: Vec::new() }
    }

    fn count(&mut self, batch: &[(i64, u64)]) {
        self.windows.load(batch.iter().copied()).unwrap();
        for (time, key) in batch {
            *self.windows.at(*time, key) += 1;
        }
        self.windows.flush();
    }

    /// End, key and count of what has become final.
    fn results(&mut self, watermark: i64) -> Vec<(i64, String)> {
        let outputs = testing::move_watermark(self, watermark).unwrap();
        let shown = |output: Output| match output.value {
            crate::Content::Bytes(bytes) => (output.timestamp.unwrap(), String::from_utf8(bytes).unwrap()),
            other => panic!("{other:?}"),
        };
        outputs.into_iter().map(shown).collect()
    }
}

impl Timed for OneByOne {
    fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault> {
        self.calls += 1;
        let mut outputs = Vec::new();
        for timer in due {
            self.windows.fire(timer, |window, key, count| {
                outputs.push(Output::new().value(format!("{key}:{count}")).timestamp(window.end));
                if self.breaks { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        let between = std::mem::take(&mut self.between);
        self.count(&between);
        Ok(outputs)
    }
}

fn hopping() -> Windows<u64, u64> {
    let (size, hop) = (Duration::from_millis(30), Duration::from_millis(10));
    Windows::hopping("w", size, hop).unwrap()
}

fn rows(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
    rows.iter().map(|(end, row)| (*end, (*row).to_owned())).collect()
}

const BATCH: [(i64, u64); 4] = [(5, 1), (15, 1), (15, 2), (20, 1)];
const RESULTS: [(i64, &str); 8] =
    [(10, "1:1"), (20, "1:2"), (20, "2:1"), (30, "1:3"), (30, "2:1"), (40, "1:2"), (40, "2:1"), (50, "1:1")];

#[test]
fn hopping_windows_merge_their_panes_and_leave_nothing() {
    let mut code = OneByOne::over(hopping());
    code.count(&BATCH);
    assert_eq!(testing::store("w").len(), 4, "a row per pane and key, however many windows overlap");
    assert_eq!(code.results(29), rows(&RESULTS[..3]));
    assert_eq!(code.results(1_000), rows(&RESULTS[3..]));
    assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
}

#[test]
fn a_visitor_that_breaks_off_goes_on_in_later_calls_and_misses_nothing() {
    let mut code = OneByOne::over(hopping());
    code.breaks = true;
    code.count(&BATCH);
    assert_eq!(code.results(1_000), rows(&RESULTS));
    assert!(code.calls >= RESULTS.len(), "{} calls", code.calls);
    assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
}

#[test]
fn keys_too_long_for_a_timers_name_are_gone_on_after_as_well() {
    struct Long(Windows<Box<[u8]>, u64>);
    impl Timed for Long {
        fn on_timer(&mut self, due: &[Timer]) -> Result<Vec<Output>, Fault> {
            let mut outputs = Vec::new();
            for timer in due {
                self.0.fire(timer, |window, key, count| {
                    let told = format!("{}:{count}", key[0]);
                    outputs.push(Output::new().value(told).timestamp(window.end));
                    ControlFlow::Break(())
                })?;
            }
            Ok(outputs)
        }
    }
    let mut code = Long(Windows::tumbling("w", Duration::from_millis(10)).unwrap());
    let keys = [1, 2, 3].map(|n| vec![n; 4_000].into_boxed_slice());
    let batch = || keys.iter().flat_map(|key| [(5, key.clone()), (15, key.clone())]);
    code.0.load(batch()).unwrap();
    for (time, key) in batch() {
        *code.0.at(time, &key) += 1;
    }
    code.0.flush();
    let told: Vec<_> = testing::move_watermark(&mut code, 1_000).unwrap();
    let expected =
        [10, 20].map(|end| ["1:1", "2:1", "3:1"].map(|row| Output::new().value(row).timestamp(end)));
    assert_eq!(told, expected.concat());
    assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
}

#[test]
fn a_late_record_fires_its_window_again_while_that_is_kept() {
    let windows = Windows::tumbling("w", Duration::from_millis(10)).unwrap();
    let mut code = OneByOne::over(windows.keep(Duration::from_millis(100)));
    code.count(&[(5, 1), (6, 2)]);
    assert_eq!(code.results(50), rows(&[(10, "1:1"), (10, "2:1")]));
    code.count(&[(7, 1)]);
    assert_eq!(code.results(50), rows(&[(10, "1:2"), (10, "2:1")]));
    assert_eq!(code.results(111), []);
    assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
}

#[test]
fn a_record_later_than_its_windows_changes_nothing_that_was_told() {
    let mut code = OneByOne::over(hopping());
    code.count(&BATCH);
    assert_eq!(code.results(30), rows(&RESULTS[..5]));
    // The windows that end at 10 to 30 are told. The first record belongs to one of them, the second to the last one too.
    code.count(&[(5, 3), (15, 3)]);
    assert_eq!((code.windows.is_over(5), code.windows.is_over(15)), (true, false));
    assert_eq!(code.results(30), [], "none is told again");
    assert_eq!(code.results(1_000), rows(&[(40, "1:2"), (40, "2:1"), (40, "3:1"), (50, "1:1")]));
    code.count(&[(5, 1), (45, 1)]);
    assert_eq!(code.results(2_000), []);
    assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
}

#[test]
fn a_record_later_than_what_is_kept_is_dropped() {
    let windows = Windows::tumbling("w", Duration::from_millis(10)).unwrap();
    let mut code = OneByOne::over(windows.keep(Duration::from_millis(100)));
    code.count(&[(5, 1)]);
    assert_eq!(code.results(111), rows(&[(10, "1:1")]));
    code.count(&[(7, 1)]);
    assert_eq!(code.windows.early().count(), 0);
    assert_eq!(code.results(111), [], "its window was told with one that is not kept any more");
    assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
}

#[test]
fn a_late_record_of_a_window_that_was_broken_off_leaves_what_is_not_told_yet() {
    let mut code = OneByOne::over(hopping());
    (code.breaks, code.between) = (true, vec![(6, 1), (6, 2)]);
    code.count(&[(5, 1), (5, 2), (5, 3)]);
    // They come when the first window has told of the first key.
    let all = code.results(1_000);
    assert_eq!(all[..3], rows(&[(10, "1:1"), (10, "2:2"), (10, "3:1")]));
    assert!(all[3..].iter().all(|(end, _)| *end > 10), "told once: {all:?}");
    assert_eq!((testing::store("w").len(), testing::timers()), (0, Vec::new()));
}

#[test]
fn early_results_are_the_changed_panes() {
    let mut windows: Windows<u64, u64> = Windows::tumbling("w", Duration::from_millis(10)).unwrap();
    windows.load([(5, 1), (15, 1)]).unwrap();
    *windows.at(15, &1) += 2;
    let early: Vec<_> = windows.early().collect();
    assert_eq!(early, [(Window { start: 10, end: 20 }, &1, &2)]);
}

#[test]
fn sizes_that_no_windows_have_are_refused() {
    for (size, hop) in [(10, 3), (10, 0), (10, 20), (0, 0)] {
        let told = Windows::<u64, u64>::hopping("w", Duration::from_millis(size), Duration::from_millis(hop));
        assert!(told.is_err_and(|why| why.starts_with("windows `w`")), "{size} by {hop}");
    }
}
