//! The suite that every provider must pass, on SoftHSM2.

use limen_hsm::{Mechanism, Provider as _, conformance};
use limen_hsm_bridge::config::Config;
use limen_hsm_bridge::provider::Pkcs11Provider;

use crate::soft::Soft;

fn open(soft: &Soft) -> Pkcs11Provider {
    Pkcs11Provider::open(&Config::load(&soft.path("bridge.toml")).unwrap(), None).unwrap()
}

#[test]
fn softhsm_keeps_every_promise() {
    Soft::within("promises::softhsm_keeps_every_promise", |soft| {
        open(soft).make_identity().unwrap();
        conformance::run(&|| Box::new(open(soft)));
        assert_eq!(open(soft).describe().unwrap().mechanism, Mechanism::Aes256Gcm);
    });
}

#[test]
fn softhsm_keeps_every_promise_without_gcm() {
    Soft::within("promises::softhsm_keeps_every_promise_without_gcm", |soft| {
        soft.configure(&["node1"], "[sealing]\nmechanism = \"aes-256-cbc-hmac-sha256\"");
        open(soft).make_identity().unwrap();
        conformance::run(&|| Box::new(open(soft)));
        assert_eq!(open(soft).describe().unwrap().mechanism, Mechanism::Aes256CbcHmacSha256);
        // What was found once stays, also where the better one would work.
        soft.configure(&["node1"], "");
        assert_eq!(open(soft).describe().unwrap().mechanism, Mechanism::Aes256CbcHmacSha256);
    });
}

#[test]
fn kryoptic_keeps_every_promise() {
    Soft::within_kryoptic("promises::kryoptic_keeps_every_promise", |soft| {
        open(soft).make_identity().unwrap();
        conformance::run(&|| Box::new(open(soft)));
        assert_eq!(open(soft).describe().unwrap().mechanism, Mechanism::Aes256Gcm);
    });
}

#[test]
fn kryoptic_keeps_every_promise_without_gcm() {
    Soft::within_kryoptic("promises::kryoptic_keeps_every_promise_without_gcm", |soft| {
        soft.configure(&["node1"], "[sealing]\nmechanism = \"aes-256-cbc-hmac-sha256\"");
        open(soft).make_identity().unwrap();
        conformance::run(&|| Box::new(open(soft)));
    });
}

#[test]
fn a_held_key_ends_at_softhsm() {
    Soft::within("promises::a_held_key_ends_at_softhsm", |soft| {
        conformance::held_keys_end(&|| Box::new(open(soft)), &|name| open(soft).destroy_held(name));
    });
}

#[test]
fn a_held_key_ends_at_kryoptic() {
    Soft::within_kryoptic("promises::a_held_key_ends_at_kryoptic", |soft| {
        conformance::held_keys_end(&|| Box::new(open(soft)), &|name| open(soft).destroy_held(name));
    });
}

#[test]
fn every_promise_holds_through_the_daemon_at_kryoptic() {
    Soft::within_kryoptic("promises::every_promise_holds_through_the_daemon_at_kryoptic", |soft| {
        soft.init();
        let _daemon = soft.daemon();
        conformance::run(&|| Box::new(soft.client()));
    });
}

#[test]
fn every_promise_holds_through_the_daemon() {
    let Some(soft) = Soft::new() else { return };
    soft.init();
    let _daemon = soft.daemon();
    conformance::run(&|| Box::new(soft.client()));
}
