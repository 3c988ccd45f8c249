//! `limen key import`

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use limen_client::NewKey;
use limen_recover::DealtKey;
use limen_wire::ids::{NodeId, Protocol, Scheme};

use super::{MADE_WITHIN, Session, wait};

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("could not read {}", path.display()))
}

/// Each member's piece, in the order of the members.
fn pieces(dealt: &DealtKey, named: &[String]) -> Result<Vec<Vec<u8>>> {
    let mut files = BTreeMap::new();
    for text in named {
        let (node, file) = text.split_once('=').with_context(|| format!("--piece {text}: NODE=FILE is needed"))?;
        let node = NodeId::new(node).with_context(|| format!("--piece {text}"))?;
        if !dealt.nodes().contains(&node) {
            bail!("--piece {text}: {node} is none of the signers to whom the key was dealt");
        }
        if files.insert(node, file).is_some() {
            bail!("--piece {text}: that signer's piece is given twice");
        }
    }
    let piece = |node: &NodeId| {
        let file = files.get(node).with_context(|| format!("the piece of {node} is missing: --piece {node}=FILE"))?;
        read(Path::new(file))
    };
    dealt.nodes().iter().map(piece).collect()
}

/// Orders the import and waits until the key is active.
pub(super) async fn run(session: &Session, public: &Path, named: &[String], protocol: Option<Protocol>) -> Result<()> {
    let dealt = DealtKey::decode(&read(public)?).with_context(|| public.display().to_string())?;
    if *dealt.cluster() != session.config.cluster {
        bail!("the key was dealt for cluster {}, this is {}", dealt.cluster(), session.config.cluster);
    }
    let by_scheme = if dealt.scheme() == Scheme::EcdsaSecp256k1 { Protocol::Dkls23 } else { Protocol::Frost };
    let protocol = protocol.unwrap_or(by_scheme);
    let (size, least) = (dealt.size(), session.config.min_signers_required);
    if size.signers_required() < least {
        bail!("{size} needs fewer signers than this client's configuration accepts (min_signers_required = {least})");
    }
    dealt.dealing(protocol)?;
    let pieces = pieces(&dealt, named)?;
    let (key_id, scheme, nodes) = (dealt.key().clone(), dealt.scheme(), dealt.nodes().to_vec());
    let order = NewKey { key_id, scheme, protocol, size, nodes, expires_in: MADE_WITHIN };
    session.client.import_key(&order, dealt.imported().clone(), pieces).await?;
    wait(session, dealt.key()).await?;
    session.output.line(&format!(
        "now run `limen key refresh {0}`, then `limen-node forget-import-recipient` at every signer: until then whoever has pieces and \
         recipients of {1} signers has the key",
        dealt.key(),
        size.signers_required()
    ));
    Ok(())
}
