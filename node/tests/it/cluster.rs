//! A cluster of signers on loopback, and a coordinator made of plain calls.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use limen_node::clock::{Clock, SystemClock};
use limen_node::config::Config;
use limen_node::node::Node;
use limen_node::peers::Talks as _;
use limen_policy::charter::Charter;
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::ids::{CharterHash, IntentId, Protocol, Scheme};
use limen_wire::intent::{protocol_to_wire, scheme_to_wire, seal_intent};
use limen_wire::keys::{PublicKey, SigningKey};
use limen_wire::pb;
use limen_wire::pb::signer_client::SignerClient;
use limen_wire::statement::combine;
use limen_wire::tls::{self, Dial, TlsIdentity};
use prost::Message as _;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::Channel;

pub(crate) type Client = SignerClient<Channel>;

/// How many milliseconds anything may take here before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1200);

/// A P-256 identity as the daemons read it.
pub(crate) struct Machine {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) public: String,
}

/// Makes a key and a self-signed certificate: only the key counts.
pub(crate) fn machine(folder: &Path, name: &str) -> Machine {
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&pair).unwrap();
    let (cert_path, key_path) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
    std::fs::write(&cert_path, certificate.pem()).unwrap();
    write_private(&key_path, &pair.serialize_pem());
    let public = SigningKey::from_pkcs8_pem(&pair.serialize_pem()).unwrap().public_key().to_string();
    Machine { certificate: cert_path, key: key_path, public }
}

/// Makes an authority, and a client with a certificate of it.
fn authority(folder: &Path) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    std::fs::write(folder.join("ca.crt"), params.self_signed(&pair).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(params, pair);
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["somebody".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    std::fs::write(folder.join("client.crt"), params.signed_by(&pair, &issuer).unwrap().pem()).unwrap();
    write_private(&folder.join("client.key"), &pair.serialize_pem());
}

pub(crate) fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

pub(crate) fn requester_key(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&zeroize::Zeroizing::new([seed; 32]))
}

/// Signers, by index from 0, each running or not.
pub(crate) struct Cluster {
    pub(crate) folder: TempDir,
    pub(crate) machines: Vec<Machine>,
    pub(crate) coordinator: Machine,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) nodes: Vec<Option<Node>>,
    pub(crate) backend: SigningKey,
    pub(crate) security: SigningKey,
    pub(crate) required: u32,
    pub(crate) extra_config: String,
    pub(crate) top_config: String,
    /// More of the charter.
    pub(crate) ledger: String,
    /// Shares are sealed behind bridges.
    bridged: bool,
    /// Identities lie there too.
    identified: bool,
    /// For how long those stay in memory once they were opened.
    pub(crate) hold_secs: u32,
}

impl Cluster {
    /// Starts `total` signers with keys of `required`.
    pub(crate) async fn start(total: usize, required: u32) -> Self {
        Self::start_with(total, required, "").await
    }

    /// The same with more lines in each configuration's `[limits]`.
    pub(crate) async fn start_with(total: usize, required: u32, limits: &str) -> Self {
        Self::start_configured(total, required, limits, "", String::new()).await
    }

    /// With a ledger, as the rest of the charter says.
    pub(crate) async fn start_with_ledger(total: usize, required: u32, ledger: String) -> Self {
        Self::start_configured(total, required, "", "", ledger).await
    }

    /// With metrics on a port that the system chooses.
    pub(crate) async fn start_metrics(total: usize, required: u32) -> Self {
        Self::start_configured(total, required, "", "metrics = \"127.0.0.1:0\"\n", String::new()).await
    }

    /// By another clock.
    pub(crate) async fn start_by(total: usize, required: u32, clock: Arc<dyn Clock>) -> Self {
        Self::start_by_under(total, required, clock, String::new()).await
    }

    /// The same with more in the charter.
    pub(crate) async fn start_by_under(total: usize, required: u32, clock: Arc<dyn Clock>, more: String) -> Self {
        Self::start_with_clock(total, required, "", "", more, clock).await
    }

