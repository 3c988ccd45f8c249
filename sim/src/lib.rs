//! Distance, weather and chance for tests: a TCP proxy that adds delay, and a mesh that runs sessions in memory.
//!
//! Lives here: what stands between processes or sessions in tests and measurements. May not live here: anything that a
//! daemon links. Everything random comes from a seed, so that a failure replays. Start reading at [`DelayProxy`] for
//! real processes, at [`Mesh`] for sessions without any.

#[cfg(feature = "cluster")]
pub mod cluster;
pub mod dice;
pub mod mesh;
pub mod proxy;

pub use dice::Dice;
pub use mesh::{Delivery, Ending, Fate, Mesh, Party, Weather};
pub use proxy::{DelayProxy, Distance, LineState};
