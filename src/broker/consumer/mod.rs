//! Members of groups that live in this server, for clients that speak no protocol of groups: to the coordinator they are
//! members like all others. A member is worked on by one request at a time; between requests its client has the session
//! timeout to come back.
//!
//! ```text
//! pull, follow → member: turn → commit → alive? (heartbeat, or enter: join, sync) → locate → read
//! ```

mod enter;
mod error;
mod member;
mod reading;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use self::member::{Member, Step};
use super::{Broker, ReadError};
use crate::groups::machine::{Leaving, MemberId, OffsetCommitter};
use crate::groups::{CommitOffsets, GroupError, GroupId, NewOffset};
use crate::model::limits::LOCAL_MEMBERS_MAX;
use crate::model::{Offset, Partition, Record, TopicName};
use crate::runtime::clock::monotonic;

pub use error::ConsumerError;

/// How long a request waits at least until its member is in the group: twice the wait of a first rebalance, and more.
const ENTER_WAIT: Duration = Duration::from_secs(10);

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberOptions {
    /// what it reads; these exist
    pub topics: Vec<TopicName>,
    /// where it begins when nothing is committed
    pub start: Start,
    /// without a sign of life for so long, it is removed
    pub session_timeout: Duration,
    /// as it is called in lists
    pub client_id: Arc<str>,
    /// where it is
    pub client_host: Arc<str>,
}

/// Where to begin when nothing is committed, or what is committed is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// at the oldest record kept
    Earliest,
    /// at the end
    Latest,
}

/// A request for records.
#[derive(Debug, Clone)]
pub struct Pull {
    /// who asks; `None`: a new member
    pub member: Option<MemberId>,
    /// what it says of itself now
    pub options: MemberOptions,
    /// what it has worked through
    pub commit: Option<Progress>,
    /// at most so many records
    pub records: usize,
    /// stop after so many bytes of records
    pub bytes: usize,
    /// when there is nothing, wait so long for the first record
    pub wait: Duration,
}

/// What is to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// all that was given to the member so far
    Previous,
    /// exactly this; a pull goes on from there, so that an answer that was lost comes again
    Offsets(Vec<CommittedOffset>),
}

/// An offset to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// of this topic
    pub topic: String,
    /// of this partition
    pub partition: Partition,
    /// of the next record to read
    pub offset: Offset,
    /// whatever the client keeps with it
    pub metadata: String,
}

/// Records for a member.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// its id
    pub member: MemberId,
    /// what it reads now, by topic
    pub assignment: Vec<(TopicName, Vec<Partition>)>,
    /// the group is rebalancing, and nothing can be read until it has
    pub is_rebalancing: bool,
    /// by partition, in offset order
    pub records: Vec<Given>,
    /// what was given and is not committed yet
    pub next_commit: Vec<(TopicName, Partition, Offset)>,
}

/// A record as it is given to a member.
#[derive(Debug, Clone)]
pub struct Given {
    /// where it is from
    pub topic: TopicName,
    /// where it is from
    pub partition: Partition,
    /// where it is from
    pub offset: Offset,
    /// itself
    pub record: Record,
}

/// The members in use, by group and id.
#[derive(Default)]
pub(super) struct Consumers(Mutex<HashMap<(GroupId, MemberId), Arc<Member>>>);

/// A member that reads for as long as somebody holds it, and then leaves.
pub struct Follower {
    broker: Broker,
    member: Arc<Member>,
    /// what it gave is committed when the next is asked for
    commits: bool,
    seen: Option<i32>,
}

/// A member whose id nobody knows as long as its first request is not answered: if that is given up or refused, it leaves,
/// lest its partitions wait for its session to end.
struct Unanswered<'a> {
    broker: &'a Broker,
    member: Option<Arc<Member>>,
}

/// What a follower gives.
#[derive(Debug, Clone)]
pub struct Followed {
    /// set when it has changed, and at first
    pub assignment: Option<Vec<(TopicName, Vec<Partition>)>>,
    /// behind the change
    pub records: Vec<Given>,
}

// === impl Consumers ===

impl Consumers {
    fn find(&self, group: &GroupId, id: &MemberId) -> Option<Arc<Member>> {
        self.0.lock().get(&(group.clone(), id.clone())).cloned()
    }

