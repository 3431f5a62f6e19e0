//! Commits under way. While the writer makes what a task has submitted, the task works on: a sync costs time then, but
//! no throughput. What it tells of itself moves with the acknowledgements alone, and they come in the order of the
//! commits. Once one is refused, so are all behind it: each stands on what those before it have done.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::status::Status;
use super::time::{Steps, TaskTime};
use super::view::DeploymentState;
use crate::model::{Offset, Partition, TopicName};
use crate::storage::{Chain, Commit, CommitError, Fence, Pending, Storage};

/// Commits of one task that may be under way, and their bytes: enough to hide a sync of some milliseconds, and little
/// enough for what a restart does again (a guess).
const COMMITS_MAX: usize = 8;
const BYTES_MAX: usize = 16 << 20;

/// The commits of a task that the writer has not acknowledged, in their order.
pub(super) struct Flight {
    status: Arc<Status>,
    fence: Fence,
    chain: Chain,
    under_way: VecDeque<UnderWay>,
    bytes: usize,
    /// acknowledged commits of state whose instance has not been told
    state_made: usize,
    /// the positions that its commits have stored, by input
    stored: Vec<(TopicName, Offset)>,
    /// how far the task has come in event time, by the last commit that says so
    steps: Steps,
}

/// Where a task stands in an input.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) topic: TopicName,
    pub(super) partition: Partition,
    /// the next offset to read
    pub(super) next: Offset,
}

/// What is counted once a commit is made.
#[derive(Clone, Default)]
pub(super) struct Done {
    pub(super) records_in: u64,
    pub(super) records_out: u64,
    pub(super) rejected: u64,
    pub(super) dead_letters: u64,
    pub(super) skipped: u64,
    pub(super) late: u64,
    pub(super) ahead: u64,
    pub(super) fired: u64,
    /// how a task's event time stands then, and how many timers there are
    pub(super) time: Option<TaskTime>,
    pub(super) timers: Option<u64>,
    /// it holds changes of state, of which the instance is told
    pub(super) state: bool,
}

struct UnderWay {
    /// `None`: nothing was submitted, the place is only told in its turn
    pending: Option<Pending>,
    /// `None`: it leads nowhere else, as when only timers have fired
    place: Option<Place>,
    done: Done,
    bytes: usize,
}

/// A commit that was not made, and where it would have led.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: CommitError,
    pub(super) place: Option<(TopicName, Partition)>,
}

impl Flight {
    pub(super) fn new(status: Arc<Status>, fence: Fence) -> Self {
        let under_way = VecDeque::with_capacity(COMMITS_MAX);
        let (chain, stored) = (Chain::default(), Vec::new());
        Self { status, fence, chain, under_way, bytes: 0, state_made: 0, stored, steps: Steps::default() }
    }

    /// A task that reopens begins a new chain. Nothing is under way.
    pub(super) fn begin(&mut self) {
        self.chain = Chain::default();
        self.state_made = 0;
        self.stored.clear();
        self.steps = Steps::default();
    }

    /// The position in an input that a commit has stored since it began. What is told may lie behind it: places without a
    /// commit are told as well.
    pub(super) fn stored(&self, topic: &TopicName) -> Option<Offset> {
        self.stored.iter().find(|(input, _)| input == topic).map(|(_, next)| *next)
    }

    /// How far the task has come in event time, by the last commit that has ended; the commits that are still under way may
    /// lead further.
    pub(super) fn steps(&self) -> Steps {
        self.steps
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Is there no room for one commit more?
    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= COMMITS_MAX || self.bytes >= BYTES_MAX
    }

