//! What is done when the timers of windows are due: results are told, and panes that no window needs any more are deleted.

use std::ops::ControlFlow;

use super::cursor::{Cursor, after};
use super::names::{Purpose, parse, row_of_key, timer};
use super::{Merge, Window, Windows};
use crate::model::Fault;
use crate::state::Store;
use crate::timers::{self, Timer};
use crate::toolbox::codec::{self, Key, Stored, encode};

/// Rows of a pane deleted in one commit; the rest go in the next one.
const DELETED_MAX: usize = 20_000;
/// Bytes of a key in a timer's name, which has at most 1024. A longer one lies in a row of the store while it is needed.
const NAME_KEY_MAX: usize = 512;

impl<K: Key, A: Stored + Default + Merge> Windows<K, A> {
    /// Whether a timer is of these windows.
    pub fn owns(&self, timer: &Timer) -> bool {
        timer.clock == self.clock && parse(self.panes.name(), &timer.name).is_some()
    }

    /// Visits the final aggregates of the window that a timer is for, in the order of their encoded keys, and deletes what
    /// is not needed any more. A visitor that breaks off is called again for the next key in a later call of `on_timer`, with
    /// a commit between: so results of any number fit into outputs of bounded size. A timer of something else is ignored.
    ///
    /// # Errors
    /// A row that is not readable.
    pub fn fire(
        &mut self,
        due: &Timer,
        visit: impl FnMut(Window, &K, A) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        if due.clock != self.clock {
            return Ok(());
        }
        let Some((purpose, end, after)) = parse(self.panes.name(), &due.name) else { return Ok(()) };
        match purpose {
            Purpose::Result => self.result(end, after, due.at, visit),
            Purpose::Rest => {
                let (store, row) = (Store::open(self.panes.name()), row_of_key(end));
                let after = store.get(&row).unwrap_or_default();
                store.delete(&row);
                self.result(end, &after, due.at, visit)
            }
            Purpose::Delete => {
                self.delete(end);
                Ok(())
            }
        }
    }

    fn result(
        &mut self,
        end: i64,
        after: &[u8],
        at: i64,
        mut visit: impl FnMut(Window, &K, A) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let window = Window { start: end.saturating_sub(self.size), end };
        // A window that was broken off still needs its panes: the ones after it wait.
        if self.broken_off.is_some_and(|first| first < end) {
            self.come_back(end, after, at);
            return Ok(());
        }
        self.broken_off = None;
        if let Some(resume) = self.visit(window, after, &mut visit)? {
            self.come_back(end, &resume, at);
            self.broken_off = Some(end);
            return Ok(());
        }
        self.remembered.remove(&end);
        let oldest = window.start.saturating_add(self.hop);
        if self.keep == 0 {
            self.delete(oldest);
        } else {
            let at = end.saturating_add(self.keep).saturating_add(1);
            timers::set(self.clock, timer(self.panes.name(), Purpose::Delete, oldest, &[]), at);
        }
        Ok(())
    }

    /// Sets the timer for the results of a window that come after a key.
    fn come_back(&self, end: i64, after: &[u8], at: i64) {
        let store = self.panes.name();
        let name = if after.len() <= NAME_KEY_MAX {
            timer(store, Purpose::Result, end, after)
        } else {
            Store::open(store).put(row_of_key(end), after);
            timer(store, Purpose::Rest, end, &[])
        };
        timers::set(self.clock, name, at);
    }

    /// Merges the panes of a window key by key, a page of each at a time. Returns the last key when the visitor broke off.
    fn visit(
        &self,
        window: Window,
        after: &[u8],
        visit: &mut impl FnMut(Window, &K, A) -> ControlFlow<()>,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let panes = (1..=self.size / self.hop).map(|n| window.start.saturating_add(n * self.hop));
        let mut cursors: Vec<Cursor> = panes.map(|pane| Cursor::new(pane, after)).collect();
        loop {
            for cursor in &mut cursors {
                cursor.fill(&self.panes);
            }
            let heads = cursors.iter().filter_map(Cursor::key);
            let Some(least) = heads.min().map(<[u8]>::to_vec) else { return Ok(None) };
            let mut merged: Option<A> = None;
            for cursor in cursors.iter_mut().filter(|cursor| cursor.key() == Some(&least)) {
                let part = codec::read(cursor.take(), self.panes.name())?;
                match &mut merged {
                    None => merged = Some(part),
                    Some(whole) => whole.merge(part),
                }
            }
            let key: K = codec::read(&least, self.panes.name())?;
            if let Some(merged) = merged
                && visit(window, &key, merged).is_break()
            {
                return Ok(Some(least));
            }
        }
    }

    /// Deletes a pane, or a first part of it and sets a timer for the rest.
    fn delete(&mut self, pane: i64) {
        let (start, end) = (encode(&pane), encode(&pane.saturating_add(1)));
        let mut from = start;
        let mut keys = Vec::new();
        let is_all = loop {
            let (page, is_last) = self.panes.page(&from, Some(&end));
            keys.extend(page.into_iter().map(|(key, _)| key));
            if is_last || keys.len() >= DELETED_MAX {
                break is_last;
            }
            from = keys.last().map(|last| after(last)).unwrap_or_default();
        };
        for key in keys {
            if let Some(key) = codec::decode(&key) {
                self.panes.set(key, None);
            }
        }
        self.panes.flush();
        if !is_all {
            timers::set(self.clock, timer(self.panes.name(), Purpose::Delete, pane, &[]), pane);
        }
    }
}
