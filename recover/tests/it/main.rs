//! Backups from the outside: made, spoiled, proved, combined.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test helpers fail by panicking")]

mod backup;
mod child;
mod combine;
mod command;
mod files;
mod house;
mod paper;
mod proof;
mod python;
mod said;
mod spoil;
mod vectors;
mod whole;
