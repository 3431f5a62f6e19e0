//! Rewind of a source: its cursor is set or forgotten, in a commit of its own while the task stands still. What lies outside
//! has no offsets and no times that the server could know.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::id;
use crate::model::deployment::RewindTo;
use crate::model::limits::CURSOR_BYTES_MAX;
use crate::model::revision::Action;
use crate::pipelines::error::Clash;
use crate::pipelines::replace::Replacement;
use crate::pipelines::supervisor::{Entry, Pipelines};
use crate::pipelines::{CursorMove, DeployError, RewindPlan};
use crate::state::cursor;
use crate::storage::Commit;

impl Pipelines {
    /// `earliest` forgets the cursor, `cursor` and `cursor_base64` set it.
    ///
    /// # Errors
    /// `Conflict` for a place that a source cannot go to, `Tables`, `Commit`.
    pub(in crate::pipelines) async fn rewind_source(
        &self,
        entry: &Entry,
        to: RewindTo,
        dry_run: bool,
    ) -> Result<RewindPlan, DeployError> {
        let target = target(to).map_err(|(with, detail)| with.because(detail))?;
        if !dry_run {
            self.halt(&entry.deployment.spec.name).await;
        }
        let task = id(&entry.deployment);
        let stored = self.broker().storage().on_reader(move |storage| cursor::load(storage, task)).await;
        let stored = stored.and_then(|stored| stored);
        if dry_run {
            return Ok(plan(stored?, target, None));
        }
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => {
                self.start(entry.deployment.clone()).await;
                return Err(error.into());
            }
        };
        let mut commit = Commit::new();
        match &target {
            Some(target) => cursor::put(&mut commit, task, target),
            None => cursor::delete(&mut commit, task),
        }
        // A refused commit starts the deployment again as it was.
        let deployment = self.revised(entry, |_| {});
        let view = self.replace(Replacement::new(deployment, Action::Rewound.into(), commit)).await?;
        Ok(plan(stored, target, Some(view)))
    }
}

fn plan(
    from: Option<Bytes>,
    to: Option<Bytes>,
    deployment: Option<crate::pipelines::DeploymentView>,
) -> RewindPlan {
    let shown =
        |cursor: Bytes| String::from_utf8(cursor.to_vec()).unwrap_or_else(|_| STANDARD.encode(&cursor));
    let cursor = CursorMove { from: from.map(shown), to: to.map(shown) };
    RewindPlan { partitions: Vec::new(), replayed: 0, estimated: false, cursor: Some(cursor), deployment }
}

/// The cursor to set; `None`: none.
fn target(to: RewindTo) -> Result<Option<Bytes>, (Clash, String)> {
    let wrong = |detail: String| (Clash::Request("/to"), detail);
    let cursor = match to {
        RewindTo::Earliest => return Ok(None),
        RewindTo::Cursor(text) => Bytes::from(text),
        RewindTo::CursorBase64(text) => {
            STANDARD.decode(&text).map_err(|e| wrong(format!("cursor_base64 is no base64: {e}")))?.into()
        }
        RewindTo::Latest | RewindTo::Timestamp(_) | RewindTo::Offsets(_) | RewindTo::ShiftBy(_) => {
            let detail = "a source reads no log: it goes to `earliest`, which forgets its cursor, to \
                          {\"cursor\": \"text\"} or to {\"cursor_base64\": \"…\"}";
            return Err((Clash::Kind, detail.to_owned()));
        }
    };
    match cursor.len() {
        found if found > CURSOR_BYTES_MAX => {
            Err(wrong(format!("a cursor of {found} bytes, at most {CURSOR_BYTES_MAX} are allowed")))
        }
        _ => Ok(Some(cursor)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_goes_to_the_beginning_or_to_a_cursor() {
        assert_eq!(target(RewindTo::Earliest), Ok(None));
        assert_eq!(target(RewindTo::Cursor("a".into())), Ok(Some("a".into())));
        assert_eq!(target(RewindTo::CursorBase64("/w==".into())), Ok(Some(Bytes::from_static(&[0xff]))));
        assert!(target(RewindTo::CursorBase64("?".into())).unwrap_err().1.contains("no base64"));
        for elsewhere in [RewindTo::Latest, RewindTo::Timestamp(1), RewindTo::ShiftBy(-1)] {
            assert!(target(elsewhere).unwrap_err().1.starts_with("a source reads no log"));
        }
        assert!(target(RewindTo::Cursor("x".repeat(CURSOR_BYTES_MAX + 1))).is_err());
    }
}
