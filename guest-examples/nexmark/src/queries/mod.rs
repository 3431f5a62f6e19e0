//! The queries by their names. Where one keeps rows by key and the order of events matters, its file says by what rule.
//! Results that change are told once per batch, as a new row with the same key.

mod auctions;
mod bids;
mod joins;
mod reports;
mod tops;
mod windows;

use millstream_sdk::Fault;
use millstream_sdk::timers::Timer;

use crate::event::{Event, Kind};
use crate::output::Out;

/// A query over the batches of a task.
pub(crate) trait Query {
    /// Kinds of events that it looks at.
    fn wants(&self) -> &'static [Kind] {
        &[Kind::Bid]
    }

    /// Takes the wanted events of a batch.
    fn process(&mut self, events: &[Event<'_>], out: &mut Out) -> Result<(), Fault>;

    /// Takes a timer.
    fn on_timer(&mut self, _: &Timer, _: &mut Out) -> Result<(), Fault> {
        Ok(())
    }
}

/// Opens a query.
///
/// # Errors
/// There is none of this name.
pub(crate) fn open(name: &str) -> Result<Box<dyn Query>, String> {
    Ok(match name {
        "q0" => Box::new(bids::Each(bids::q0)),
        "q1" => Box::new(bids::Each(bids::q1)),
        "q2" => Box::new(bids::Each(bids::q2)),
        "q3" => Box::new(joins::LocalItems::open()),
        "q4" => Box::new(auctions::CategoryAverages::open()),
        "q5" => Box::new(windows::HotItems::open()?),
        "q7" => Box::new(windows::HighestBids::open()?),
        "q8" => Box::new(windows::NewSellers::open()?),
        "q9" => Box::new(auctions::WinningBids::open()),
        "q11" => Box::new(windows::UserSessions::open()),
        "q12" => Box::new(windows::UserCounts::open()?),
        "q14" => Box::new(bids::Each(bids::q14)),
        "q15" => Box::new(reports::Days::open()),
        "q16" => Box::new(reports::Channels::open()),
        "q17" => Box::new(reports::Auctions::open()),
        "q18" => Box::new(tops::LastBids::open()),
        "q19" => Box::new(tops::TopBids::open()),
        "q20" => Box::new(joins::BidsWithAuctions::open()),
        "q21" => Box::new(bids::Each(bids::q21)),
        "q22" => Box::new(bids::Each(bids::q22)),
        other => return Err(format!("`{other}` is none")),
    })
}