    /// By another clock, and with the patience of real signers for missing leaves.
    pub(crate) async fn start_patient(total: usize, required: u32, clock: Arc<dyn Clock>) -> Self {
        let patience = "danger_leaf_patience_secs = 60\n";
        Self::start_with_clock(total, required, "", patience, String::new(), clock).await
    }

    /// With a bridge at each signer's socket.
    pub(crate) async fn start_behind_bridges(total: usize, required: u32, serve: impl Fn(&Path)) -> Self {
        Self::start_behind_bridges_under(total, required, String::new(), serve).await
    }

    /// The same with more in the charter.
    pub(crate) async fn start_behind_bridges_under(
        total: usize,
        required: u32,
        more: String,
        serve: impl Fn(&Path),
    ) -> Self {
        let (mut cluster, listeners) = Self::prepared(total, required, ["", ""], more).await;
        cluster.bridged = true;
        (0..total).for_each(|index| serve(&cluster.socket(index)));
        cluster.begin(listeners, Arc::new(SystemClock)).await
    }

    /// The same with the identities there: those that are served.
    pub(crate) async fn start_in_devices(total: usize, required: u32, serve: impl Fn(&Path) -> PublicKey) -> Self {
        let (mut cluster, listeners) = Self::prepared(total, required, ["", ""], String::new()).await;
        (cluster.bridged, cluster.identified) = (true, true);
        for index in 0..total {
            let socket = cluster.socket(index);
            let machine = &mut cluster.machines[index];
            machine.public = serve(&socket).to_string();
            std::fs::remove_file(&machine.key).unwrap();
            std::fs::remove_file(&machine.certificate).unwrap();
        }
        std::fs::write(cluster.path("charter.toml"), cluster.charter()).unwrap();
        cluster.begin(listeners, Arc::new(SystemClock)).await
    }

    /// Where a signer's bridge listens.
    pub(crate) fn socket(&self, index: usize) -> PathBuf {
        self.path(&format!("b{}.sock", index + 1))
    }

    async fn start_configured(total: usize, required: u32, limits: &str, top: &str, ledger: String) -> Self {
        Self::start_with_clock(total, required, limits, top, ledger, Arc::new(SystemClock)).await
    }

    async fn start_with_clock(
        total: usize,
        required: u32,
        limits: &str,
        top: &str,
        ledger: String,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (cluster, listeners) = Self::prepared(total, required, [limits, top], ledger).await;
        cluster.begin(listeners, clock).await
    }