    /// Takes a member in. Those whose sessions have ended make room.
    fn insert(&self, member: Arc<Member>) -> Result<(), ConsumerError> {
        let mut members = self.0.lock();
        members.retain(|_, member| !member.is_over());
        if members.len() >= LOCAL_MEMBERS_MAX {
            return Err(ConsumerError::TooMany { limit: LOCAL_MEMBERS_MAX });
        }
        members.insert((member.group.clone(), member.id.clone()), member);
        Ok(())
    }

    fn remove(&self, member: &Member) {
        self.0.lock().remove(&(member.group.clone(), member.id.clone()));
    }
}

// === impl Broker ===

impl Broker {
    /// Commits what a member has worked through, makes it one if it is none, and reads what it is assigned. Waits for the
    /// disk when something is committed, for the group while it rebalances (then there may be nothing to read when the time
    /// is over), and at most `wait` for records.
    ///
    /// # Errors
    /// `Fenced`, `NotAssigned`: nothing was committed. See [`ConsumerError`] for the rest.
    pub async fn pull(&self, group: &GroupId, pull: Pull) -> Result<Pulled, ConsumerError> {
        let known = pull.member.as_ref().and_then(|id| self.0.consumers.find(group, id));
        let mut is_new = false;
        let member = match (known, &pull.member) {
            (Some(member), _) => member,
            (None, Some(id)) if pull.commit.is_some() => {
                return Err(ConsumerError::Fenced { member: id.clone() });
            }
            // The server may have been restarted: then the group still knows it.
            (None, Some(id)) if self.has_member(group, id) => {
                self.take_in(Member::new(group, id.clone(), &pull.options))?
            }
            (None, _) => {
                is_new = true;
                self.new_member(group, &pull.options).await?
            }
        };
        let mut unanswered = Unanswered { broker: self, member: is_new.then(|| member.clone()) };
        let until = monotonic() + pull.wait;
        let (records, bytes) = (pull.records, pull.bytes);
        let mut turn = member.turn().await?;
        member.update(pull.options);
        if let Some(progress) = pull.commit {
            let goes_back = matches!(progress, Progress::Offsets(_));
            self.leaving_if_fenced(&member, member.commit(self, progress).await)?;
            if goes_back {
                member.go_back();
            }
        }
        let step =
            Step { until, enter_until: until.max(monotonic() + ENTER_WAIT), records, bytes, seen: None };
        let stepped = member.step(self, &mut turn, step).await;
        let stepped = self.leaving_if_fenced(&member, stepped)?;
        unanswered.member = None;
        Ok(Pulled {
            member: member.id.clone(),
            assignment: member.assignment(),
            is_rebalancing: stepped.is_rebalancing,
            records: stepped.records,
            next_commit: member.uncommitted(),
        })
    }

    /// Commits offsets of a group: for a member what it is assigned, else for a group without members.
    ///
    /// # Errors
    /// See [`ConsumerError`]; then nothing was committed, but for `Group(Storage)`.
    pub async fn commit(
        &self,
        group: &GroupId,
        member: Option<&MemberId>,
        offsets: Vec<CommittedOffset>,
    ) -> Result<(), ConsumerError> {
        let Some(id) = member else {
            let members = match self.0.groups.members(group) {
                Ok(members) => members,
                Err(GroupError::NotFound { .. }) => 0,
                Err(error) => return Err(error.into()),
            };
            if members > 0 {
                return Err(GroupError::NotEmpty { members }.into());
            }
            let who = OffsetCommitter { member_id: "".into(), instance_id: None, generation: -1 };
            return self.commit_as(group, who, self.new_offsets(&offsets)?).await;
        };
        let found = self.0.consumers.find(group, id);
        let member = found.ok_or_else(|| ConsumerError::Fenced { member: id.clone() })?;
        let committed = member.commit(self, Progress::Offsets(offsets)).await;
        self.leaving_if_fenced(&member, committed)
    }

    /// Joins a group for as long as the follower is held. `commits`: what it gave is committed when the next is asked for.
    ///
    /// # Errors
    /// See [`ConsumerError`].
    pub async fn follow(
        &self,
        group: &GroupId,
        options: MemberOptions,
        commits: bool,
    ) -> Result<Follower, ConsumerError> {
        let member = self.new_member(group, &options).await?;
        Ok(Follower { broker: self.clone(), member, commits, seen: None })
    }

