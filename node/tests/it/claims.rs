//! What a coordinator does before a key in one token signs: the members of the ledger certify what the request claims.

use limen_policy::ledger::{Body, Certificate, Claim, Entry};
use limen_wire::ids::KeyId;
use limen_wire::pb;
use limen_wire::pb::ledger_client::LedgerClient;
use limen_wire::statement::combine;
use limen_wire::tls::{self, Dial, TlsIdentity};
use prost::Message as _;
use tonic::transport::Channel;

use crate::cluster::{Cluster, all};

const LEDGER: &str = "main";

/// A ledger of two signers, of whom the key's may be the corrupt one.
pub(crate) const CHARTER: &str = "[[ledgers]]\nid = \"main\"\nmembers = [\"n1\", \"n2\"]\nquorum = 2\ncorrupt = 1\n";

fn client(cluster: &Cluster, member: usize) -> LedgerClient<Channel> {
    let who = &cluster.coordinator;
    let identity = TlsIdentity::from_pem_files(&who.certificate, &who.key).unwrap();
    let config = tls::pinned_client(&identity, "n", &cluster.machines[member].public.parse().unwrap()).unwrap();
    LedgerClient::new(Dial::new(cluster.addresses[member].to_string(), "n").lazy(config).unwrap())
}

/// A certificate that covers what a request claims; why there is none, in each member's words.
pub(crate) async fn certify(cluster: &Cluster, envelope: &pb::Envelope) -> Result<pb::Envelope, Vec<String>> {
    let charter = cluster.node(0).shared().charter();
    let committee = charter.ledgers.values().next().unwrap();
    let examined = cluster.node(0).shared().decisions().examine(envelope);
    let examined = examined.map_err(|error| vec![error.to_string()])?;
    let demand = examined.demands(&charter).unwrap().remove(committee.ledger()).unwrap();
    let claim = demand.at(&Default::default()).unwrap();

    let show = pb::LedgerShowRequest { ledger: LEDGER.to_owned(), ..Default::default() };
    let shown = client(cluster, 1).show(show).await.unwrap().into_inner().certificates;
    let shown: Vec<_> = shown.iter().map(|one| Certificate::verify(one, committee).unwrap()).collect();
    if let Some(known) = shown.iter().find(|one| one.entry().claims.contains(&claim)) {
        return Ok(known.envelope().clone());
    }
    let base = shown.last();
    let requested = pb::LedgerRequested {
        intent: Some(envelope.clone()),
        key_certificate: Some(key_certificate(cluster, &examined.intent().key_id).await),
        ..Default::default()
    };
    let proposal = pb::LedgerReserveRequest {
        ledger: LEDGER.to_owned(),
        requests: vec![requested],
        entry: next(cluster, base, claim).payload().clone(),
        base: base.map(|base| base.envelope().clone()),
        ..Default::default()
    };
    let (mut each, mut refused) = (Vec::new(), Vec::new());
    for answer in tell_both(cluster, &proposal).await {
        match answer {
            Ok(pb::LedgerReserveResponse { acknowledgement: Some(one), .. }) => each.push(one),
            Ok(other) => refused.push(other.refusal.unwrap().error.unwrap().message),
            Err(status) => refused.push(status.message().to_owned()),
        }
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    let certificate = combine(&each).unwrap();
    let certificates = vec![certificate.clone()];
    tell_both(cluster, &pb::LedgerReserveRequest { ledger: LEDGER.to_owned(), certificates, ..Default::default() })
        .await;
    Ok(certificate)
}

async fn tell_both(
    cluster: &Cluster,
    request: &pb::LedgerReserveRequest,
) -> Vec<Result<pb::LedgerReserveResponse, tonic::Status>> {
    let calls = [0, 1].map(|member| {
        let (mut client, request) = (client(cluster, member), request.clone());
        async move { client.reserve(request).await.map(tonic::Response::into_inner) }
    });
    all(calls).await
}

async fn key_certificate(cluster: &Cluster, key: &KeyId) -> pb::Envelope {
    let shares = cluster.client(0).list_key_shares(pb::ListKeySharesRequest {}).await.unwrap().into_inner().shares;
    let mut certificates = shares.into_iter().filter_map(|share| share.certificate);
    let names = |one: &pb::Envelope| pb::KeyStatement::decode(one.payload.clone()).unwrap().key_id == key.as_str();
    certificates.find(names).unwrap()
}

fn next(cluster: &Cluster, base: Option<&Certificate>, claim: Claim) -> Entry {
    let charter = cluster.node(0).shared().charter();
    let committee = charter.ledgers.values().next().unwrap();
    let time_ms = cluster.node(0).shared().time().wall.0;
    let head = base.map_or(0, |base| base.entry().number);
    Entry::new(Body {
        cluster: committee.cluster().clone(),
        ledger: committee.ledger().clone(),
        committee: committee.hash(),
        charter: charter.hash(),
        number: head + 1,
        base: head,
        previous: base.map_or(committee.genesis(), |base| base.entry().hash()),
        time_ms,
        expires_at_ms: time_ms + committee.lifetime_ms(),
        prices: Vec::new(),
        claims: vec![claim],
        releases: Vec::new(),
        closings: Vec::new(),
        carried: Vec::new(),
        seal: None,
    })
    .unwrap()
}
