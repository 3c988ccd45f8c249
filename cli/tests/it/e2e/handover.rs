//! A ledger goes over to other committees by versions of the charter, and limits go on. Nothing is started again.

use std::path::Path;

use limen_client::evm::{Transfer, Transfers};
use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::error::Code;
use limen_wire::ids::{Protocol, Scheme};

use super::anyone::{BOUND, NoChain, wait_whole};
use super::cluster::{Cluster, signer};
use super::versions::Desk;

const FOUR: &str = "members = [\"signer-1\", \"signer-2\", \"signer-3\", \"witness-1\"]";
const THREE: &str = "members = [\"signer-1\", \"signer-2\", \"signer-3\"]";

/// Three requests an hour, and something to do for the witness when it keeps the ledger no longer.
fn three_an_hour(folder: &Path, text: &str) -> String {
    let second = format!("\n[[ledgers]]\nid = \"second\"\n{FOUR}\nquorum = 3\ncorrupt = 1\n");
    let text = text
        .replace("max_count = 5000", "max_count = 3")
        .replace("loosening_delay_secs = 60", "loosening_delay_secs = 1");
    let (before, after) = text.split_once("\n# Who certifies limits").unwrap();
    let text = format!("{before}{second}\n# Who certifies limits{after}");
    std::fs::write(folder.join("v1.toml"), &text).unwrap();
    text
}

impl Desk {
    /// Another committee for the ledger, as one writes it on the first day: what is missing, `charter diff` says.
    async fn goes_over(&self, number: u64, parent: &str, (from, to): (&str, &str)) {
        let old = std::fs::read_to_string(self.path(parent)).unwrap();
        let lint = self.succeeds(&["--output", "json", "charter", "lint", &self.path(parent)]);
        let lint: serde_json::Value = serde_json::from_str(&lint).unwrap();
        let governance = old.find("[governance]").unwrap();
        let quorum = governance + old[governance..].find("quorum").unwrap();
        let head = format!("[governance]\nnumber = {number}\nparents = [{}]\n", lint["charter"]);
        let text = format!("{}{head}{}", &old[..governance], &old[quorum..]);
        let main = text.find("id = \"main\"\n").unwrap();
        let (before, ledger) = text.split_at(main);
        let rest = ledger.lines().filter(|line| !line.starts_with("follows")).collect::<Vec<_>>().join("\n") + "\n";
        assert!(rest.contains(from));
        let text = format!("{before}{}", rest.replacen(from, to, 1));
        let (name, file) = (format!("v{number}.toml"), self.path(&format!("v{number}.toml")));
        std::fs::write(&file, &text).unwrap();
        let said = self.succeeds(&["charter", "diff", &self.path(parent), &file]);
        let (_, follows) = said.split_once("until ledger main says follows = \"").unwrap_or_else(|| panic!("{said}"));
        let follows = format!("{to}\nfollows = \"{}\"", &follows[..64]);
        std::fs::write(&file, format!("{before}{}", rest.replacen(from, &follows, 1))).unwrap();
        let said = self.succeeds(&["charter", "diff", &self.path(parent), &file]);
        assert!(!said.contains("until ledger main says"), "{said}");
        let mut signed = file;
        for person in ["anna", "carla"] {
            let out = self.path(&format!("v{number}.{person}"));
            let key = self.cluster.path().join(format!("people/{person}.pem")).display().to_string();
            let parent = self.path(parent);
            self.succeeds(&["charter", "sign", &signed, "--parent", &parent, "--key", &key, "--yes", "--out", &out]);
            signed = out;
        }
        self.succeeds(&["charter", "submit", &signed]);
        self.in_force(&name).await;
    }
}

#[tokio::test]
async fn a_ledger_goes_over_to_other_committees_and_limits_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start_house_under(3, 2, |text| three_an_hour(folder.path(), text), 1).await;
    let mut desk = Desk { cluster, folder };
    wait_whole(&desk.cluster).await;
    let key = desk.cluster.make_key("hot", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    let client = desk.cluster.client.clone();
    let transfers = Transfers::open(client.clone(), NoChain, key, Vec::new(), ChainId::eip155(31337)).await.unwrap();
    let to = Address::from_canonical("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC").unwrap();
    let payment = Transfer::Native { to, amount: Amount::from_units("0.1", 18).unwrap() };
    let pay = async |desk: &Desk, name: &str| {
        let paid = transfers.send(&payment, name, BOUND).await;
        paid.unwrap_or_else(|error| panic!("{name}: {error}; {}", desk.cluster.logs()));
    };
    // Nobody has kept anything for the first: who they were only the charter knows.
    desk.goes_over(2, "v1.toml", (FOUR, THREE)).await;
    pay(&desk, "under the second").await;
    desk.goes_over(3, "v2.toml", (THREE, FOUR)).await;
    pay(&desk, "under the third").await;
    // The witness knew nothing of what the second committee has certified, and is needed now.
    desk.cluster.kill(&signer(3));
    pay(&desk, "with the witness").await;
    // All three of an hour are counted, wherever they were certified.
    let sent = transfers.submit(&payment, "one too many").await.unwrap();
    desk.cluster.wait_reserved(sent.intent.id(), Code::LimitReached).await;
}
