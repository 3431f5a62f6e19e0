//! What guests share: for the two recommenders ids as JSON gives them, and numbers as state keeps them; for the benches
//! their work. Must know nothing of either recommender's rules.

mod ids;
mod varint;
pub mod work;

pub use ids::{ItemId, Label};
pub use varint::{Reader, put_varint};
