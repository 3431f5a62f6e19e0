//! What a view shows of one batch. As long as every record is kept it is the batch itself; from the first change on it is a
//! batch of its own, whose records stand at their sources' offsets.

use crate::broker::output;
use crate::model::batch::{BatchBuilder, BatchError, Payload, RecordBatch};
use crate::model::{Offset, RecordView};
use crate::wasm::Output;

pub(super) struct Making<'a> {
    batch: &'a RecordBatch,
    payload: &'a Payload,
    /// records from the first on that are kept as they are, while there is no builder
    kept: usize,
    builder: Option<BatchBuilder>,
}

impl<'a> Making<'a> {
    /// `from`: records before it are not shown.
    pub(super) fn new(batch: &'a RecordBatch, payload: &'a Payload, from: Offset) -> Self {
        let builder = (batch.header().base_offset < from).then(|| builder(payload));
        Self { batch, payload, kept: 0, builder }
    }

    pub(super) fn keep(&mut self, record: &RecordView<'_>) {
        match &mut self.builder {
            None => self.kept += 1,
            Some(builder) => put(builder, record.offset_delta, record),
        }
    }

    pub(super) fn leave_out(&mut self) -> Result<(), BatchError> {
        self.change().map(drop)
    }

    pub(super) fn replace(&mut self, source: &RecordView<'_>, output: &Output) -> Result<(), BatchError> {
        let shown = output::view(output, Some(source), source.timestamp);
        put(self.change()?, source.offset_delta, &shown);
        Ok(())
    }

    /// Bytes so far, before compression.
    pub(super) fn size(&self) -> usize {
        self.builder.as_ref().map_or(0, BatchBuilder::size)
    }

    /// The batch to be shown; `None` when nothing of it is. `whole`: all of its records were seen.
    pub(super) fn finish(mut self, whole: bool) -> Result<Option<RecordBatch>, BatchError> {
        if self.builder.is_none() && whole {
            return Ok((self.kept > 0).then(|| self.batch.clone()));
        }
        self.change()?;
        let codec = self.batch.header().codec;
        Ok(self.builder.filter(|builder| builder.count() > 0).and_then(|builder| builder.finish(codec)))
    }

    fn change(&mut self) -> Result<&mut BatchBuilder, BatchError> {
        if let Some(builder) = self.builder.take() {
            return Ok(self.builder.insert(builder));
        }
        let mut builder = builder(self.payload);
        for record in self.payload.records().take(self.kept) {
            let record = record?;
            put(&mut builder, record.offset_delta, &record);
        }
        Ok(self.builder.insert(builder))
    }
}

fn builder(payload: &Payload) -> BatchBuilder {
    BatchBuilder::in_view_of(payload.header(), 0)
}

fn put(builder: &mut BatchBuilder, offset_delta: u32, record: &RecordView<'_>) {
    builder.skip(offset_delta.saturating_sub(builder.next_delta()));
    builder.push_view(record);
}
