//! One file per API: the request in words of the floors below, their answer in words of Kafka. Each opens with three
//! blocks: versions, behaviour and deviations, what each version added.

pub(super) mod api_versions;
pub(super) mod fetch;
pub(super) mod list_offsets;
pub(super) mod metadata;
pub(super) mod offset_for_leader_epoch;
