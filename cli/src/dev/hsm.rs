//! A token for each signer: SoftHSM2 or another PKCS#11 library, behind a bridge of the signer's own.
//!
//! Token and PIN lie beside the signer, so this shows how signers work with tokens and protects nothing.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use limen_wire::keys::PublicKey;
use zeroize::Zeroizing;

use super::layout::{Layout, Machine};

/// What tells SoftHSM2 where its tokens lie.
const CONF: &str = "SOFTHSM2_CONF";
/// Longest path of a Unix socket on Linux (`sun_path`, with its final zero).
const SOCKET_PATH: usize = 107;
const MADE: &str = "made";

/// The library of the tokens.
pub(super) fn library() -> Result<&'static str> {
    limen_hsm::softhsm::library()
        .context("tokens need SoftHSM2, which is not installed: apt-get install softhsm2 (or `cargo xtask setup`)")
}

/// What a signer's bridge is started with beside its arguments.
pub(crate) fn environment(layout: &Layout, signer: &Machine) -> Vec<(&'static str, PathBuf)> {
    vec![(CONF, layout.path(&format!("{}/hsm/softhsm2.conf", signer.name)))]
}

/// The bridge's configuration.
pub(crate) fn config(layout: &Layout, signer: &Machine) -> PathBuf {
    layout.path(&format!("{}/hsm/bridge.toml", signer.name))
}

/// The socket that a signer's configuration names, relative to its folder.
pub(crate) const SOCKET: &str = "hsm/run/bridge.sock";

/// The program that owns a token.
pub(crate) const BRIDGE: &str = "limen-hsm-bridge";

/// Makes a signer's token with its identity where there is none, and writes the configuration of its bridge.
pub(crate) fn prepare(layout: &Layout, signer: &Machine, bridge: &Path) -> Result<()> {
    prepare_token(layout, signer)?;
    let file = identity_file(signer);
    if layout.path(&file).exists() {
        return Ok(());
    }
    let identity = make_identity(layout, signer, bridge)?;
    layout.write_private(&file, identity.to_string().as_bytes())
}

fn identity_file(signer: &Machine) -> String {
    format!("{}/hsm/identity", signer.name)
}

/// The public key of the identity in a signer's token, as it was made.
pub(crate) fn identity(layout: &Layout, signer: &Machine) -> Result<PublicKey> {
    let path = layout.path(&identity_file(signer));
    let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    text.trim().parse().with_context(|| format!("{} holds no public key", path.display()))
}

/// As an operator does: the bridge makes the identity inside the token where there is none, and says its public key.
fn make_identity(layout: &Layout, signer: &Machine, bridge: &Path) -> Result<PublicKey> {
    let mut command = Command::new(bridge);
    command.arg("--config").arg(config(layout, signer)).arg("init").envs(environment(layout, signer));
    let done = command.output().with_context(|| format!("could not run {}", bridge.display()))?;
    // Not by its status: see `make_token`.
    let said = String::from_utf8_lossy(&done.stdout);
    let key = said.lines().find_map(|line| line.strip_prefix("identity "));
    let key = key.with_context(|| {
        let why = String::from_utf8_lossy(&done.stderr);
        format!("the identity of {} was not made in its token: {}", signer.name, why.trim())
    })?;
    key.trim().parse().with_context(|| format!("{} printed no public key: {key:?}", bridge.display()))
}

fn prepare_token(layout: &Layout, signer: &Machine) -> Result<()> {
    let name = &signer.name;
    let socket = layout.path(&format!("{name}/{SOCKET}"));
    if socket.as_os_str().len() > SOCKET_PATH {
        bail!(
            "{} is longer than a socket's path may be ({SOCKET_PATH} bytes): choose a shorter --dir",
            socket.display()
        );
    }
    let module = library()?;
    let bridge = format!(
        "# Written by `limen dev up` at each start; changes are lost.\n\
         socket = \"run/bridge.sock\"\nstate_dir = \"state\"\n\
         \n[[tokens]]\nmodule = \"{}\"\ntoken = \"{name}\"\npin = {{ file = \"pin\" }}\n",
        module
    );
    layout.write_private(&format!("{name}/hsm/bridge.toml"), bridge.as_bytes())?;
    let made = format!("{name}/hsm/{MADE}");
    if layout.path(&made).exists() {
        return Ok(());
    }
    new_token(layout, &format!("{name}/hsm"), name, None)?;
    layout.write_private(&made, b"")
}

