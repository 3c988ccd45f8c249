//! Any one machine is down, and what a limit counts is signed all the same; two are too many.

use std::process::Command;
use std::time::{Duration, Instant};

use limen_client::evm::{Call, Fees, Provider, ProviderError, Transfer, Transfers};
use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::error::Code;
use limen_wire::ids::{Protocol, Scheme};

use super::cluster::{Cluster, PATIENCE, signer, witness};

/// Longer than any time-out that a dead machine can cause.
pub(super) const BOUND: Duration = Duration::from_secs(30);

/// Signed and never broadcast.
pub(super) struct NoChain;

impl Provider for NoChain {
    async fn next_nonce(&self, _: &Address) -> Result<u64, ProviderError> {
        Ok(0)
    }
    async fn fees(&self) -> Result<Fees, ProviderError> {
        Ok(Fees { max_fee_per_gas: 30_000_000_000, max_priority_fee_per_gas: 1_000_000_000 })
    }
    async fn estimate_gas(&self, _: &Call) -> Result<u64, ProviderError> {
        Ok(21_000)
    }
}

pub(super) async fn wait_whole(cluster: &Cluster) {
    cluster.wait_linked().await;
    let started = Instant::now();
    while !cluster.client.status().await.unwrap().witnesses.iter().all(|witness| witness.reachable) {
        assert!(started.elapsed() < PATIENCE, "the witness does not answer; {}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn any_one_machine_may_be_down_while_a_limit_is_certified() {
    let mut cluster = Cluster::start_house(3, 2, 1).await;
    wait_whole(&cluster).await;
    let key = cluster.make_key("hot", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    let client = cluster.client.clone();
    let transfers = Transfers::open(client.clone(), NoChain, key, Vec::new(), ChainId::eip155(31337)).await.unwrap();
    let to = Address::from_canonical("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC").unwrap();
    let payment = Transfer::Native { to, amount: Amount::from_units("0.1", 18).unwrap() };
    for down in [signer(1), signer(2), signer(3), witness(1)] {
        cluster.kill(&down);
        let started = Instant::now();
        let paid = transfers.send(&payment, &format!("without {down}"), BOUND).await;
        paid.unwrap_or_else(|error| panic!("without {down}: {error}; {}", cluster.logs()));
        eprintln!("without {down}: signed in {:?}", started.elapsed());
        cluster.start_one(&down);
        wait_whole(&cluster).await;
    }

    cluster.kill(&signer(3));
    cluster.kill(&witness(1));
    let view = client.status().await.unwrap();
    assert!(!view.witnesses[0].reachable && !view.witnesses[0].error.is_empty(), "{view:?}");
    let config = cluster.path().join("client.toml");
    let status = Command::new(env!("CARGO_BIN_EXE_limen")).arg("--config").arg(config).arg("status").output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    let shown = status.lines().find(|line| line.starts_with("witness-1")).unwrap_or_else(|| panic!("{status}"));
    assert!(shown.contains("down") && shown.contains("main"), "{status}");
    let sent = transfers.submit(&payment, "two are down").await.unwrap();
    cluster.wait_reserved(sent.intent.id(), Code::ReservationMissing).await;
    cluster.start_one(&witness(1));
    let signed = client.wait(sent.intent.id(), BOUND).await.unwrap();
    client.verify(&signed).await.unwrap_or_else(|error| panic!("{error}; {}", cluster.logs()));
}
