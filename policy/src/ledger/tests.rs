//! Every refusal, the scenarios by name, random adversarial schedules, and a small model explored to the end.

mod adversary;
mod ceilings;
mod certificate;
mod closing;
mod committee;
mod entry;
mod handover;
mod kit;
mod lasting;
mod limits;
mod member;
mod model;
mod money;
mod release;
mod sequencer;
mod split;