/// What SoftHSM2 needs to find the token in a folder of the layout.
pub(super) fn tokens_in(layout: &Layout, folder: &str) -> [(&'static str, PathBuf); 1] {
    [(CONF, layout.path(&format!("{folder}/softhsm2.conf")))]
}

/// A token of this label in a folder, with its PINs beside it. Whatever an interrupted start has left there is made anew.
fn new_token(layout: &Layout, folder: &str, label: &str, key: Option<&str>) -> Result<String> {
    let tokens = layout.path(&format!("{folder}/tokens"));
    if tokens.exists() {
        std::fs::remove_dir_all(&tokens).with_context(|| format!("could not remove {}", tokens.display()))?;
    }
    std::fs::create_dir_all(&tokens).with_context(|| format!("could not make {}", tokens.display()))?;
    let conf = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    layout.write_private(&format!("{folder}/softhsm2.conf"), conf.as_bytes())?;
    let (officer, user) = (pin()?, pin()?);
    layout.write_private(&format!("{folder}/so-pin"), officer.as_bytes())?;
    layout.write_private(&format!("{folder}/pin"), user.as_bytes())?;
    make_token(&tokens_in(layout, folder), (label, key), library()?, [&officer, &user])
}

/// A token of a person, with a P-256 key made inside it; the key's public half.
pub(super) fn persons_token(layout: &Layout, folder: &str, label: &str) -> Result<PublicKey> {
    let said = new_token(layout, folder, label, Some(label))?;
    let key = said.lines().find_map(|line| line.strip_prefix("key ")).context("the token said no public key")?;
    key.trim().parse().context("the token said no public key")
}

/// A PIN that nobody has to type.
fn pin() -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; 8]);
    getrandom::getrandom(&mut *bytes).map_err(|error| anyhow!("no random bytes: {error}"))?;
    Ok(Zeroizing::new(hex::encode(*bytes)))
}

/// In a process of its own, which alone knows where the tokens lie; PINs go by its standard input.
fn make_token(
    environment: &[(&'static str, PathBuf)],
    (label, key): (&str, Option<&str>),
    module: &str,
    pins: [&str; 2],
) -> Result<String> {
    let this = std::env::current_exe().context("could not find this program's own file")?;
    let mut command = Command::new(this);
    command.args(["dev", "make-token", "--label", label, "--module"]).arg(module);
    command.args(key.iter().flat_map(|key| ["--key", key]));
    command.envs(environment.iter().cloned()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("could not start the making of a token")?;
    if let Some(mut input) = child.stdin.take() {
        writeln!(input, "{}\n{}", pins[0], pins[1]).context("could not hand over the PINs")?;
    }
    let done = child.wait_with_output().context("could not wait for the making of a token")?;
    // Not by its status: SoftHSM 2.6.1 may crash at the very end of a process, when OpenSSL 3 has gone before it.
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    if said.contains(MADE) {
        return Ok(said);
    }
    bail!("the token of {label} was not made: {}", String::from_utf8_lossy(&done.stderr).trim())
}

#[derive(Debug, Args)]
pub(crate) struct MakeTokenArgs {
    /// The PKCS#11 library
    #[arg(long)]
    module: PathBuf,
    /// The token's label
    #[arg(long)]
    label: String,
    /// Also make a P-256 key of this label in it
    #[arg(long, value_name = "LABEL")]
    key: Option<String>,
}

/// Initializes the first free token; the officer's PIN and the user's are two lines of standard input.
pub(crate) fn make(args: &MakeTokenArgs) -> Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let mut pin = || -> Result<AuthPin> {
        let line = lines.next().context("two lines of standard input are the PINs")??;
        Ok(AuthPin::from(line))
    };
    let (officer, user) = (pin()?, pin()?);
    let context = Pkcs11::new(&args.module).with_context(|| format!("could not load {}", args.module.display()))?;
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).context("C_Initialize")?;
    let slot = context.get_all_slots().context("C_GetSlotList")?.first().copied().context("the library has no slot")?;
    context.init_token(slot, &officer, &args.label).context("C_InitToken")?;
    let session = context.open_rw_session(slot).context("C_OpenSession")?;
    session.login(UserType::So, Some(&officer)).context("C_Login")?;
    session.init_pin(&user).context("C_InitPIN")?;
    if let Some(label) = &args.key {
        session.logout().context("C_Logout")?;
        session.login(UserType::User, Some(&user)).context("C_Login")?;
        writeln!(std::io::stdout(), "key {}", make_key(&session, label)?).context("could not answer")?;
    }
    writeln!(std::io::stdout(), "{MADE}").context("could not answer")
}

/// P-256 as `CKA_EC_PARAMS` names it (RFC 5480).
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// A key that is made in the token and never leaves it.
fn make_key(session: &Session, label: &str) -> Result<PublicKey> {
    let named = || [Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(vec![1])];
    let public = [named().as_slice(), &[Attribute::Verify(true), Attribute::EcParams(P256.to_vec())]].concat();
    let flags = [Attribute::Private(true), Attribute::Sensitive(true), Attribute::Extractable(false)];
    let private = [named().as_slice(), &flags, &[Attribute::Sign(true)]].concat();
    let made = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private);
    let (public, _) = made.context("C_GenerateKeyPair")?;
    let said = session.get_attributes(public, &[AttributeType::EcPoint]).context("C_GetAttributeValue")?;
    let Some(Attribute::EcPoint(point)) = said.first() else { bail!("the token says no public key") };
    // An OCTET STRING (PKCS#11 2.40, section 2.3.3).
    let point = point.strip_prefix(&[0x04, 0x41]).unwrap_or(point);
    PublicKey::from_p256_sec1(point).context("the token's public key cannot be read")
}