    /// Takes a member out of its group.
    fn let_go(&self, member: &Member) {
        self.0.consumers.remove(member);
        member.stop();
        let leaving = Leaving { member_id: member.id.clone(), instance_id: None };
        // Who is no member any more need not leave.
        let _ = self.0.groups.leave(&member.group, &[leaving]);
    }

    fn has_member(&self, group: &GroupId, id: &MemberId) -> bool {
        let described = self.0.groups.describe(group);
        described.is_ok_and(|group| group.description.members.iter().any(|member| member.id == *id))
    }

    async fn new_member(
        &self,
        group: &GroupId,
        options: &MemberOptions,
    ) -> Result<Arc<Member>, ConsumerError> {
        let id = enter::fresh_id(self, group, options).await?;
        self.take_in(Member::new(group, id, options))
    }

    fn take_in(&self, member: Member) -> Result<Arc<Member>, ConsumerError> {
        let member = Arc::new(member);
        self.0.consumers.insert(member.clone())?;
        Ok(member)
    }

    /// A member that the group has no more is none here either.
    fn leaving_if_fenced<T>(
        &self,
        member: &Member,
        result: Result<T, ConsumerError>,
    ) -> Result<T, ConsumerError> {
        if let Err(ConsumerError::Fenced { .. }) = result {
            self.0.consumers.remove(member);
        }
        result
    }

    /// Offsets of topics and partitions that exist.
    fn new_offsets(&self, offsets: &[CommittedOffset]) -> Result<Vec<NewOffset>, ConsumerError> {
        let new = |given: &CommittedOffset| {
            let topic = self.readable(&given.topic)?;
            let (partition, partitions) = (given.partition, topic.topic.partitions);
            if partition >= partitions {
                let topic = topic.name().clone();
                return Err(ReadError::UnknownPartition { topic, partition, partitions }.into());
            }
            Ok(NewOffset {
                topic: topic.name().clone(),
                topic_id: topic.id(),
                partition,
                offset: i64::try_from(given.offset).unwrap_or(i64::MAX),
                leader_epoch: -1,
                metadata: given.metadata.as_str().into(),
            })
        };
        offsets.iter().map(new).collect()
    }

    async fn commit_as(
        &self,
        group: &GroupId,
        who: OffsetCommitter,
        offsets: Vec<NewOffset>,
    ) -> Result<(), ConsumerError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let request = CommitOffsets { group: group.clone(), who, kept_ms: None, offsets };
        let results = self.0.groups.commit_offsets(request).await?;
        Ok(results.into_iter().collect::<Result<(), GroupError>>()?)
    }
}

// === impl Unanswered ===

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(member) = self.member.take() {
            self.broker.let_go(&member);
        }
    }
}

// === impl Follower ===

impl Follower {
    /// Its id in the group.
    pub fn member(&self) -> &MemberId {
        &self.member.id
    }

    /// The next records; waits for them, and gives none when the time is over.
    ///
    /// # Errors
    /// `Fenced`: it is no member any more. See [`ConsumerError`].
    pub async fn next(
        &mut self,
        records: usize,
        bytes: usize,
        wait: Duration,
    ) -> Result<Followed, ConsumerError> {
        let mut turn = self.member.turn().await?;
        if self.commits {
            match self.member.commit(&self.broker, Progress::Previous).await {
                // It goes on where the group says after the rebalance.
                Err(ConsumerError::Group(GroupError::Rebalancing | GroupError::IllegalGeneration { .. })) => {
                }
                other => other?,
            }
        }
        let until = monotonic() + wait;
        let step = Step { until, enter_until: until, records, bytes, seen: Some(self.seen) };
        let stepped = self.member.step(&self.broker, &mut turn, step).await?;
        let is_new = !stepped.is_rebalancing && self.seen != Some(stepped.generation);
        let assignment = is_new.then(|| self.member.assignment());
        if is_new {
            self.seen = Some(stepped.generation);
        }
        Ok(Followed { assignment, records: stepped.records })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.broker.let_go(&self.member);
    }
}
