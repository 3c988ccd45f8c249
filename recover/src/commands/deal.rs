//! `deal`: a whole key to the signers that are to import it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use limen_recover::{DealtKey, Recipient, WholeForm, WholeKey};
use limen_wire::ids::NodeId;
use rand_core::{OsRng, RngCore as _};

use crate::arguments::{DealArguments, Whole};
use crate::files;

fn member(text: &str) -> Result<(NodeId, Recipient)> {
    let (node, recipient) =
        text.split_once('=').with_context(|| format!("--member {text}: NODE=RECIPIENT is needed"))?;
    let node = NodeId::new(node).with_context(|| format!("--member {text}"))?;
    Ok((node, Recipient::new(recipient).with_context(|| format!("--member {text}"))?))
}

fn chain_code(arguments: &DealArguments, whole: &WholeKey) -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    if whole.was_odd() && !arguments.new_chain_code {
        bail!(
            "the key's point has odd y, and BIP-340 signs for the one with even y: by the same chain code its children would be other keys than they \
             were. Say --new-chain-code if nothing lies under children of it; otherwise import each child as a key of its own"
        );
    }
    match (whole.chain_code(), &arguments.chain_code) {
        (Some(_), Some(_)) => bail!("an xprv has its own chain code: leave --chain-code out"),
        (Some(own), None) if !arguments.new_chain_code => return Ok(own),
        (None, Some(text)) => {
            hex::decode_to_slice(text, &mut bytes).context("--chain-code: 32 bytes in hexadecimal")?;
        }
        (_, None) if arguments.new_chain_code => {
            OsRng.try_fill_bytes(&mut bytes).context("asking the operating system for randomness")?;
        }
        _ => bail!(
            "children of the key are derived by its chain code: give it by --chain-code, or say --new-chain-code if it never had children"
        ),
    }
    Ok(bytes)
}

pub(super) fn deal(arguments: &DealArguments) -> Result<()> {
    let members: Vec<_> = arguments.members.iter().map(|text| member(text)).collect::<Result<_>>()?;
    let form = match arguments.from {
        Whole::Scalar => WholeForm::Scalar,
        Whole::Wif => WholeForm::Wif,
        Whole::Xprv => WholeForm::Xprv,
        Whole::Pkcs8 => WholeForm::Pkcs8,
    };
    let text = files::read(&arguments.file)?;
    let text = std::str::from_utf8(&text).with_context(|| format!("reading {}", arguments.file.display()))?;
    let whole = WholeKey::read(form, arguments.scheme, text)?;
    let chain_code = chain_code(arguments, &whole)?;
    let name = (arguments.cluster.clone(), arguments.key.clone());
    let (dealt, pieces) = DealtKey::deal(&whole, chain_code, name, (arguments.required, &members), &mut OsRng)?;
    let out = &arguments.out;
    let made = DirBuilder::new().mode(0o700).create(out);
    made.with_context(|| format!("making the folder {} (it must not be there yet)", out.display()))?;
    write(&out.join("import.public"), dealt.encode().as_bytes())?;
    for ((node, _), piece) in members.iter().zip(&pieces) {
        write(&out.join(format!("{node}.piece")), piece)?;
    }
    files::print(&format!(
        "key {} of cluster {}, {}, {} with public key {} is dealt to {}; the charter has to name it under [[imports]]",
        dealt.key(),
        dealt.cluster(),
        dealt.size(),
        dealt.scheme(),
        hex::encode(&dealt.imported().public_key),
        out.display()
    ))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.with_context(|| format!("making {}", path.display()))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(|| format!("writing {}", path.display()))
}
