//! What happens to topics, modules, deployments and groups, for whoever wants to hear of it: a ring of the newest events of
//! this process. It is no log: events of before the start, and those that the ring has forgotten, are gone.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::clock::Clock;

/// Events that are kept: some minutes of a busy server, and a few hundred KiB (a guess).
const KEPT: usize = 1024;
/// Bytes of a detail's value: errors quote what failed.
const DETAIL_BYTES_MAX: usize = 1 << 10;

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum What {
    TopicCreated,
    TopicChanged,
    TopicDeleted,
    ModulePushed,
    ModuleDeleted,
    DeploymentApplied,
    DeploymentUpgraded,
    DeploymentRolledBack,
    DeploymentRewound,
    DeploymentPaused,
    DeploymentResumed,
    DeploymentFailed,
    DeploymentRecovered,
    DeploymentDeleted,
    GroupChanged,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// its number in this process, from 1
    pub number: u64,
    /// milliseconds since the epoch
    pub at_ms: i64,
    /// what
    pub what: What,
    /// to which topic, module, deployment or group
    pub name: String,
    /// what else there is to say: name and text
    pub details: Vec<(&'static str, String)>,
}

/// What a listener gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// in their order
    pub events: Vec<Arc<Event>>,
    /// events that the ring had forgotten
    pub missed: u64,
}

/// Where a listener stands.
#[derive(Debug)]
pub struct Listener {
    ring: &'static Ring,
    /// the last number that it has heard
    last: u64,
    changed: watch::Receiver<u64>,
}

#[derive(Debug)]
struct Ring {
    /// tells numbers of this process from those of another
    began_ms: i64,
    kept: Mutex<VecDeque<Arc<Event>>>,
    /// the last number given
    newest: watch::Sender<u64>,
}

static RING: LazyLock<Ring> = LazyLock::new(|| Ring {
    began_ms: Clock::system().now_ms(),
    kept: Mutex::default(),
    newest: watch::channel(0).0,
});

/// Tells everyone who listens.
pub fn publish(what: What, name: impl fmt::Display, details: Vec<(&'static str, String)>) {
    RING.push(Clock::system().now_ms(), what, name.to_string(), details);
}

/// Listens from now on.
pub fn listen() -> Listener {
    RING.listener(None)
}

/// Listens behind an event whose id [`id`] has given. `None`: it is no such id. Events of an earlier process count as one
/// that was missed.
pub fn listen_behind(id: &str) -> Option<(Listener, bool)> {
    let (began, number) = id.split_once('-')?;
    let (began, number) = (began.parse::<i64>().ok()?, number.parse::<u64>().ok()?);
    let is_ours = began == RING.began_ms && number <= *RING.newest.borrow();
    Some((RING.listener(Some(if is_ours { number } else { 0 })), !is_ours))
}

/// The id to listen behind an event of this number.
pub fn id(number: u64) -> String {
    format!("{}-{number}", RING.began_ms)
}

// === impl What ===

impl What {
    /// Its name, such as `topic_created`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TopicCreated => "topic_created",
            Self::TopicChanged => "topic_changed",
            Self::TopicDeleted => "topic_deleted",
            Self::ModulePushed => "module_pushed",
            Self::ModuleDeleted => "module_deleted",
            Self::DeploymentApplied => "deployment_applied",
            Self::DeploymentUpgraded => "deployment_upgraded",
            Self::DeploymentRolledBack => "deployment_rolled_back",
            Self::DeploymentRewound => "deployment_rewound",
            Self::DeploymentPaused => "deployment_paused",
            Self::DeploymentResumed => "deployment_resumed",
            Self::DeploymentFailed => "deployment_failed",
            Self::DeploymentRecovered => "deployment_recovered",
            Self::DeploymentDeleted => "deployment_deleted",
            Self::GroupChanged => "group_changed",
        }
    }
}

// === impl Ring ===

impl Ring {
    fn push(&self, at_ms: i64, what: What, name: String, mut details: Vec<(&'static str, String)>) {
        for (_, text) in &mut details {
            text.truncate(text.floor_char_boundary(DETAIL_BYTES_MAX));
        }
        let mut kept = self.kept.lock();
        let number = *self.newest.borrow() + 1;
        kept.push_back(Arc::new(Event { number, at_ms, what, name, details }));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        // Under the lock, or two events could be told in the wrong order.
        self.newest.send_replace(number);
    }

    fn listener(&'static self, last: Option<u64>) -> Listener {
        let changed = self.newest.subscribe();
        let last = last.unwrap_or_else(|| *changed.borrow());
        Listener { ring: self, last, changed }
    }

    fn after(&self, last: u64) -> Heard {
        let kept = self.kept.lock();
        let oldest = kept.front().map_or(last + 1, |event| event.number);
        let missed = oldest.saturating_sub(last + 1);
        let events = kept.iter().filter(|event| event.number > last).cloned().collect();
        Heard { events, missed }
    }
}

// === impl Listener ===

impl Listener {
    /// The id of the place where it stands.
    pub fn id(&self) -> String {
        id(self.last)
    }

    /// What has happened since the last call; waits for it. Cancel safe.
    pub async fn next(&mut self) -> Heard {
        let last = self.last;
        // The ring is never dropped.
        let _ = self.changed.wait_for(|newest| *newest > last).await;
        let heard = self.ring.after(self.last);
        if let Some(event) = heard.events.last() {
            self.last = event.number;
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> &'static Ring {
        Box::leak(Box::new(Ring { began_ms: 7, kept: Mutex::default(), newest: watch::channel(0).0 }))
    }

    #[tokio::test]
    async fn a_listener_hears_what_comes_and_how_much_it_missed() {
        let ring = ring();
        ring.push(1, What::TopicCreated, "before".into(), Vec::new());
        let mut listener = ring.listener(None);
        for n in 0..3 {
            ring.push(2, What::TopicDeleted, n.to_string(), vec![("why", "é".repeat(DETAIL_BYTES_MAX))]);
        }
        let heard = listener.next().await;
        let names: Vec<_> = heard.events.iter().map(|e| (e.number, e.name.as_str())).collect();
        assert_eq!((names, heard.missed), (vec![(2, "0"), (3, "1"), (4, "2")], 0));
        assert_eq!(heard.events[0].details[0].1.len(), DETAIL_BYTES_MAX);

        for _ in 0..KEPT + 5 {
            ring.push(3, What::TopicChanged, "t".into(), Vec::new());
        }
        let heard = listener.next().await;
        assert_eq!((heard.events.len(), heard.missed), (KEPT, 5));
        let mut late = ring.listener(Some(4 + KEPT as u64));
        assert_eq!(late.next().await.events.len(), 5);
    }
}
