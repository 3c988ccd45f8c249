//! Ceremonies: the engine that each participant runs, the board of the conductor, and what goes between them.
//!
//! Lives here: two synchronous state machines ([`engine::Engine`], [`board::Board`]), their durable file, the hands that do what a step
//! asks of one machine, and the thin drivers over TLS. May not live here: what a plan says, which steps there are and whether a record
//! holds; those are pure and lie in `limen_policy::ceremony` and `limen_evidence::ceremony`. The engine holds no authority: what counts
//! is what people signed. Start reading at [`engine`].

pub mod board;
pub mod cluster;
pub mod conductor;
pub mod custody;
pub mod engine;
pub mod hands;
pub mod journal;
pub mod pages;
pub mod participant;
pub mod rehearsal;
