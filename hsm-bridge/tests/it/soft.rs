//! A token in software in a folder of its own, SoftHSM2 or Kryoptic, and the daemon at it.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use limen_hsm::BridgeClient;
use limen_wire::ids::KekId;

pub(crate) const PIN: &str = "a long pin 1234";
const PATIENCE: Duration = Duration::from_secs(30);
const FOLDER: &str = "LIMEN_TOKEN_FOLDER";

pub(crate) fn kek() -> KekId {
    KekId::new("vault").unwrap()
}

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Make {
    SoftHsm,
    Kryoptic,
}

impl Make {
    /// Its library. `None` if it is not there and nothing can be installed.
    fn module(self) -> Option<PathBuf> {
        match self {
            Self::SoftHsm => limen_hsm::conformance::softhsm().map(PathBuf::from),
            Self::Kryoptic => {
                let beside = Path::new(env!("CARGO_BIN_EXE_limen-hsm-bridge")).ancestors().nth(2).unwrap();
                let module = beside.join("kryoptic/debug/libkryoptic_pkcs11.so");
                let offline = std::env::var_os("LIMEN_OFFLINE").is_some_and(|value| !value.is_empty());
                assert!(module.exists() || offline, "{} is missing: `cargo xtask setup`", module.display());
                module.exists().then_some(module)
            }
        }
    }

    /// The variable that names its configuration.
    const fn variable(self) -> &'static str {
        match self {
            Self::SoftHsm => "SOFTHSM2_CONF",
            Self::Kryoptic => "KRYOPTIC_CONF",
        }
    }
}

/// A folder with a token `node1`.
pub(crate) struct Soft {
    _folder: Option<tempfile::TempDir>,
    path: PathBuf,
    make: Make,
    module: PathBuf,
}

impl Soft {
    /// SoftHSM2. `None` if it is not there and nothing can be installed.
    pub(crate) fn new() -> Option<Self> {
        let soft = Self::empty(Make::SoftHsm)?;
        std::fs::create_dir(soft.path("tokens")).unwrap();
        let text = format!("directories.tokendir = {}\nlog.level = ERROR\n", soft.path("tokens").display());
        std::fs::write(soft.path("conf"), text).unwrap();
        soft.add_token("node1");
        Some(soft)
    }

    /// Kryoptic, with a token that nobody has initialized.
    fn kryoptic() -> Option<Self> {
        let soft = Self::empty(Make::Kryoptic)?;
        let database = soft.path("token.sql");
        let text = format!("[[slots]]\nslot = 1\ndbtype = \"sqlite\"\ndbargs = \"{}\"\n", database.display());
        std::fs::write(soft.path("conf"), text).unwrap();
        Some(soft)
    }

    fn empty(make: Make) -> Option<Self> {
        let module = make.module()?;
        let folder = tempfile::tempdir().unwrap();
        let soft = Self { path: folder.path().to_owned(), _folder: Some(folder), make, module };
        soft.write_pin(PIN);
        soft.configure(&["node1"], "");
        Some(soft)
    }

    /// Runs the rest of a test in a process whose environment names this folder: a library reads it once, at its start.
    pub(crate) fn within(test: &str, body: impl FnOnce(&Self)) {
        Self::within_one(Make::SoftHsm, Self::new, test, body);
    }

    /// The same with Kryoptic.
    pub(crate) fn within_kryoptic(test: &str, body: impl FnOnce(&Self)) {
        Self::within_one(Make::Kryoptic, Self::kryoptic, test, |soft| {
            soft.initialize();
            body(soft);
        });
    }

    fn within_one(make: Make, new: impl FnOnce() -> Option<Self>, test: &str, body: impl FnOnce(&Self)) {
        if let Some(path) = std::env::var_os(FOLDER) {
            let module = make.module().unwrap();
            return body(&Self { _folder: None, path: path.into(), make, module });
        }
        let Some(soft) = new() else { return };
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args([test, "--exact", "--nocapture"]).env(FOLDER, &soft.path).env(make.variable(), soft.path("conf"));
        let done = again.output().unwrap();
        // Not by its status: SoftHSM 2.6.1 may crash at the very end, when OpenSSL 3 has gone before it.
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(said.contains("test result: ok. 1 passed"), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Makes the token `node1` and its PIN, as a vendor's tool would.
    fn initialize(&self) {
        let context = Pkcs11::new(&self.module).unwrap();
        context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
        let officer = AuthPin::new("12345678".into());
        let slot = context.get_all_slots().unwrap().remove(0);
        context.init_token(slot, &officer, "node1").unwrap();
        let session = context.open_rw_session(slot).unwrap();
        session.login(UserType::So, Some(&officer)).unwrap();
        session.init_pin(&AuthPin::new(PIN.into())).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn module(&self) -> &Path {
        &self.module
    }

    pub(crate) fn write_pin(&self, pin: &str) {
        std::fs::write(self.path("pin"), pin).unwrap();
        std::fs::set_permissions(self.path("pin"), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn add_token(&self, label: &str) {
        self.util(&["--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", PIN]);
    }

    pub(crate) fn util(&self, args: &[&str]) -> String {
        let mut util = Command::new("softhsm2-util");
        let done = util.args(args).env(self.make.variable(), self.path("conf")).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Writes a configuration for these tokens, with more lines before them.
    pub(crate) fn configure(&self, tokens: &[&str], more: &str) {
        let mut text = format!("socket = \"run/bridge.sock\"\nstate_dir = \"state\"\n{more}\n");
        for token in tokens {
            let module = self.module.display();
            text += &format!("[[tokens]]\nmodule = \"{module}\"\ntoken = \"{token}\"\npin = {{ file = \"pin\" }}\n");
        }
        std::fs::write(self.path("bridge.toml"), text).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limen-hsm-bridge"));
        command.arg("--config").arg(self.path("bridge.toml")).args(args);
        command.env(self.make.variable(), self.path("conf")).env_remove("CREDENTIALS_DIRECTORY");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Makes identity and wrapping key.
    pub(crate) fn init(&self) -> String {
        let done = self.run(&["init", "--kek", "vault"]);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(said.contains("wrapping key vault"), "{said}{}", String::from_utf8_lossy(&done.stderr));
        said
    }

    /// Takes the tokens away, or puts them back.
    pub(crate) fn move_tokens(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(crate) fn daemon(&self) -> Daemon {
        Daemon::start(self)
    }

    pub(crate) fn client(&self) -> BridgeClient {
        BridgeClient::new(self.path("run/bridge.sock"), PATIENCE)
    }
}

/// The daemon, killed at the end.
pub(crate) struct Daemon {
    child: Child,
    _said: std::thread::JoinHandle<()>,
}

impl Daemon {
    /// Returns once it serves.
    fn start(soft: &Soft) -> Self {
        let mut child = soft.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        wait_for("serving", &mut said);
        // A full pipe would hold it up.
        let said = std::thread::spawn(move || said.lines().for_each(drop));
        Self { child, _said: said }
    }

    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Until it ends by itself.
    pub(crate) fn wait(mut self) {
        self.child.wait().unwrap();
    }

    fn end(&mut self) {
        self.child.kill().ok();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

fn wait_for(word: &str, said: &mut BufReader<ChildStderr>) {
    let mut all = String::new();
    while !all.lines().last().is_some_and(|line| line.contains(word)) {
        assert_ne!(said.read_line(&mut all).unwrap(), 0, "it ended: {all}");
    }
}

/// Names in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
