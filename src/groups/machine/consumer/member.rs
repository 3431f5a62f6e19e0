//! One member: what it said of itself, what it owns, and what it shall own.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Assignment, Assignor, Heartbeat, LEAVES_FOR_A_WHILE, MemberId};

/// How far a member has come towards its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// it owns what it shall own as of its epoch
    Stable,
    /// it has to give up partitions, and has not said that it did
    Unrevoked,
    /// it has given up everything that it should; others have not given up yet what it shall own
    Unreleased,
}

/// A member of the group. All of it is stored but the two deadlines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// who it is
    pub id: MemberId,
    /// of a static member
    pub instance_id: Option<Arc<str>>,
    /// where it runs
    pub rack_id: Option<Arc<str>>,
    /// as it calls itself
    pub client_id: Arc<str>,
    /// where it is
    pub client_host: Arc<str>,
    /// ms
    pub session_timeout_ms: i64,
    /// ms
    pub rebalance_timeout_ms: i64,
    /// topics that it subscribes to by name
    pub topics: BTreeSet<Arc<str>>,
    /// the regular expression by which it subscribes
    pub pattern: Option<Arc<str>>,
    /// who is to assign, if it cares
    pub assignor: Option<Assignor>,
    /// the target up to which it has come; [`LEAVES_FOR_A_WHILE`]: it is away
    pub epoch: i32,
    /// the epoch before: it may not have heard of the last one
    pub previous_epoch: i32,
    /// towards its target
    pub progress: Progress,
    /// what it owns
    pub assigned: Assignment,
    /// what it has to give up; nobody else gets it before
    pub revoking: Assignment,
    /// what it shall own
    pub target: Assignment,
    /// when its session ends unless it gives a sign of life
    pub session_ends: i64,
    /// when it is removed unless it has given up what it has to
    pub revocation_ends: Option<i64>,
}

impl Member {
    /// A member that owns nothing.
    pub(super) fn new(id: MemberId) -> Self {
        Self {
            id,
            instance_id: None,
            rack_id: None,
            client_id: Arc::from(""),
            client_host: Arc::from(""),
            session_timeout_ms: 0,
            rebalance_timeout_ms: 0,
            topics: BTreeSet::new(),
            pattern: None,
            assignor: None,
            epoch: 0,
            previous_epoch: 0,
            progress: Progress::Stable,
            assigned: Assignment::default(),
            revoking: Assignment::default(),
            target: Assignment::default(),
            session_ends: 0,
            revocation_ends: None,
        }
    }

    /// Takes over what it says of itself. True: it subscribes to something else now.
    pub(super) fn update(&mut self, beat: &Heartbeat) -> bool {
        self.client_id = beat.client_id.clone();
        self.client_host = beat.client_host.clone();
        self.session_timeout_ms = beat.session_timeout_ms;
        if beat.instance_id.is_some() {
            self.instance_id = beat.instance_id.clone();
        }
        if beat.rack_id.is_some() {
            self.rack_id = beat.rack_id.clone();
        }
        if let Some(ms) = beat.rebalance_timeout_ms {
            self.rebalance_timeout_ms = ms;
        }
        if beat.assignor.is_some() {
            self.assignor = beat.assignor;
        }
        let mut is_other = false;
        if let Some(topics) = &beat.topics {
            is_other |= self.topics != *topics;
            self.topics = topics.clone();
        }
        if let Some(pattern) = &beat.pattern {
            let pattern = Some(pattern.clone()).filter(|pattern| !pattern.is_empty());
            is_other |= self.pattern != pattern;
            self.pattern = pattern;
        }
        is_other
    }

    /// Has it come as far as this target, with everything that it shall own?
    pub(super) fn is_reconciled(&self, target_epoch: i32) -> bool {
        self.progress == Progress::Stable && self.epoch == target_epoch
    }

    /// It has left, and its place is kept for a while.
    pub(super) fn is_away(&self) -> bool {
        self.epoch == LEAVES_FOR_A_WHILE
    }

    pub(super) fn move_to(&mut self, epoch: i32) {
        self.previous_epoch = self.epoch;
        self.epoch = epoch;
    }

    /// Gives a sign of life.
    pub(super) fn renew(&mut self, now_ms: i64) {
        self.session_ends = now_ms.saturating_add(self.session_timeout_ms);
    }

    pub(super) fn next_deadline(&self) -> i64 {
        self.revocation_ends.map_or(self.session_ends, |ends| ends.min(self.session_ends))
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        /// The structure itself, its place in the maps, and short strings (counted by hand).
        const OVERHEAD: usize = 768;
        let text = |text: &Option<Arc<str>>| text.as_deref().map_or(0, str::len);
        let names = self.id.len() + self.client_id.len() + self.client_host.len();
        let optional = text(&self.instance_id) + text(&self.rack_id) + text(&self.pattern);
        let topics = self.topics.iter().map(|topic| topic.len() + 48).sum::<usize>();
        let partitions = [&self.assigned, &self.revoking, &self.target];
        OVERHEAD + names + optional + topics + partitions.iter().map(|a| a.bytes()).sum::<usize>()
    }
}

impl Progress {
    /// As it is stored; never reused.
    pub(in crate::groups) const fn byte(self) -> u8 {
        match self {
            Self::Stable => 1,
            Self::Unrevoked => 2,
            Self::Unreleased => 3,
        }
    }

    /// As stored.
    pub(in crate::groups) const fn of_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Stable),
            2 => Some(Self::Unrevoked),
            3 => Some(Self::Unreleased),
            _ => None,
        }
    }
}
