//! Distance, weather, chance and malice for tests: a TCP proxy that adds delay, a mesh that runs sessions in memory, and a
//! hostile coordinator with a judge.
//!
//! Lives here: what stands between processes or sessions in tests and measurements. May not live here: anything that a
//! daemon links. Everything random comes from a seed, so that a failure replays. Start reading at [`DelayProxy`] for
//! real processes, at [`Mesh`] for sessions without any, at `hostile` for signers under attack.

#[cfg(feature = "cluster")]
pub mod cluster;
pub mod dice;
#[cfg(feature = "disk")]
pub mod disk;
#[cfg(feature = "hostile")]
pub mod faults;
#[cfg(feature = "hostile")]
pub mod hostile;
pub mod mesh;
pub mod proxy;
#[cfg(feature = "hostile")]
pub mod solver;

pub use dice::Dice;
pub use mesh::{Delivery, Ending, Fate, Mesh, Party, Weather};
pub use proxy::{DelayProxy, Distance, LineState};