    /// What every commit of the task stands behind.
    pub(super) fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Submits a commit that leads to this place; waits only for room in the writer's queue.
    ///
    /// # Errors
    /// `DiskFull` and `Closed`; then it is not under way, and those before it still are.
    pub(super) async fn submit(
        &mut self,
        storage: &Storage,
        mut commit: Commit,
        place: Option<Place>,
        done: Done,
    ) -> Result<(), CommitError> {
        commit.link(&self.chain);
        commit.behind(&self.fence);
        let bytes = commit.bytes();
        let pending = Some(storage.submit(commit).await?);
        self.bytes += bytes;
        self.under_way.push_back(UnderWay { pending, place, done, bytes });
        Ok(())
    }

    /// Tells a place without a commit, after those that are under way. The next commit stores it.
    pub(super) fn tell(&mut self, place: Place) {
        if self.is_empty() {
            self.status.set_position(&place.topic, place.partition, place.next);
            return;
        }
        self.under_way.push_back(UnderWay {
            pending: None,
            place: Some(place),
            done: Done::default(),
            bytes: 0,
        });
    }

    /// Waits until the oldest commit has ended; returns at once when there is none. May be given up and called again.
    ///
    /// # Errors
    /// [`Refused`]; then all that are under way will be, for the same reason.
    pub(super) async fn next(&mut self) -> Result<(), Refused> {
        let outcome = match self.under_way.front_mut() {
            None => return Ok(()),
            Some(UnderWay { pending: Some(pending), .. }) => pending.outcome().await.map(drop),
            Some(_) => Ok(()),
        };
        // Nothing is awaited from here on, so an outcome that was taken is also told.
        let Some(UnderWay { pending, place, done, bytes }) = self.under_way.pop_front() else {
            return Ok(());
        };
        self.bytes -= bytes;
        if let Err(error) = outcome {
            return Err(Refused { error, place: place.map(|place| (place.topic, place.partition)) });
        }
        self.steps = done.time.as_ref().map_or(self.steps, TaskTime::steps);
        self.count(done);
        if let Some(place) = place.as_ref().filter(|_| pending.is_some()) {
            self.note_stored(place);
        }
        match place {
            Some(Place { topic, partition, next }) => self.status.set_position(&topic, partition, next),
            None => self.status.tell(),
        }
        Ok(())
    }

    fn note_stored(&mut self, place: &Place) {
        match self.stored.iter_mut().find(|(topic, _)| *topic == place.topic) {
            Some((_, next)) => *next = place.next,
            None => self.stored.push((place.topic.clone(), place.next)),
        }
    }

    /// Waits until every commit has ended. Waits for no more than the writer's next writes.
    ///
    /// # Errors
    /// The first refusal.
    pub(super) async fn settle(&mut self) -> Result<(), Refused> {
        let mut first = Ok(());
        while !self.is_empty() {
            let ended = self.next().await;
            first = first.and(ended);
        }
        first
    }

    /// Acknowledged commits of state since this was asked last.
    pub(super) fn take_state_made(&mut self) -> usize {
        std::mem::take(&mut self.state_made)
    }

