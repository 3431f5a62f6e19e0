//! Bytes of requests in memory at once, over all connections. Whoever finds no room waits, and its socket is not read
//! meanwhile, so that a client meets a slow server as TCP's backpressure and not as an error.
//!
//! A request takes its share while it arrives, never more than twice what has come: a claimed length alone takes
//! nothing from others. Requests that wait for their rest could then hold all of the room and none could finish; one of
//! them at a time may therefore go on past the bound.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::limits::{KIB, MIB};

/// Shares are counted in KiB, so that any bound fits the semaphore's 32-bit permits.
const UNIT: usize = KIB;
/// The least bound that can be set.
const BYTES_MIN: usize = 4 * MIB;

/// The bound.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    units: Arc<Semaphore>,
    limit_units: usize,
    past_bound: Arc<Semaphore>,
}

/// Part of the budget; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Share {
    units: Option<OwnedSemaphorePermit>,
    past_bound: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// At most `bytes` at once.
    pub(super) fn new(bytes: usize) -> Self {
        let limit_units = (bytes.max(BYTES_MIN) / UNIT).min(u32::MAX as usize);
        Self {
            units: Arc::new(Semaphore::new(limit_units)),
            limit_units,
            past_bound: Arc::new(Semaphore::new(1)),
        }
    }

    /// Adds to a share; waits for room. Cancel safe: what was not granted is not taken.
    pub(super) async fn grow(&self, share: &mut Share, bytes: usize) {
        let units = self.units_of(bytes);
        if share.past_bound.is_some() {
            return;
        }
        if let Ok(permit) = self.units.clone().try_acquire_many_owned(units) {
            return share.merge(permit);
        }
        if share.units.is_none() {
            // Holds nothing that others wait for.
            if let Ok(permit) = self.units.clone().acquire_many_owned(units).await {
                share.merge(permit);
            }
            return;
        }
        // The semaphores are never closed, so both waits end with a permit.
        tokio::select! {
            Ok(permit) = self.units.clone().acquire_many_owned(units) => share.merge(permit),
            Ok(permit) = self.past_bound.clone().acquire_owned() => share.past_bound = Some(permit),
            else => {}
        }
    }

    /// Takes up to `bytes`, at least `least` of them; waits only for those. Gives the share and its bytes.
    pub(super) async fn take_up_to(&self, bytes: usize, least: usize) -> (Share, usize) {
        let free = self.units.available_permits() * UNIT;
        let (least, wanted) = (least.min(bytes), bytes.min(free));
        let mut share = Share::default();
        if wanted > least
            && let Ok(permit) = self.units.clone().try_acquire_many_owned(self.units_of(wanted))
        {
            share.merge(permit);
            return (share, wanted);
        }
        // Also when somebody was faster: who waits for much stands before all others until he has it.
        self.grow(&mut share, least).await;
        (share, least)
    }

    /// More than the whole bound is the whole bound: such a request is then alone.
    fn units_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT).min(self.limit_units)).unwrap_or(u32::MAX)
    }
}

impl Share {
    fn merge(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.units {
            Some(mine) => mine.merge(permit),
            None => self.units = Some(permit),
        }
    }

    /// Is nothing taken?
    pub(super) fn is_empty(&self) -> bool {
        self.units.is_none() && self.past_bound.is_none()
    }

    /// The part within the bound, for whoever keeps the bytes longer than the request.
    pub(super) fn take_units(&mut self) -> Option<OwnedSemaphorePermit> {
        self.units.take()
    }

    /// Adds another share to this one.
    pub(super) fn absorb(&mut self, other: Self) {
        if let Some(units) = other.units {
            self.merge(units);
        }
        self.past_bound = self.past_bound.take().or(other.past_bound);
    }

    /// Gives back all but `bytes`.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.units {
            let surplus = permit.num_permits().saturating_sub(bytes.div_ceil(UNIT));
            drop(permit.split(surplus));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_waits_for_a_share_to_be_given_back() {
        let budget = Budget::new(4 * MIB);
        let (mut first, mut second) = (Share::default(), Share::default());
        budget.grow(&mut first, 3 * MIB).await;
        assert!(budget.grow(&mut second, 2 * MIB).now_or_never().is_none());
        drop(first);
        assert!(budget.grow(&mut second, 2 * MIB).now_or_never().is_some());
    }

    #[tokio::test]
    async fn one_of_those_that_hold_a_part_may_go_on_past_the_bound() {
        let budget = Budget::new(4 * MIB);
        let mut shares = [Share::default(), Share::default()];
        for share in &mut shares {
            budget.grow(share, 2 * MIB).await;
        }
        let [first, second] = &mut shares;
        budget.grow(first, MIB).await;
        assert!(first.past_bound.is_some());
        assert!(budget.grow(second, MIB).now_or_never().is_none(), "only one");
        *first = Share::default();
        budget.grow(second, MIB).await;
        assert!(second.past_bound.is_none(), "there is room again");
    }

    #[tokio::test]
    async fn a_share_takes_what_is_free_and_gives_back_what_it_did_not_need() {
        let budget = Budget::new(4 * MIB);
        let (mut first, got) = budget.take_up_to(100 * MIB, MIB).await;
        assert_eq!(got, 4 * MIB);
        assert!(budget.take_up_to(MIB, MIB).now_or_never().is_none());
        first.shrink_to(MIB);
        let (_second, got) = budget.take_up_to(100 * MIB, MIB).await;
        assert_eq!(got, 3 * MIB);
    }
}
