//! The protocols as their callers see them: whole runs over an in-memory network with an adversary in it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test helpers fail by panicking")]
#![allow(dead_code, reason = "part of the network serves the adversarial suites only")]

mod dealer;
mod dkls23_keygen_spoil;
mod dkls23_run;
mod dkls23_sign_spoil;
mod frost_keygen_spoil;
mod frost_nonces;
mod frost_run;
mod frost_sign_spoil;
mod import_run;
mod net;
mod params;
mod replay;
mod reshare_epochs;
mod reshare_plan;
mod reshare_run;
mod reshare_setup_spoil;
mod reshare_spoil;
mod spoil;
mod vectors;