    /// Everything but running signers.
    async fn prepared(total: usize, required: u32, config: [&str; 2], ledger: String) -> (Self, Vec<TcpListener>) {
        let folder = tempfile::tempdir().unwrap();
        let mut listeners = Vec::new();
        for _ in 0..total {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let addresses: Vec<SocketAddr> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let machines: Vec<Machine> = (1..=total).map(|n| machine(folder.path(), &format!("n{n}"))).collect();
        let coordinator = machine(folder.path(), "c1");
        let (backend, security) = (requester_key(1), requester_key(2));
        let cluster = Self {
            folder,
            machines,
            coordinator,
            addresses,
            nodes: Vec::new(),
            backend,
            security,
            required,
            extra_config: config[0].to_owned(),
            top_config: config[1].to_owned(),
            ledger,
            bridged: false,
            identified: false,
            hold_secs: 0,
        };
        authority(cluster.folder.path());
        std::fs::write(cluster.path("charter.toml"), cluster.charter()).unwrap();
        (cluster, listeners)
    }

    async fn begin(mut self, listeners: Vec<TcpListener>, clock: Arc<dyn Clock>) -> Self {
        for (index, listener) in listeners.into_iter().enumerate() {
            let config = self.config(index);
            let node = Node::start_on(&config, Arc::clone(&clock), listener).await.unwrap();
            self.nodes.push(Some(node));
        }
        self.linked().await;
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn charter(&self) -> String {
        let claims = if self.ledger.contains("[[hsm_keys]]") { "claims = \"main\"\n" } else { "" };
        let mut text = format!(
            "version = 1\ncluster = \"test\"\ndanger_development = true\n{claims}[bounds]\nmax_sessions = 8\nmax_expiry_secs = 3600\n"
        );
        for (n, (machine, address)) in self.machines.iter().zip(&self.addresses).enumerate() {
            let n = n + 1;
            text +=
                &format!("[[nodes]]\nid = \"n{n}\"\naddress = \"{address}\"\npublic_key = \"{}\"\n", machine.public);
        }
        text += &format!("[[coordinators]]\nid = \"c1\"\npublic_key = \"{}\"\n", self.coordinator.public);
        for (id, key, duty) in [("backend", &self.backend, "request"), ("security", &self.security, "keys")] {
            let key = key.public_key();
            text += &format!("[[requesters]]\nid = \"{id}\"\npublic_key = \"{key}\"\nduties = [\"{duty}\"]\n");
        }
        let anna = person_key().public_key();
        text += &format!(
            "[[people]]\nid = \"anna\"\n[[people.credentials]]\nid = \"anna-terminal\"\nclass = \"terminal\"\n\
             public_key = \"{anna}\"\n[groups.risk]\nmembers = [\"anna\"]\n\
             [governance]\nnumber = 1\nparents = []\nquorum = \"1 of risk\"\nloosening_delay_secs = 3600\n\
             guardians = \"risk\"\nunfreeze = \"1 of risk\"\nunfreeze_delay_secs = 0\n\
             [[rules]]\nname = \"asked\"\nrequire = \"message\"\nkeys = [\"asked\"]\napprovals = \"1 of risk\"\n"
        );
        text + &self.ledger
            + "[assets.eth]\nchain = \"eip155:31337\"\nsymbol = \"ETH\"\ndecimals = 18\n\
            [[rules]]\nname = \"eth\"\nallow = \"transfer\"\nasset = \"eth\"\nmax_amount = \"10\"\ndestinations = \"anywhere\"\n\
            [[rules]]\nname = \"gas\"\nallow = \"fee\"\nasset = \"eth\"\nmax_amount = \"1\"\n\
            [[rules]]\nname = \"words\"\nallow = \"message\"\n"
    }

    /// The name of the charter that all begin with.
    pub(crate) fn charter_hash(&self) -> CharterHash {
        Charter::from_toml(&self.charter()).unwrap().hash()
    }

    pub(crate) fn config_text(&self, index: usize) -> String {
        let n = index + 1;
        let key_file = self.path(&format!("n{n}.wrap"));
        if !key_file.exists() {
            write_private(&key_file, &hex::encode([u8::try_from(n).unwrap(); 32]));
        }
        let provider = match self.bridged {
            true => {
                format!(
                    "kind = \"hsm_bridge\"\nsocket = \"b{n}.sock\"\ntimeout_ms = 2000\n[shares]\nhold_secs = {}",
                    self.hold_secs
                )
            }
            false => format!("kind = \"danger_software\"\nkey_file = \"n{n}.wrap\""),
        };
        let identity = match self.identified {
            true => "kind = \"hsm\"".to_owned(),
            false => format!("certificate = \"n{n}.crt\"\nkey = \"n{n}.key\""),
        };
        // Nobody keeps a log here.
        let patience = match self.top_config.contains("danger_leaf_patience_secs") {
            true => "",
            false => "danger_leaf_patience_secs = 1000000000\n",
        };
        format!(
            "{}{patience}node = \"n{n}\"\nlisten = \"{}\"\ndata_dir = \"n{n}\"\ncharter = \"charter.toml\"\ndanger_trace_partials = \"n{n}.partials\"\n\
             client_authority = \"ca.crt\"\n\
             [identity]\n{identity}\n\
             [provider]\n{provider}\n[limits]\n{}\n",
            self.top_config, self.addresses[index], self.extra_config
        )
    }

    pub(crate) fn config(&self, index: usize) -> Config {
        Config::parse(&self.config_text(index), self.folder.path()).unwrap()
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        self.nodes[index].as_ref().unwrap()
    }

    /// Stops a signer and forgets it.
    pub(crate) async fn stop(&mut self, index: usize) {
        self.nodes[index].take().unwrap().stop().await;
    }

    /// Starts a stopped signer again, on its old port.
    pub(crate) async fn restart(&mut self, index: usize) {
        self.start_again(index, Arc::new(SystemClock)).await;
        self.linked().await;
    }

    /// The same without waiting for links, by another clock.
    pub(crate) async fn start_again(&mut self, index: usize, clock: Arc<dyn Clock>) {
        let config = self.config(index);
        self.nodes[index] = Some(Node::start(&config, clock).await.unwrap());
    }

    /// Waits until all running signers are linked.
    pub(crate) async fn linked(&self) {
        let running: Vec<&Node> = self.nodes.iter().flatten().collect();
        let expected = running.len() - 1;
        eventually("links", || {
            running.iter().all(|node| {
                let links = node.shared().mesh.health();
                let standing = node.shared().standings.shown(node.shared().peers().iter(), node.shared().time().uptime);
                let fine = |why: &String| why.contains("clock");
                let well = standing.iter().filter(|one| one.trouble.as_ref().is_none_or(fine)).count();
                links.iter().filter(|health| health.connected).count() >= expected && well >= expected
            })
        })
        .await;
    }

    /// A coordinator's connection to a signer.
    pub(crate) fn client(&self, index: usize) -> Client {
        self.client_as(index, &self.coordinator)
    }

    pub(crate) fn client_as(&self, index: usize, who: &Machine) -> Client {
        let identity = TlsIdentity::from_pem_files(&who.certificate, &who.key).unwrap();
        let server = self.machines[index].public.parse().unwrap();
        let config = tls::pinned_client(&identity, "n", &server).unwrap();
        SignerClient::new(Dial::new(self.addresses[index].to_string(), "n").lazy(config).unwrap())
            .max_decoding_message_size(4 << 20)
    }

    pub(crate) fn order(&self, key: &str, scheme: Scheme, protocol: Protocol) -> pb::Envelope {
        let all: Vec<usize> = (0..self.machines.len()).collect();
        self.order_of(key, scheme, protocol, &all)
    }

    fn order_of(&self, key: &str, scheme: Scheme, protocol: Protocol, nodes: &[usize]) -> pb::Envelope {
        let order = pb::KeyGeneration {
            version: 1,
            cluster: "test".to_owned(),
            requester: "security".to_owned(),
            key_id: key.to_owned(),
            scheme: scheme_to_wire(scheme),
            protocol: protocol_to_wire(protocol),
            signers_required: self.required,
            nodes: nodes.iter().map(|n| format!("n{}", n + 1)).collect(),
            expires_at_secs: SystemClock.now().as_secs() + 600,
            imported: None,
        };
        seal(PayloadType::KeyGeneration, order.encode_to_vec(), "security", &self.security)
    }

    /// Makes and activates a key; gives its public key.
    pub(crate) async fn make_key(&self, key: &str, scheme: Scheme, protocol: Protocol) -> Vec<u8> {
        let all: Vec<usize> = (0..self.machines.len()).collect();
        self.make_key_of(key, scheme, protocol, &all).await
    }

    /// The same by these signers alone.
    pub(crate) async fn make_key_of(&self, key: &str, scheme: Scheme, protocol: Protocol, nodes: &[usize]) -> Vec<u8> {
        let order = self.order_of(key, scheme, protocol, nodes);
        let session = session();
        let calls = nodes.iter().copied().map(|index| {
            let (mut client, order, session) = (self.client(index), order.clone(), session.clone());
            async move {
                let request = pb::GenerateKeyRequest {
                    order: Some(order),
                    session_id: session.into(),
                    timeout_ms: 0,
                    ..Default::default()
                };
                client.generate_key(request).await.unwrap().into_inner()
            }
        });
        let answers = all(calls).await;
        let statements: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.statement.unwrap_or_else(|| panic!("refused: {:?}", answer.refusal)))
            .collect();
        let certificate = combine(&statements).unwrap();
        let public = pb::KeyStatement::decode(certificate.payload.clone()).unwrap().public_key.to_vec();
        self.activate(certificate, nodes).await;
        public
    }

    async fn activate(&self, certificate: pb::Envelope, nodes: &[usize]) {
        for index in nodes.iter().copied().filter(|index| self.nodes[*index].is_some()) {
            let request = pb::ActivateKeyRequest { certificate: Some(certificate.clone()), order: None };
            let state = self.client(index).activate_key(request).await.unwrap().into_inner().state;
            assert_eq!(state, pb::KeyState::Active as i32);
        }
    }

    /// Asks these signers (indices from 1) to sign in one session.
    pub(crate) async fn sign(&self, intent: &pb::Envelope, signers: &[u32]) -> Vec<pb::SignResponse> {
        self.sign_in(intent, signers, session()).await
    }

    /// The same, showing what people said.
    pub(crate) async fn sign_approved(
        &self,
        intent: &pb::Envelope,
        signers: &[u32],
        approvals: &[pb::Envelope],
    ) -> Vec<pb::SignResponse> {
        let session = session();
        let calls = signers.iter().map(|signer| {
            let mut client = self.client(*signer as usize - 1);
            let mut request = sign_request(intent, signers, session.clone());
            request.authorization.get_or_insert_default().approvals = approvals.to_vec();
            async move { client.sign(request).await.unwrap().into_inner() }
        });
        all(calls).await
    }

    /// The same with nonces shared ahead.
    pub(crate) async fn sign_with(
        &self,
        intent: &pb::Envelope,
        signers: &[u32],
        nonces: Vec<pb::NonceReference>,
    ) -> Vec<pb::SignResponse> {
        let session = session();
        let calls = signers.iter().map(|signer| {
            let mut client = self.client(*signer as usize - 1);
            let request = pb::SignRequest { nonces: nonces.clone(), ..sign_request(intent, signers, session.clone()) };
            async move { client.sign(request).await.unwrap().into_inner() }
        });
        all(calls).await
    }

    /// Makes a presignature; gives its name.
    pub(crate) async fn presign(&self, key: &str, signers: &[u32]) -> Vec<u8> {
        let name = session();
        let calls = signers.iter().map(|signer| {
            let mut client = self.client(*signer as usize - 1);
            let request = pb::PresignRequest {
                key_id: key.to_owned(),
                path: Vec::new(),
                session_id: name.clone().into(),
                signers: signers.to_vec(),
                epoch: 1,
            };
            async move { client.presign(request).await.unwrap().into_inner() }
        });
        for answer in all(calls).await {
            assert_eq!((answer.refusal, answer.pool_size), (None, 1));
        }
        name
    }

    /// Signs with a presignature.
    pub(crate) async fn sign_presigned(
        &self,
        intent: &pb::Envelope,
        signers: &[u32],
        presignature: &[u8],
    ) -> Vec<pb::SignResponse> {
        let session = session();
        let calls = signers.iter().map(|signer| {
            let mut client = self.client(*signer as usize - 1);
            let presignature_id = presignature.to_vec().into();
            let request = pb::SignRequest { presignature_id, ..sign_request(intent, signers, session.clone()) };
            async move { client.sign(request).await.unwrap().into_inner() }
        });
        all(calls).await
    }

    pub(crate) async fn sign_in(
        &self,
        intent: &pb::Envelope,
        signers: &[u32],
        session: Vec<u8>,
    ) -> Vec<pb::SignResponse> {
        let calls = signers.iter().map(|signer| {
            let mut client = self.client(*signer as usize - 1);
            let request = sign_request(intent, signers, session.clone());
            async move { client.sign(request).await.unwrap().into_inner() }
        });
        all(calls).await
    }
}

/// The next nonce of each of these signers, once all of them hold it.
pub(crate) async fn shared_nonces(cluster: &Cluster, key: &str, signers: &[u32]) -> Vec<pb::NonceReference> {
    let key = limen_wire::ids::KeyId::new(key).unwrap();
    let party = |index: &u32| limen_wire::ids::PartyIndex::new(u16::try_from(*index).unwrap()).unwrap();
    let set = limen_wire::ids::SignerSet::new(signers.iter().map(party).collect()).unwrap();
    let mut found = Vec::new();
    eventually("nonces", || {
        let pools: Option<Vec<_>> = signers
            .iter()
            .map(|signer| {
                let pool = cluster.node(*signer as usize - 1).shared().nonces.pool(&key)?;
                Some(pb::NonceReference { signer: *signer, boot: pool.boot, index: pool.next_index })
            })
            .collect();
        let Some(references) = pools else { return false };
        let checked = limen_node::nonces::references(&references, &set).unwrap();
        found = references;
        signers.iter().all(|signer| {
            let shared = cluster.node(*signer as usize - 1).shared();
            shared.nonces.check(&shared.key(&key).unwrap(), false, &checked).is_ok()
        })
    })
    .await;
    found
}

pub(crate) fn sign_request(intent: &pb::Envelope, signers: &[u32], session: Vec<u8>) -> pb::SignRequest {
    pb::SignRequest {
        authorization: Some(pb::Authorization { intent: Some(intent.clone()), ..pb::Authorization::default() }),
        session_id: session.into(),
        signers: signers.to_vec(),
        nonces: Vec::new(),
        presignature_id: bytes::Bytes::new(),
        timeout_ms: 0,
        epoch: 1,
    }
}

/// A fresh session id.
pub(crate) fn session() -> Vec<u8> {
    limen_node::entropy::random::<32>().to_vec()
}

/// A message intent for an offchain key.
pub(crate) fn message_intent(cluster: &Cluster, key: &str, name: &str, text: &str) -> (IntentId, pb::Envelope) {
    seal_intent(&raw_message(key, name, text), &cluster.backend).unwrap()
}

pub(crate) fn raw_message(key: &str, name: &str, text: &str) -> pb::Intent {
    pb::Intent {
        version: 1,
        cluster: "test".to_owned(),
        requester: "backend".to_owned(),
        idempotency_key: name.to_owned(),
        key_id: key.to_owned(),
        expires_at_secs: SystemClock.now().as_secs() + 600,
        payload: Some(pb::intent::Payload::Message(text.as_bytes().to_vec().into())),
        ..pb::Intent::default()
    }
}

/// The one person of the charter.
pub(crate) fn person_key() -> SigningKey {
    requester_key(9)
}

/// An EVM message intent (EIP-191).
pub(crate) fn evm_message(cluster: &Cluster, key: &str, name: &str, text: &str) -> (IntentId, pb::Envelope) {
    let mut raw = raw_message(key, name, text);
    raw.chain = "eip155:31337".to_owned();
    raw.payload = Some(pb::intent::Payload::EvmMessage(text.as_bytes().to_vec().into()));
    seal_intent(&raw, &cluster.backend).unwrap()
}

/// A transfer of native coin.
pub(crate) fn evm_transfer(key: &str, name: &str, nonce: u64, wei: u64) -> pb::Intent {
    use limen_chain::evm::{Eip1559Fees, Transfer, transfer};
    use limen_wire::effects::{Address, Amount, ChainId};
    let to = Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
    let mut amount = [0; 32];
    amount[24..].copy_from_slice(&wei.to_be_bytes());
    let transfer_of = Transfer { chain: ChainId::eip155(31337), to, amount: Amount::from_be_bytes(amount) };
    let fees = Eip1559Fees { nonce, gas_limit: 21_000, max_fee_per_gas: 2_000_000_000, max_priority_fee_per_gas: 1 };
    let mut raw = raw_message(key, name, "");
    raw.chain = "eip155:31337".to_owned();
    raw.payload = Some(pb::intent::Payload::EvmTransaction(transfer(&transfer_of, &fees).unwrap().into()));
    raw
}

pub(crate) fn signature(response: &pb::SignResponse) -> &pb::SignatureResult {
    match response.outcome.as_ref().unwrap() {
        pb::sign_response::Outcome::Signature(signature) => signature,
        pb::sign_response::Outcome::Refusal(error) => panic!("refused: {error:?}"),
    }
}

pub(crate) fn refusal(response: &pb::SignResponse) -> &pb::Error {
    match response.outcome.as_ref().unwrap() {
        pb::sign_response::Outcome::Signature(_) => panic!("signed, where a refusal was due"),
        pb::sign_response::Outcome::Refusal(error) => error,
    }
}

/// Runs futures side by side and gives their results in order.
pub(crate) async fn all<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(tokio::time::timeout(PATIENCE, task).await.expect("in time").unwrap());
    }
    results
}

/// Waits for a condition, looking again whenever the runtime has had a turn.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let waiting = async {
        while !holds() {
            ticks.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "waited in vain for {what}");
}
