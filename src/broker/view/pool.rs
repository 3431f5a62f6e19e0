//! The instances of a view: one serves all partitions, in turn.

use std::sync::Arc;
use std::time::Duration;

use super::View;
use crate::broker::voice::Voice;
use crate::model::Partition;
use crate::wasm::{self, Fault, InstanceConfig, Transformer};

/// A reader waits no longer for an instance: all of them are at work then, each within its limits (a guess).
const LEASE_WAIT: Duration = Duration::from_secs(10);

pub(super) type Pool = wasm::Pool<Seat>;
pub(super) type Lease = wasm::Lease<Seat>;

/// An instance, and the partition that its lines belong to.
pub(super) struct Seat {
    pub(super) instance: Transformer,
    voice: Arc<Voice>,
}

/// The right to one instance, and one that rests if there is any.
pub(super) async fn lease(pool: &Pool) -> Result<Lease, Fault> {
    let busy = || Fault::Busy("all instances for views are at work; try again later".to_owned());
    pool.lease(LEASE_WAIT).await.ok_or_else(busy)
}

/// The leased instance, made if there is none.
pub(super) async fn instance<'l>(
    lease: &'l mut Lease,
    view: &Arc<View>,
    partition: Partition,
) -> Result<&'l mut Transformer, Fault> {
    let seat = match lease.instance.take() {
        Some(seat) => seat,
        None => Seat::make(view, partition).await?,
    };
    seat.voice.speak_for(partition);
    Ok(&mut lease.instance.insert(seat).instance)
}

impl Seat {
    async fn make(view: &Arc<View>, partition: Partition) -> Result<Self, Fault> {
        let component = view.component.as_ref().map_err(Fault::clone)?;
        let voice = Arc::new(Voice::new(view.log.clone(), partition));
        let of = &view.of;
        let config = InstanceConfig {
            label: of.called.clone(),
            params: of.params.clone(),
            inputs: vec![of.source.to_string()],
            outputs: Vec::new(),
            limits: of.limits.clone(),
            log: voice.clone(),
            place: None,
            http: None,
        };
        Ok(Self { instance: component.transformer(config).await?, voice })
    }
}
