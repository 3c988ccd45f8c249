//! The house of the show: who is in it, the identities of its people and machines, its charter, and what each machine is told.
//!
//! The charter is a real one: no line of it opens a door that is named danger, so its machines begin by the record of a genesis alone,
//! their identities and what seals their shares lie in tokens, and their memory is locked.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use limen_client::config::{ClientConfig, PinnedNode};
use limen_policy::charter::Charter;
use limen_wire::ids::RequesterId;
use limen_wire::keys::PublicKey;
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};

use super::custodians;
use crate::dev::identities::{self, Authority};
use crate::dev::layout::{COORDINATOR, Layout, Machine, Ports};
use crate::dev::{hsm, people};

/// The cluster's name.
pub(super) const CLUSTER: &str = "ceremony-house";
/// Who conducts, keeps the coordinator's identity, and orders keys.
pub(super) const CONDUCTOR: &str = "dora";
/// A key that is made by a ceremony.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) scheme: &'static str,
    pub(super) protocol: &'static str,
}

/// The keys. The second takes little time, so a short show has that alone.
pub(super) const KEYS: [Key; 2] = [
    Key { name: "treasury", scheme: "ecdsa-secp256k1", protocol: "dkls23" },
    Key { name: "messages", scheme: "eddsa-ed25519", protocol: "frost" },
];
/// Signers of the first committee; all of them are the second.
pub(super) const FIRST: usize = 3;

/// What does not depend on keys: groups, vault, governance, rules.
const RULES: &str = include_str!("rules.toml");

/// Somebody who takes part. Each sits at a site of their own and speaks for the signer there.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) id: &'static str,
    pub(super) site: &'static str,
    account: &'static str,
    /// Their credential lies in a token, not in a file.
    pub(super) token: bool,
}

/// Everybody, in the order of their signers.
pub(super) const PEOPLE: [Person; 5] = [
    Person { id: "anna", site: "zurich", account: "own-rack", token: false },
    Person { id: "boris", site: "frankfurt", account: "cloud-one", token: true },
    Person { id: "carla", site: "singapore", account: "cloud-two", token: true },
    Person { id: CONDUCTOR, site: "oslo", account: "cloud-three", token: false },
    Person { id: "emil", site: "lisbon", account: "cloud-four", token: false },
];

/// A node without a share: its site, its account, who speaks for it.
pub(super) const WITNESSES: [(&str, &str, &str); 2] =
    [("quito", "cloud-five", "anna"), ("tokyo", "cloud-six", "boris")];

impl Person {
    /// The name of the signer that they speak for.
    pub(super) fn signer(&self) -> String {
        format!("signer-{}", self.site)
    }

    /// As whom they ask the coordinator.
    pub(super) fn requester(&self) -> String {
        format!("{}-desk", self.id)
    }

    /// A folder on their own machine.
    pub(super) fn folder(&self) -> String {
        format!("people/{}", self.id)
    }

    /// Where a token keeps what it needs.
    pub(super) fn token_folder(&self) -> String {
        format!("people/{}/token", self.id)
    }
}

/// Whose machines are lost in the show.
pub(super) fn lost() -> impl Iterator<Item = &'static Person> {
    PEOPLE.iter().filter(|person| ["boris", "emil"].contains(&person.id))
}

/// Whose signer is off in the drill.
pub(super) fn off() -> Option<&'static Person> {
    PEOPLE.iter().find(|person| person.id == "carla")
}

/// The name of a witness by its site.
pub(super) fn witness(site: &str) -> String {
    format!("witness-{site}")
}

/// The house, with everything that it is made of.
pub(super) struct House {
    pub(super) layout: Layout,
    pub(super) ports: Ports,
    /// Of people, in the order of [`PEOPLE`].
    pub(super) credentials: Vec<PublicKey>,
    /// Signers, then witnesses.
    pub(super) machines: Vec<(Machine, PublicKey)>,
    pub(super) coordinator: PublicKey,
    pub(super) charter: Charter,
    pub(super) charter_text: String,
    pub(super) bridge: PathBuf,
}

