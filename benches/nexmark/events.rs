//! The events, as the guest reads them.

use anyhow::Result;
use nexmark_generator::EventGenerator;
use nexmark_generator::config::{NexmarkConfig, RateShape};
use nexmark_generator::event::Event;

/// Events for each second of event time: the crate's own.
const PER_SECOND: usize = 10_000;
/// 2026-01-01T23:59:40Z: midnight comes early, for queries by day.
const BASE_TIME: u64 = 1_767_311_980_000;

/// The form of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Binary,
}

impl Format {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Binary => "binary",
        }
    }

    /// Writes an event over what is there.
    pub(super) fn write(self, event: &Event, to: &mut Vec<u8>) -> Result<()> {
        to.clear();
        match self {
            Self::Json => serde_json::to_writer(to, event)?,
            Self::Binary => binary(event, to),
        }
        Ok(())
    }
}

/// The first events.
pub(super) fn generate(count: usize) -> impl Iterator<Item = Event> {
    let config = NexmarkConfig {
        base_time: BASE_TIME,
        first_rate: PER_SECOND,
        next_rate: PER_SECOND,
        rate_shape: RateShape::Square,
        ..NexmarkConfig::default()
    };
    EventGenerator::new(config).take(count)
}

/// As `guest-examples/nexmark/src/binary.rs` draws it.
fn binary(event: &Event, to: &mut Vec<u8>) {
    fn number(number: u64, to: &mut Vec<u8>) {
        to.extend_from_slice(&number.to_le_bytes());
    }
    fn text(text: &str, to: &mut Vec<u8>) {
        to.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
        to.extend_from_slice(text.as_bytes());
    }
    match event {
        Event::Person(p) => {
            to.push(0);
            number(p.id as u64, to);
            for part in [&p.name, &p.email_address, &p.credit_card, &p.city, &p.state] {
                text(part, to);
            }
            number(p.date_time, to);
            text(&p.extra, to);
        }
        Event::Auction(a) => {
            to.push(1);
            number(a.id as u64, to);
            text(&a.item_name, to);
            text(&a.description, to);
            for part in [a.initial_bid as u64, a.reserve as u64, a.date_time, a.expires, a.seller as u64] {
                number(part, to);
            }
            number(a.category as u64, to);
            text(&a.extra, to);
        }
        Event::Bid(b) => {
            to.push(2);
            for part in [b.auction, b.bidder, b.price] {
                number(part as u64, to);
            }
            text(&b.channel, to);
            text(&b.url, to);
            number(b.date_time, to);
            text(&b.extra, to);
        }
    }
}