    fn count(&mut self, done: Done) {
        let counts = &self.status.counts;
        for (count, more) in [
            (&counts.records_in, done.records_in),
            (&counts.records_out, done.records_out),
            (&counts.rejected, done.rejected),
            (&counts.dead_letters, done.dead_letters),
            (&counts.skipped, done.skipped),
            (&counts.late, done.late),
            (&counts.ahead, done.ahead),
            (&counts.fired, done.fired),
        ] {
            count.fetch_add(more, Ordering::Relaxed);
        }
        self.state_made += usize::from(done.state);
        if done.time.is_some() || done.timers.is_some() {
            self.status.set_time(done.time, done.timers);
        }
        if (done.records_in > 0 || done.fired > 0) && self.status.state() == DeploymentState::Retrying {
            self.status.set_state(DeploymentState::Running);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::model::DeploymentName;
    use crate::model::batch::{BatchBuilder, Codec};
    use crate::pipelines::failing::Failing;
    use crate::storage::tests::World;

    fn input() -> TopicName {
        TopicName::parse("in").unwrap()
    }

    fn at(next: Offset) -> Place {
        Place { topic: input(), partition: 0, next }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as `submit` takes it")]
    fn place(next: Offset) -> Option<Place> {
        Some(at(next))
    }

    fn done() -> Done {
        Done { records_in: 1, records_out: 1, state: true, ..Done::default() }
    }

    fn commit(log: &Arc<crate::storage::Log>) -> Commit {
        let mut builder = BatchBuilder::new();
        builder.push(0, None, Some(b"x"), []);
        let mut commit = Commit::new();
        commit.append(log, builder.finish(Codec::None).unwrap());
        commit
    }

    #[tokio::test]
    async fn what_is_told_moves_with_the_acknowledgements_in_their_order() {
        let world = World::new();
        let log = &world.topic("out", 1, &[]).await[0];
        let status = Arc::new(Status::new(DeploymentName::parse("d").unwrap(), 0, Failing::default()));
        let mut flight = Flight::new(status.clone(), Fence::default());
        flight.tell(at(1));
        assert_eq!(status.position(&input(), 0), Some(1), "nothing stands before it");
        for next in 2..5 {
            flight.submit(&world.storage, commit(log), place(next), done()).await.unwrap();
        }
        flight.tell(at(9));
        assert_eq!(status.position(&input(), 0), Some(1));
        for next in 2..5 {
            flight.next().await.unwrap();
            assert_eq!(status.position(&input(), 0), Some(next));
        }
        assert!(!flight.is_empty());
        flight.settle().await.unwrap();
        assert_eq!((status.position(&input(), 0), flight.stored(&input())), (Some(9), Some(4)));
        assert_eq!(status.counts.records_out.load(Ordering::Relaxed), 3);
        assert_eq!((flight.take_state_made(), flight.take_state_made()), (3, 0));
        assert!(flight.next().now_or_never().is_some(), "an empty one does not wait");
    }

    #[tokio::test]
    async fn a_refusal_in_the_middle_takes_everything_behind_it() {
        let world = World::new();
        let log = &world.topic("out", 1, &[]).await[0];
        let gone = &world.topic("gone", 1, &[]).await[0];
        world.storage.delete_topic(gone.topic_id()).await.unwrap();
        let status = Arc::new(Status::new(DeploymentName::parse("d").unwrap(), 0, Failing::default()));
        let mut flight = Flight::new(status.clone(), Fence::default());
        for (next, log) in [(1, log), (2, gone), (3, log), (4, log)] {
            flight.submit(&world.storage, commit(log), place(next), done()).await.unwrap();
        }
        let refused = flight.settle().await.unwrap_err();
        assert_eq!(refused.error, CommitError::TopicGone { topic: gone.topic_id() });
        assert!(flight.is_empty());
        assert_eq!((status.position(&input(), 0), log.tail()), (Some(1), 1));
        assert_eq!(status.counts.records_in.load(Ordering::Relaxed), 1);

        flight.submit(&world.storage, commit(log), place(5), done()).await.unwrap();
        assert!(flight.settle().await.is_err(), "until it reopens");
        flight.begin();
        flight.submit(&world.storage, commit(log), place(2), done()).await.unwrap();
        flight.settle().await.unwrap();
        assert_eq!((status.position(&input(), 0), log.tail()), (Some(2), 2));
    }

    #[tokio::test]
    async fn the_depth_is_bounded() {
        let world = World::new();
        let log = &world.topic("out", 1, &[]).await[0];
        let status = Arc::new(Status::new(DeploymentName::parse("d").unwrap(), 0, Failing::default()));
        let mut flight = Flight::new(status, Fence::default());
        for next in 0..COMMITS_MAX as u64 {
            assert!(!flight.is_full());
            flight.submit(&world.storage, commit(log), place(next), done()).await.unwrap();
        }
        assert!(flight.is_full());
        flight.next().await.unwrap();
        assert!(!flight.is_full());
    }
}
