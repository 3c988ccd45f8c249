//! A limit that signers and a real witness keep, over the wire.

use std::sync::Arc;

use limen_node::clock::{Clock as _, SystemClock};
use limen_node::config::Config;
use limen_node::node::StartError;
use limen_node::witness::Witness;
use limen_policy::charter::Charter;
use limen_policy::ledger::{Body, Certificate, Claim, Committee, Entry, Proposal};
use limen_wire::ids::{Protocol, Scheme};
use limen_wire::intent::{Intent, seal_intent};
use limen_wire::pb;
use limen_wire::pb::ledger_client::LedgerClient;
use limen_wire::pb::witness_client::WitnessClient;
use limen_wire::statement::combine;
use limen_wire::tls::{self, Dial, TlsIdentity};
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::Channel;

use crate::cluster::{
    Cluster, Machine, PATIENCE, all, evm_transfer, machine, refusal, session, sign_request, signature,
};
use crate::{charters, stops};

/// Three signers, a witness, and a limit that two of our transfers fit in.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    witness: Machine,
    address: std::net::SocketAddr,
    pub(crate) running: Option<Witness>,
    pub(crate) charter: Charter,
}

const WEI: u64 = 1_000_000_000_000_000;

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_under("").await
    }

    /// The same with more in the charter.
    pub(crate) async fn start_under(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let witness = machine(folder.path(), "w1");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ledger = format!(
            "[[witnesses]]\nid = \"w1\"\naddress = \"{address}\"\npublic_key = \"{}\"\n\
             [[ledgers]]\nid = \"main\"\nmembers = [\"n1\", \"n2\", \"n3\", \"w1\"]\nquorum = 3\ncorrupt = 1\n\
             [[limits]]\nid = \"eth\"\nasset = \"eth\"\nper = \"all\"\nwindow_secs = 3600\nledger = \"main\"\n\
             max_amount = \"0.0025\"\n{more}",
            witness.public
        );
        let cluster = Cluster::start_with_ledger(3, 2, ledger).await;
        let charter = Charter::from_toml(&cluster.charter()).unwrap();
        for file in ["w1.crt", "w1.key"] {
            std::fs::rename(folder.path().join(file), cluster.path(file)).unwrap();
        }
        let mut world = Self { cluster, witness, address, running: None, charter };
        world.running = Some(Witness::start_on(&world.config(), Arc::new(SystemClock), listener).await.unwrap());
        world
    }

    fn config(&self) -> Config {
        let text = format!(
            "node = \"w1\"\nwitness = true\nlisten = \"{}\"\nmetrics = \"127.0.0.1:0\"\ndata_dir = \"w1\"\n\
             charter = \"charter.toml\"\n[identity]\ncertificate = \"w1.crt\"\nkey = \"w1.key\"\n",
            self.address
        );
        Config::parse(&text, self.cluster.folder.path()).unwrap()
    }

    /// On the old port, once that is free.
    pub(crate) async fn start_again(&self) -> Witness {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(5));
        let starting = async {
            loop {
                ticks.tick().await;
                match Witness::start(&self.config(), Arc::new(SystemClock)).await {
                    Ok(witness) => return witness,
                    Err(StartError::Listen { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, starting).await.expect("in time")
    }

    /// Member 3 is the witness.
    fn client(&self, member: usize, who: &Machine) -> LedgerClient<Channel> {
        let (address, public) = match self.cluster.machines.get(member) {
            Some(signer) => (self.cluster.addresses[member], &signer.public),
            None => (self.address, &self.witness.public),
        };
        let identity = TlsIdentity::from_pem_files(&who.certificate, &who.key).unwrap();
        let config = tls::pinned_client(&identity, "n", &public.parse().unwrap()).unwrap();
        LedgerClient::new(Dial::new(address.to_string(), "n").lazy(config).unwrap())
    }

    /// The witness's door for signers.
    pub(crate) fn hears(&self, who: &Machine) -> WitnessClient<Channel> {
        let identity = TlsIdentity::from_pem_files(&who.certificate, &who.key).unwrap();
        let config = tls::pinned_client(&identity, "n", &self.witness.public.parse().unwrap()).unwrap();
        WitnessClient::new(Dial::new(self.address.to_string(), "n").lazy(config).unwrap())
    }

    /// What the witness says that it has, asked by a signer.
    pub(crate) async fn witness_has(&self, what: &str, has: impl Fn(&pb::HearResponse) -> bool) {
        let mut client = self.hears(&self.cluster.machines[0]);
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
        let asking = async {
            while !has(&client.hear(pb::HearRequest::default()).await.unwrap().into_inner()) {
                ticks.tick().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, asking).await.is_ok(), "the witness never had {what}");
    }

    fn committee(&self) -> &Arc<Committee> {
        self.charter.ledgers.values().next().unwrap()
    }

    fn claim(&self, envelope: &pb::Envelope, wei: u64) -> Claim {
        use limen_policy::ledger::{Charges, Scope};
        let (intent, _) = Intent::open(envelope).unwrap();
        let scope = Scope::Limit { name: "eth".to_owned(), subject: String::new() };
        let fee = 21_000 * 2_000_000_000;
        let amount = limen_wire::effects::Amount::from_u128((wei + fee).into());
        Claim { intent: intent.id, replaces: None, charges: Charges::from([(scope, amount)]) }
    }

    /// What three members answer to the next entry.
    async fn propose(
        &self,
        envelope: &pb::Envelope,
        key: &pb::Envelope,
        claim: Claim,
        base: Option<&Certificate>,
        members: [usize; 3],
    ) -> Vec<pb::LedgerReserveResponse> {
        let (committee, time_ms) = (self.committee(), SystemClock.now().0);
        let head = base.map_or(0, |base| base.entry().number);
        let entry = Entry::new(Body {
            cluster: committee.cluster().clone(),
            ledger: committee.ledger().clone(),
            committee: committee.hash(),
            charter: self.charter.hash(),
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
        .unwrap();
        assert!(Proposal::check(entry.clone(), base, committee).is_ok());
        let requested = pb::LedgerRequested {
            intent: Some(envelope.clone()),
            key_certificate: Some(key.clone()),
            ..Default::default()
        };
        let calls = members.map(|member| {
            let mut client = self.client(member, &self.cluster.coordinator);
            let request = pb::LedgerReserveRequest {
                ledger: "main".to_owned(),
                requests: vec![requested.clone()],
                entry: entry.payload().clone(),
                base: base.map(|base| base.envelope().clone()),
                ..Default::default()
            };
            async move { client.reserve(request).await.unwrap().into_inner() }
        });
        all(calls).await
    }

    fn certificate(&self, answers: Vec<pb::LedgerReserveResponse>) -> Certificate {
        let each: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.acknowledgement.unwrap_or_else(|| panic!("{:?}", answer.refusal)))
            .collect();
        Certificate::verify(&combine(&each).unwrap(), self.committee()).unwrap()
    }

    async fn sign(
        &self,
        envelope: &pb::Envelope,
        certificate: Option<&Certificate>,
        set: [u32; 2],
    ) -> Vec<pb::SignResponse> {
        let session = session();
        let reservations: Vec<_> = certificate.map(|one| one.envelope().clone()).into_iter().collect();
        let calls = set.map(|signer| {
            let mut client = self.cluster.client(signer as usize - 1);
            let mut request = sign_request(envelope, &set, session.clone());
            request.authorization.as_mut().unwrap().reservations = reservations.clone();
            async move { client.sign(request).await.unwrap().into_inner() }
        });
        all(calls).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_is_down_and_a_witness_certifies_with_the_others() {
    let mut world = World::start().await;
    world.cluster.make_key("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    let mut first = world.cluster.client(0);
    let shares = first.list_key_shares(pb::ListKeySharesRequest {}).await.unwrap().into_inner().shares;
    let key = shares[0].certificate.clone().unwrap();
    let transfer = |number: u64| {
        let raw = evm_transfer("treasury", &format!("r-{number}"), number, WEI);
        seal_intent(&raw, &world.cluster.backend).unwrap().1
    };
    let (one, two, three) = (transfer(0), transfer(1), transfer(2));
    // Nothing is set aside: without a certificate nobody signs.
    for answer in world.sign(&one, None, [1, 2]).await {
        assert_eq!(refusal(&answer).code, "reservation_missing");
    }
    // Signer 3 is away.
    world.cluster.stop(2).await;
    let members = [0, 1, 3];
    let certificate = world.certificate(world.propose(&one, &key, world.claim(&one, WEI), None, members).await);
    let answers = world.sign(&one, Some(&certificate), [1, 2]).await;
    let signed = signature(&answers[0]).clone();
    assert!(!signed.signed_transaction.is_empty());
    assert_eq!(signature(&answers[1]), &signed);
    // The witness is restarted and remembers.
    world.running.take().unwrap().stop().await;
    world.running = Some(world.start_again().await);
    let base = Some(&certificate);
    let second = world.certificate(world.propose(&two, &key, world.claim(&two, WEI), base, members).await);
    // A third does not fit, and no member says otherwise.
    for answer in world.propose(&three, &key, world.claim(&three, WEI), Some(&second), members).await {
        assert!(answer.acknowledgement.is_none());
        assert_eq!(answer.refusal.unwrap().error.unwrap().code, "limit_reached");
        assert_eq!(answer.head, 2);
    }
    // Another's certificate is not its own.
    for answer in world.sign(&three, Some(&second), [1, 2]).await {
        assert_eq!(refusal(&answer).code, "reservation_missing");
    }
    let answers = world.sign(&two, Some(&second), [1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_serves_coordinators_and_ledgers_only() {
    let world = World::start().await;
    let show = || pb::LedgerShowRequest { ledger: "main".to_owned(), ..Default::default() };
    let page = world.client(3, &world.cluster.coordinator).show(show()).await.unwrap().into_inner();
    assert_eq!((page.certificates.len(), page.head), (0, 0));
    for member in [0, 3] {
        let error = world.client(member, &world.cluster.machines[1]).show(show()).await.unwrap_err();
        assert_eq!(error.code(), Code::Unauthenticated, "a signer is no coordinator");
    }
    let nobody = pb::HearRequest::default();
    let error = world.hears(&world.cluster.coordinator).hear(nobody).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated, "a coordinator tells a witness nothing");
    let close = pb::LedgerCloseRequest { ledger: "main".to_owned(), through: 1, committee: None };
    let closed = world.client(3, &world.cluster.coordinator).close(close).await.unwrap().into_inner();
    assert!(closed.closing.is_some() && closed.entries.is_empty());
    // It knows no other service.
    let identity = TlsIdentity::from_pem_files(&world.cluster.coordinator.certificate, &world.cluster.coordinator.key);
    let config = tls::pinned_client(&identity.unwrap(), "n", &world.witness.public.parse().unwrap()).unwrap();
    let channel = Dial::new(world.address.to_string(), "n").lazy(config).unwrap();
    let mut signer = pb::signer_client::SignerClient::new(channel);
    let error = signer.status(pb::StatusRequest {}).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    let metrics = world.running.as_ref().unwrap().metrics_address().unwrap();
    assert_ne!(metrics.port(), 0);
}

/// Signer 3 is away, so nothing is certified without the witness.
#[tokio::test(flavor = "multi_thread")]
async fn limits_go_on_across_a_version_because_the_witness_follows() {
    let mut world = World::start().await;
    world.cluster.make_key("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    let mut first = world.cluster.client(0);
    let shares = first.list_key_shares(pb::ListKeySharesRequest {}).await.unwrap().into_inner().shares;
    let key = shares[0].certificate.clone().unwrap();
    let (_, one) = seal_intent(&evm_transfer("treasury", "r-0", 0, WEI), &world.cluster.backend).unwrap();
    let (_, two) = seal_intent(&evm_transfer("treasury", "r-1", 1, WEI), &world.cluster.backend).unwrap();
    world.cluster.stop(2).await;
    let members = [0, 1, 3];
    let before = world.certificate(world.propose(&one, &key, world.claim(&one, WEI), None, members).await);
    // Handed to one signer; nothing is started again.
    let edits = [("max_sessions = 8", "max_sessions = 7")];
    let version = charters::version(&world.cluster, &[world.charter.hash()], 2, &edits);
    charters::take(&world.cluster, 0, &version.envelope).await.unwrap();
    charters::stands(&world.cluster, version.hash, pb::CharterState::InForce).await;
    world.witness_has("the version", |has| has.charter.as_ref() == version.hash.as_bytes()).await;
    // Both signers have read it of each other.
    world.cluster.linked().await;
    for answer in world.sign(&one, Some(&before), [1, 2]).await {
        assert_eq!(refusal(&answer).code, "reservation_missing", "it was reserved under the charter before");
    }
    world.charter = version.charter.clone();
    let base = Some(&before);
    let after = world.certificate(world.propose(&one, &key, world.claim(&one, WEI), base, members).await);
    let answers = world.sign(&one, Some(&after), [1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    // It is not the file that counts: a restart changes nothing.
    world.running.take().unwrap().stop().await;
    world.running = Some(world.start_again().await);
    world.witness_has("what it had", |has| has.charter.as_ref() == version.hash.as_bytes()).await;
    // Bad news comes the same way.
    let (_, freeze) = stops::freeze("cluster", 1);
    let handed = pb::HandInRequest { record: Some(freeze) };
    stops::client(&world.cluster, 0).hand_in(handed).await.unwrap();
    // The version is the first of the signer's records.
    let read = |has: &pb::HearResponse| has.read.as_ref().is_some_and(|read| read.length > 1);
    world.witness_has("the freeze", read).await;
    world.cluster.linked().await;
    let answers = world.propose(&two, &key, world.claim(&two, WEI), Some(&after), members).await;
    let refused = answers[2].refusal.clone().unwrap().error.unwrap();
    assert!(refused.node == "w1" && refused.message.contains("freeze"), "{refused:?}");
}

/// A coordinator that is put out of the charter is a stranger at every door from then on, not from the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_a_version_removes_is_not_served_any_more() {
    let world = World::start().await;
    let show = || pb::LedgerShowRequest { ledger: "main".to_owned(), ..Default::default() };
    for member in [0, 3] {
        world.client(member, &world.cluster.coordinator).show(show()).await.unwrap();
    }
    let block = format!("[[coordinators]]\nid = \"c1\"\npublic_key = \"{}\"\n", world.cluster.coordinator.public);
    let edits = [(block.as_str(), ""), ("version = 1\n", "version = 1\ncoordinators = []\n")];
    let version = charters::version(&world.cluster, &[world.charter.hash()], 2, &edits);
    charters::take(&world.cluster, 0, &version.envelope).await.unwrap();
    world.witness_has("the version", |has| has.charter.as_ref() == version.hash.as_bytes()).await;
    for member in [0, 3] {
        let mut client = world.client(member, &world.cluster.coordinator);
        assert_eq!(client.show(show()).await.unwrap_err().code(), tonic::Code::Unauthenticated);
        let close = client.close(pb::LedgerCloseRequest { ledger: "main".to_owned(), ..Default::default() }).await;
        assert_eq!(close.unwrap_err().code(), tonic::Code::Unauthenticated);
    }
}