impl House {
    /// Makes identities, tokens, charter and configuration in an empty folder.
    pub(super) fn make(layout: Layout, bridge: PathBuf, recover: &Path) -> Result<Self> {
        let ports = Ports::choose(5, 2)?;
        let authority = Authority::prepare(&layout)?;
        authority.issue(&layout, COORDINATOR, "tls", &[COORDINATOR, "localhost"], &[ServerAuth, ClientAuth])?;
        let coordinator = identities::public_key(&layout.path(&format!("{COORDINATOR}/tls.key")))?;
        let mut credentials = Vec::new();
        let mut requesters = Vec::new();
        for person in &PEOPLE {
            let folder = person.folder();
            authority.issue(&layout, &folder, "client", &[&person.requester()], &[ClientAuth])?;
            identities::ed25519_key(&layout, &format!("{folder}/envelope.key"))?;
            requesters.push(identities::public_key(&layout.path(&format!("{folder}/envelope.key")))?);
            credentials.push(credential(&layout, person)?);
        }
        let machines = machines(&layout, &ports, &bridge)?;
        let mut charter_text = charter(&machines, &coordinator, &requesters, &credentials)?;
        charter_text.push_str(&custodians::table(&layout, recover)?);
        charter_text.push_str(RULES);
        let charter = Charter::from_toml(&charter_text).context("the charter of the show is refused")?;
        layout.write_private("charter.toml", charter_text.as_bytes())?;
        let house = Self { layout, ports, credentials, machines, coordinator, charter, charter_text, bridge };
        house.configure()?;
        Ok(house)
    }

    /// The client configuration of a person.
    pub(super) fn client_config(&self, person: &str) -> PathBuf {
        self.layout.path(&format!("people/{person}/client.toml"))
    }

    /// The signers, in the charter's order.
    pub(super) fn signers(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().take(PEOPLE.len()).map(|(machine, _)| machine)
    }

    /// The nodes without a share.
    pub(super) fn witnesses(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().skip(PEOPLE.len()).map(|(machine, _)| machine)
    }

    fn configure(&self) -> Result<()> {
        let write = |name: &str, text: String| -> Result<()> {
            self.layout.write_private(&format!("{name}/config.toml"), text.as_bytes())?;
            // Everybody puts the charter that was reviewed on their own machine.
            self.layout.write_private(&format!("{name}/charter.toml"), self.charter_text.as_bytes())
        };
        for signer in self.signers() {
            write(&signer.name, node(signer, true))?;
        }
        for machine in self.witnesses() {
            write(&machine.name, node(machine, false))?;
        }
        write(COORDINATOR, coordinator(&self.ports))?;
        for person in &PEOPLE {
            let client = toml::to_string(&self.client(person)?)?;
            self.layout.write_private(&format!("{}/client.toml", person.folder()), client.as_bytes())?;
        }
        Ok(())
    }

    fn client(&self, person: &Person) -> Result<ClientConfig> {
        let pinned = |node: &limen_policy::charter::Node| PinnedNode {
            id: node.id.clone(),
            public_key: node.public_key,
            address: Some(node.address.clone()),
        };
        Ok(ClientConfig {
            version: limen_client::config::VERSION,
            cluster: self.charter.cluster.clone(),
            requester: RequesterId::new(person.requester())?,
            endpoint: format!("127.0.0.1:{}", self.ports.coordinator),
            server_name: COORDINATOR.to_owned(),
            ca: "../../ca/ca.crt".into(),
            cert: "client.crt".into(),
            key: "client.key".into(),
            envelope_key: "envelope.key".into(),
            min_signers_required: 2,
            nodes: self.charter.nodes.iter().map(pinned).collect(),
            hsm_keys: Vec::new(),
            former_identities: Vec::new(),
            chains: std::collections::BTreeMap::new(),
        })
    }
}

fn credential(layout: &Layout, person: &Person) -> Result<PublicKey> {
    if person.token {
        return hsm::persons_token(layout, &person.token_folder(), person.id)
            .with_context(|| format!("the token of {}", person.id));
    }
    let file = format!("{}/credential.pem", person.folder());
    identities::ed25519_key(layout, &file)?;
    identities::public_key(&layout.path(&file))
}

fn machines(layout: &Layout, ports: &Ports, bridge: &Path) -> Result<Vec<(Machine, PublicKey)>> {
    let mut machines = Vec::new();
    for (person, (port, metrics)) in PEOPLE.iter().zip(ports.signers.iter().zip(&ports.signer_metrics)) {
        let machine = Machine { name: person.signer(), port: *port, metrics: *metrics };
        hsm::prepare(layout, &machine, bridge)?;
        let key = hsm::identity(layout, &machine)?;
        machines.push((machine, key));
    }
    for ((site, ..), (port, metrics)) in WITNESSES.iter().zip(ports.witnesses.iter().zip(&ports.witness_metrics)) {
        let machine = Machine { name: witness(site), port: *port, metrics: *metrics };
        identities::node(layout, &machine)?;
        let key = identities::public_key(&layout.path(&identities::node_key_file(&machine)))?;
        machines.push((machine, key));
    }
    Ok(machines)
}

