//! What the two recommenders share: ids as JSON gives them, and numbers as state keeps them. Must know nothing of either
//! recommender's rules.

mod ids;
mod varint;

pub use ids::{ItemId, Label};
pub use varint::{Reader, put_varint};
