//! A token for each signer: SoftHSM2 or another PKCS#11 library, behind a bridge of the signer's own.
//!
//! Token and PIN lie beside the signer, so this shows how signers work with tokens and protects nothing.

use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::session::UserType;
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
fn library() -> Result<&'static str> {
    limen_hsm::softhsm::library()
        .context("--hsm needs SoftHSM2, which is not installed: apt-get install softhsm2 (or `cargo xtask setup`)")
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
    // Whatever an interrupted start has left is made anew: no share was sealed by it yet.
    let tokens = layout.path(&format!("{name}/hsm/tokens"));
    if tokens.exists() {
        std::fs::remove_dir_all(&tokens).with_context(|| format!("could not remove {}", tokens.display()))?;
    }
    std::fs::create_dir_all(&tokens).with_context(|| format!("could not make {}", tokens.display()))?;
    let conf = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    layout.write_private(&format!("{name}/hsm/softhsm2.conf"), conf.as_bytes())?;
    let (officer, user) = (pin()?, pin()?);
    layout.write_private(&format!("{name}/hsm/so-pin"), officer.as_bytes())?;
    layout.write_private(&format!("{name}/hsm/pin"), user.as_bytes())?;
    make_token(layout, signer, module, [&officer, &user])?;
    layout.write_private(&made, b"")
}

/// A PIN that nobody has to type.
fn pin() -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; 8]);
    getrandom::getrandom(&mut *bytes).map_err(|error| anyhow!("no random bytes: {error}"))?;
    Ok(Zeroizing::new(hex::encode(*bytes)))
}

/// In a process of its own, which alone knows where the tokens lie; PINs go by its standard input.
fn make_token(layout: &Layout, signer: &Machine, module: &str, pins: [&str; 2]) -> Result<()> {
    let this = std::env::current_exe().context("could not find this program's own file")?;
    let mut command = Command::new(this);
    command.args(["dev", "make-token", "--label", &signer.name, "--module"]).arg(module);
    command.envs(environment(layout, signer)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("could not start the making of a token")?;
    if let Some(mut input) = child.stdin.take() {
        writeln!(input, "{}\n{}", pins[0], pins[1]).context("could not hand over the PINs")?;
    }
    let done = child.wait_with_output().context("could not wait for the making of a token")?;
    // Not by its status: SoftHSM 2.6.1 may crash at the very end of a process, when OpenSSL 3 has gone before it.
    if String::from_utf8_lossy(&done.stdout).contains(MADE) {
        return Ok(());
    }
    bail!("the token of {} was not made: {}", signer.name, String::from_utf8_lossy(&done.stderr).trim())
}

#[derive(Debug, Args)]
pub(crate) struct MakeTokenArgs {
    /// The PKCS#11 library
    #[arg(long)]
    module: PathBuf,
    /// The token's label
    #[arg(long)]
    label: String,
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
    writeln!(std::io::stdout(), "{MADE}").context("could not answer")
}
