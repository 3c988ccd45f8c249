//! Real signers in one process: real TLS, real stores, real protocols, ports chosen by the system.

mod cluster;
mod signing;
