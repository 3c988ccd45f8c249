//! Real signers, a real coordinator, a real chain where npm has brought one.

mod cluster;
mod crashes;
mod python;
mod story;
mod together;