fn charter(
    machines: &[(Machine, PublicKey)],
    coordinator: &PublicKey,
    requesters: &[PublicKey],
    credentials: &[PublicKey],
) -> Result<String> {
    let names = |machines: &[(Machine, PublicKey)]| {
        machines.iter().map(|(machine, _)| format!("{:?}", machine.name)).collect::<Vec<_>>().join(", ")
    };
    let (signers, witnesses) = machines.split_at_checked(PEOPLE.len()).context("a signer for each person")?;
    let mut out = format!(
        "# The charter of `limen dev ceremony`: a real one, for a house that lasts as long as the show.\n\
         version = 1\ncluster = \"{CLUSTER}\"\nclaims = \"main\"\n\n[bounds]\nmax_sessions = 16\nmax_expiry_secs = 86400\n"
    );
    let places = PEOPLE.iter().map(|person| (person.site, person.account));
    for ((machine, key), place) in signers.iter().zip(places) {
        out.push_str(&stands("nodes", machine, key, place));
    }
    for ((machine, key), (site, account, _)) in witnesses.iter().zip(WITNESSES) {
        out.push_str(&stands("witnesses", machine, key, (site, account)));
    }
    write!(
        out,
        "\n# Any two may do whatever they like, and any two may be away.\n\
         [[ledgers]]\nid = \"main\"\nmembers = [{}]\nquorum = 5\ncorrupt = 2\nreservation_secs = 60\n\
         \n[[coordinators]]\nid = \"{COORDINATOR}\"\npublic_key = \"{coordinator}\"\n",
        names(machines)
    )?;
    for (person, key) in PEOPLE.iter().zip(requesters) {
        let duties = if person.id == CONDUCTOR { "\"request\", \"keys\"" } else { "\"request\"" };
        write!(
            out,
            "\n[[requesters]]\nid = \"{}\"\npublic_key = \"{key}\"\nduties = [{duties}]\npeople = [\"{}\"]\n",
            person.requester(),
            person.id
        )?;
    }
    for (person, key) in PEOPLE.iter().zip(credentials) {
        let credential = people::credential(person.id);
        write!(
            out,
            "\n[[people]]\nid = \"{}\"\n[[people.credentials]]\nid = \"{credential}\"\nclass = \"terminal\"\n\
             public_key = \"{key}\"\n",
            person.id
        )?;
    }
    for Key { name: key, .. } in &KEYS {
        write!(out, "\n[[committees]]\nkey = \"{key}\"\nnodes = [{}]\nsigners_required = 3\n", names(signers))?;
    }
    Ok(out)
}

fn stands(table: &str, Machine { name, port, .. }: &Machine, key: &PublicKey, (site, account): (&str, &str)) -> String {
    format!(
        "\n[[{table}]]\nid = \"{name}\"\naddress = \"127.0.0.1:{port}\"\npublic_key = \"{key}\"\nsite = \"{site}\"\n\
         account = \"{account}\"\n"
    )
}

fn node(Machine { name, port, metrics }: &Machine, signer: bool) -> String {
    let rest = match signer {
        true => format!(
            "client_authority = \"../ca/ca.crt\"\n\n[identity]\nkind = \"hsm\"\n\n[provider]\nkind = \"hsm_bridge\"\n\
             socket = \"{}\"\n",
            hsm::SOCKET
        ),
        false => "witness = true\n\n[identity]\ncertificate = \"node.crt\"\nkey = \"node.key\"\n".to_owned(),
    };
    format!(
        "# Written by `limen dev ceremony`.\nnode = \"{name}\"\nlisten = \"127.0.0.1:{port}\"\nmetrics = \"127.0.0.1:{metrics}\"\n\
         data_dir = \"data\"\ncharter = \"charter.toml\"\ngenesis = \"genesis.record\"\n{rest}"
    )
}

fn coordinator(ports: &Ports) -> String {
    format!(
        "# Written by `limen dev ceremony`.\nid = \"{COORDINATOR}\"\ncharter = \"charter.toml\"\ngenesis = \"genesis.record\"\n\
         data_dir = \"data\"\nlisten = \"127.0.0.1:{}\"\nmetrics_listen = \"127.0.0.1:{}\"\n\
         \n[tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\nclient_authority = \"../ca/ca.crt\"\n",
        ports.coordinator, ports.coordinator_metrics
    )
}
