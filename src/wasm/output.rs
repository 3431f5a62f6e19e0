//! What goes into a call and what comes out of it, in the server's terms.

use bytes::Bytes;

use crate::model::{Header, Offset, Partition, RecordView, TimestampMs};

/// A record handed to a guest; borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// index into [`super::InstanceConfig::inputs`]
    pub topic: u32,
    /// its partition
    pub partition: Partition,
    /// inline: 0-based index in its batch
    pub offset: Offset,
    /// the record
    pub record: RecordView<'a>,
}

impl Input<'_> {
    /// Bytes of key, value and headers, about as copied into the guest.
    pub fn size(&self) -> usize {
        self.record.size()
    }
}

/// A transform's verdict on one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// pass it on as it is
    Keep,
    /// leave it out
    Drop,
    /// replace it by these, at least one; `source` of each is the input's index
    Emit(Vec<Output>),
    /// refuse it, with a reason for its producer
    Reject(String),
}

/// What a batch came to when it went from topic to topic.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// in the order in which they are to be stored
    pub outputs: Vec<Output>,
    /// the inputs that a transform refuses, by their indexes and in their order, with its reasons
    pub rejected: Vec<(u32, String)>,
}

/// A record made by a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// index of the input it came from, always within the batch
    pub source: Option<u32>,
    /// `None`: the default output; else an index into [`super::InstanceConfig::outputs`]
    pub route: Option<u32>,
    /// its key
    pub key: Content,
    /// its value
    pub value: Content,
    /// `None`: the source's; without a source, that of the batch's last input. Never below -1, except as the source has it
    pub timestamp: Option<TimestampMs>,
    /// `None`: the source's; without a source, none
    pub headers: Option<Vec<Header>>,
}

/// A key or a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// as the source has it; never without a source
    Source,
    /// null; as a value, a tombstone
    Null,
    /// these bytes, perhaps a slice shared with other outputs of the call
    Bytes(Bytes),
}

// === impl Answer ===

impl Answer {
    /// Adds a transform's verdict on the input with this index.
    pub(super) fn add(&mut self, source: u32, outcome: Outcome) {
        match outcome {
            Outcome::Keep => self.outputs.push(Output::kept(source)),
            Outcome::Drop => {}
            Outcome::Emit(outputs) => self.outputs.extend(outputs),
            Outcome::Reject(reason) => self.rejected.push((source, reason)),
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// Bytes that it takes in memory, about.
    pub(crate) fn size(&self) -> usize {
        let more = match self {
            Self::Keep | Self::Drop => 0,
            Self::Emit(outputs) => outputs.iter().map(Output::size).sum(),
            Self::Reject(reason) => reason.len(),
        };
        size_of::<Self>() + more
    }
}

// === impl Output ===

impl Output {
    fn size(&self) -> usize {
        let content = |content: &Content| match content {
            Content::Bytes(bytes) => bytes.len(),
            Content::Source | Content::Null => 0,
        };
        let header = |header: &Header| {
            size_of::<Header>() + header.name.len() + header.value.as_ref().map_or(0, Bytes::len)
        };
        let headers: usize = self.headers.iter().flatten().map(header).sum();
        size_of::<Self>() + content(&self.key) + content(&self.value) + headers
    }

    /// The input with this index, untouched, to the default output.
    pub(super) fn kept(source: u32) -> Self {
        Self {
            source: Some(source),
            route: None,
            key: Content::Source,
            value: Content::Source,
            timestamp: None,
            headers: None,
        }
    }
}
