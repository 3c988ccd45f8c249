//! Real signers, a real coordinator, a real chain where npm has brought one.

mod anyone;
mod approvals;
mod automatic;
mod cluster;
mod crashes;
mod deciding;
mod doctor;
mod epochs;
mod freezes;
mod handover;
mod held;
mod insider;
mod memory;
pub(crate) mod needles;
mod operator;
mod packages;
mod python;
mod receipts;
mod restarts;
mod resume;
mod schnorr;
mod secrets;
mod shares;
mod story;
mod together;
mod versions;
