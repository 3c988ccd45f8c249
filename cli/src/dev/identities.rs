//! A development certificate authority, and an identity for everyone. Made once, kept for ever.

use std::path::Path;

use anyhow::{Context, Result};
use limen_wire::keys::{PublicKey, SigningKey};
use limen_wire::tls::read_signing_key;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use zeroize::Zeroizing;

use super::hsm;
use super::layout::{COORDINATOR, Layout, Machine, REQUESTER, State};
use super::people::{self, PEOPLE};

/// Public keys of everyone that the charter names.
#[derive(Debug)]
pub(crate) struct Identities {
    /// Signers in index order.
    pub(crate) signers: Vec<PublicKey>,
    /// Witnesses in index order.
    pub(crate) witnesses: Vec<PublicKey>,
    /// People in the order of [`PEOPLE`].
    pub(crate) people: Vec<PublicKey>,
    pub(crate) coordinator: PublicKey,
    pub(crate) requester: PublicKey,
}

/// Makes what is missing; tokens are made before.
pub(crate) fn prepare(layout: &Layout, state: &State) -> Result<Identities> {
    let authority = Authority::prepare(layout)?;
    for signer in state.signers().filter(|_| !state.hsm) {
        // Before the identity, whose key comes last: a folder with that is complete.
        if !layout.path(&node_key_file(&signer)).exists() {
            layout.write_private(&format!("{}/share-wrapping.key", signer.name), hex::encode(random()?).as_bytes())?;
        }
    }
    for machine in state.signers().filter(|_| !state.hsm).chain(state.witnesses()) {
        node(layout, &machine)?;
    }
    let usages = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    authority.issue(layout, COORDINATOR, "tls", &[COORDINATOR, "localhost"], &usages)?;
    authority.issue(layout, "client", "client", &[REQUESTER], &usages[1..])?;
    ed25519_key(layout, "client/envelope.key")?;
    for person in PEOPLE {
        ed25519_key(layout, &people::key_file(person))?;
    }
    let key_of = |path: &str| public_key(&layout.path(path));
    let node_key = |machine: Machine| key_of(&node_key_file(&machine));
    Ok(Identities {
        signers: state
            .signers()
            .map(|signer| match in_token(layout, state, &signer) {
                true => hsm::identity(layout, &signer),
                false => node_key(signer),
            })
            .collect::<Result<_>>()?,
        witnesses: state.witnesses().map(node_key).collect::<Result<_>>()?,
        people: PEOPLE.iter().map(|person| key_of(&people::key_file(person))).collect::<Result<_>>()?,
        coordinator: key_of(&format!("{COORDINATOR}/tls.key"))?,
        requester: key_of("client/envelope.key")?,
    })
}

/// Whether a signer's identity lies in its token. Those of clusters from before that was so keep their files: charters pin them.
pub(crate) fn in_token(layout: &Layout, state: &State, signer: &Machine) -> bool {
    state.hsm && !layout.path(&node_key_file(signer)).exists()
}

pub(super) fn node_key_file(machine: &Machine) -> String {
    format!("{}/node.key", machine.name)
}

/// A node's identity, where there is none yet. The node is known by its key: nobody looks at the issuer.
pub(super) fn node(layout: &Layout, machine: &Machine) -> Result<()> {
    let (name, key_file) = (&machine.name, node_key_file(machine));
    if layout.path(&key_file).exists() {
        return Ok(());
    }
    let key = new_key()?;
    let certificate = params(name, &[name, "localhost"])?.self_signed(&key)?;
    layout.write_private(&format!("{name}/node.crt"), certificate.pem().as_bytes())?;
    layout.write_private(&key_file, key.serialize_pem().as_bytes())
}

/// An Ed25519 key, where there is none yet.
pub(super) fn ed25519_key(layout: &Layout, file: &str) -> Result<()> {
    if layout.path(file).exists() {
        return Ok(());
    }
    layout.write_private(file, ed25519_pem(&random()?).as_bytes())
}

/// The public half of a key in a file.
pub(super) fn public_key(path: &Path) -> Result<PublicKey> {
    Ok(read_signing_key(path)?.public_key())
}

/// Issues the certificates of coordinators and clients.
pub(super) struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// The issuer is put together again from the same name and the kept key.
    pub(super) fn prepare(layout: &Layout) -> Result<Self> {
        let mut params = params("Limen development authority", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let path = layout.path("ca/ca.key");
        if !path.exists() {
            let pair = new_key()?;
            layout.write_private("ca/ca.crt", params.self_signed(&pair)?.pem().as_bytes())?;
            layout.write_private("ca/ca.key", pair.serialize_pem().as_bytes())?;
        }
        let key = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        Ok(Self(Issuer::new(params, KeyPair::from_pem(&Zeroizing::new(key))?)))
    }

    /// A certificate with a new key, where there is none yet.
    pub(super) fn issue(
        &self,
        layout: &Layout,
        folder: &str,
        file: &str,
        names: &[&str],
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Result<()> {
        if layout.path(&format!("{folder}/{file}.key")).exists() {
            return Ok(());
        }
        let pair = new_key()?;
        let mut params = params(names.first().copied().unwrap_or(folder), names)?;
        params.extended_key_usages = usages.to_vec();
        let certificate = params.signed_by(&pair, &self.0)?;
        layout.write_private(&format!("{folder}/{file}.crt"), certificate.pem().as_bytes())?;
        layout.write_private(&format!("{folder}/{file}.key"), pair.serialize_pem().as_bytes())
    }
}

fn new_key() -> Result<KeyPair> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

fn params(common_name: &str, names: &[&str]) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

fn random() -> Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::getrandom(&mut *bytes).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    Ok(bytes)
}

/// RFC 8410 section 7, version 1: what every other library reads too.
fn ed25519_pem(seed: &Zeroizing<[u8; 32]>) -> Zeroizing<String> {
    const PREFIX: [u8; 16] =
        [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    let text = pem::encode(&pem::Pem::new("PRIVATE KEY", [PREFIX.as_slice(), seed.as_slice()].concat()));
    debug_assert!(SigningKey::from_pkcs8_pem(&text).is_ok());
    Zeroizing::new(text)
}
