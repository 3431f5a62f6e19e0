//! The work of the benches as a processor in the packed form: parameter `work` is `identity`, `filter`, `map` or `count`.

use common::work::{Work, count, map, passes};
use millstream_sdk::state::Store;
use millstream_sdk::{Fault, Output, Processor, Record, config, processor};

struct Bench {
    work: Work,
    counts: Store,
}

processor!(Bench);

impl Processor for Bench {
    fn open() -> Result<Self, String> {
        let name = config::require("work")?;
        let work = Work::named(&name).ok_or_else(|| format!("parameter `work`: `{name}` is none"))?;
        Ok(Self { work, counts: Store::open("counts") })
    }

    fn process(&mut self, batch: &[Record<'_>]) -> Result<Vec<Output>, Fault> {
        let of = |index: usize| Output::new().source(index);
        let records = batch.iter().enumerate();
        Ok(match self.work {
            Work::Identity => records.map(|(index, _)| of(index)).collect(),
            Work::Filter => records.filter(|(_, r)| passes(value(r))).map(|(index, _)| of(index)).collect(),
            Work::Map => records.filter_map(|(index, r)| Some(of(index).value(map(value(r))?))).collect(),
            Work::Count => {
                let keys: Vec<&[u8]> = batch.iter().map(|r| r.key().unwrap_or_default()).collect();
                let (counts, rows) = count(&keys, |keys| self.counts.get_many(keys));
                self.counts.put_many(&rows);
                counts.iter().enumerate().map(|(index, n)| of(index).value(n.to_string())).collect()
            }
        })
    }
}

fn value<'a>(record: &Record<'a>) -> &'a [u8] {
    record.value().unwrap_or_default()
}
