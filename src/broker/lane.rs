//! The order of produces. A produce takes a ticket for each of its partitions in one synchronous step and gives them
//! back once its commit stands in the writer's queue; in between, transforms may take as long as they need.

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::model::Partition;

/// Ends when the one before has left: with an error when it is done, with [`Link`] when it gave up while it was still
/// waiting, so that whoever stands behind waits for the one before it instead.
type Before = oneshot::Receiver<Link>;

#[derive(Debug)]
struct Link(Before);

/// The lanes of one topic. One lock for all of them: two produces that share two partitions must get their tickets in
/// the same order on both, or they would wait for each other.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<Vec<Option<Before>>>);

/// For whoever holds places in the lanes of several topics until he has the turn in all of them: two that do so must come
/// in the same order everywhere, or they would wait for each other.
#[derive(Debug, Default)]
pub(super) struct LineUp(Mutex<()>);

/// Places in line. Dropping them lets the next ones go.
#[derive(Debug)]
pub(super) struct Tickets(Vec<Ticket>);

#[derive(Debug)]
struct Ticket {
    before: Option<Before>,
    leave: Option<oneshot::Sender<Link>>,
}

impl Lanes {
    /// Gets in line on every partition at once.
    pub(super) fn take(&self, partitions: impl IntoIterator<Item = Partition>) -> Tickets {
        let mut lanes = self.0.lock();
        let ticket = |partition: Partition| {
            let index = partition as usize;
            if lanes.len() <= index {
                lanes.resize_with(index + 1, || None);
            }
            let (leave, behind) = oneshot::channel();
            Ticket { before: lanes[index].replace(behind), leave: Some(leave) }
        };
        Tickets(partitions.into_iter().map(ticket).collect())
    }
}

impl LineUp {
    /// Gets in line on all partitions of all topics at once.
    pub(super) fn take<'a, P>(&self, topics: impl IntoIterator<Item = (&'a Lanes, P)>) -> Vec<Tickets>
    where
        P: IntoIterator<Item = Partition>,
    {
        let _in_order = self.0.lock();
        topics.into_iter().map(|(lanes, partitions)| lanes.take(partitions)).collect()
    }
}

impl Tickets {
    /// Waits until everyone who came earlier has left.
    pub(super) async fn turn(&mut self) {
        for ticket in &mut self.0 {
            while let Some(before) = &mut ticket.before {
                ticket.before = before.await.ok().map(|Link(earlier)| earlier);
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let (Some(before), Some(leave)) = (self.before.take(), self.leave.take()) {
            // An error means that nobody stands behind.
            let _ = leave.send(Link(before));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn the_second_waits_for_the_first_on_any_shared_partition() {
        let lanes = Lanes::default();
        let mut first = lanes.take([0, 1]);
        let mut second = lanes.take([1, 0]);
        let mut other = lanes.take([2]);
        assert!(first.turn().now_or_never().is_some());
        assert!(other.turn().now_or_never().is_some());
        assert!(second.turn().now_or_never().is_none());
        drop(first);
        second.turn().await;
    }

    #[test]
    fn two_in_the_lanes_of_the_same_topics_come_in_the_same_order_everywhere() {
        for _ in 0..1_000 {
            let (line_up, one, other) = (LineUp::default(), Lanes::default(), Lanes::default());
            let barrier = std::sync::Barrier::new(2);
            let take = |lanes: [&Lanes; 2]| {
                barrier.wait();
                line_up.take(lanes.map(|lanes| (lanes, [0])))
            };
            let (here, there) = std::thread::scope(|scope| {
                let there = scope.spawn(|| take([&other, &one]));
                (take([&one, &other]), there.join().unwrap())
            });
            let first_in = |tickets: &[Tickets]| {
                tickets.iter().filter(|t| t.0.iter().all(|t| t.before.is_none())).count()
            };
            let turns = [first_in(&here), first_in(&there)];
            assert!(turns == [2, 0] || turns == [0, 2], "{turns:?}");
        }
    }

    #[tokio::test]
    async fn who_gives_up_while_waiting_lets_nobody_overtake() {
        let lanes = Lanes::default();
        let first = lanes.take([0]);
        let mut second = lanes.take([0]);
        let mut third = lanes.take([0]);
        assert!(second.turn().now_or_never().is_none());
        drop(second);
        assert!(third.turn().now_or_never().is_none(), "the first has not left yet");
        drop(first);
        third.turn().await;
    }
}
