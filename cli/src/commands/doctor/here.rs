//! The configuration and files of this machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use limen_client::{ClientConfig, ConfigError};
use limen_wire::tls::{self, TlsIdentity};

use super::Finding;
use super::certificate::not_after;

const DAY: u64 = 24 * 3600;
/// Time to get another certificate.
const SOON: u64 = 30 * DAY;

/// Reads it.
pub(super) fn configuration(file: &Path, findings: &mut Vec<Finding>) -> Option<ClientConfig> {
    const CHECK: &str = "configuration";
    const REMEDY: &str = "Correct the file, or name another by --config or LIMEN_CONFIG.";
    match ClientConfig::from_file(file) {
        Ok(config) => {
            let (nodes, least) = (config.nodes.len(), config.min_signers_required);
            let what = format!("{}: {} of cluster {}", file.display(), config.requester, config.cluster);
            findings.push(match nodes < least.into() {
                false => Finding::ok(CHECK, what),
                true => {
                    let what = format!("{nodes} signers are pinned, fewer than min_signers_required = {least}");
                    Finding::bad(CHECK, what, "Pin every signer under [[nodes]] as the charter does.")
                }
            });
            Some(config)
        }
        Err(error) => {
            let quotes = matches!(error, ConfigError::Content { .. });
            let finding = Finding::bad(CHECK, error.to_string(), REMEDY);
            findings.push(if quotes { finding.quoting_a_file() } else { finding });
            None
        }
    }
}

/// Modes, contents and ends of what the configuration names. Keys are read, as every command does, and nothing of them is kept.
pub(super) fn files(config: &ClientConfig, now: u64) -> Vec<Finding> {
    let unusable = |check: &str, error: &dyn std::fmt::Display| {
        Finding::bad(check, error.to_string(), "Put the right file in place: see the configuration.").quoting_a_file()
    };
    let mut findings =
        vec![secret("key", &config.key), secret("envelope_key", &config.envelope_key), end("cert", &config.cert, now)];
    findings.push(end("ca", &config.ca, now));
    if let Err(error) = tls::read_signing_key(&config.envelope_key) {
        findings.push(unusable("file envelope_key", &error));
    }
    let identity = TlsIdentity::from_pem_files(&config.cert, &config.key);
    let fits = identity.and_then(|identity| tls::authority_client(&identity, &config.ca));
    findings.push(match fits {
        Ok(_) => Finding::ok("identity", "cert, key and ca fit together"),
        Err(error) => unusable("identity", &error),
    });
    findings
}

fn secret(name: &str, path: &Path) -> Finding {
    let check = format!("file {name}");
    match std::fs::metadata(path) {
        Err(error) => Finding::bad(check, format!("{}: {error}", path.display()), "Put the key there, with mode 600."),
        Ok(about) if about.permissions().mode() & 0o077 != 0 => {
            let mode = about.permissions().mode() & 0o777;
            let what = format!("{} can be read by others (mode {mode:o})", path.display());
            Finding::bad(check, what, "chmod 600, then ask who has read it: if in doubt, enrol another key.")
        }
        Ok(_) => Finding::ok(check, format!("{} is its owner's alone", path.display())),
    }
}

fn end(name: &str, path: &Path, now: u64) -> Finding {
    const REMEDY: &str = "Have the authority issue another one.";
    let check = format!("file {name}");
    let shown = path.display();
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) => return Finding::bad(check, format!("{shown}: {error}"), "Put the certificate there."),
    };
    match not_after(&text) {
        Err(why) => Finding::bad(check, format!("{shown}: {why}"), "Put a PEM certificate there.").quoting_a_file(),
        Ok(until) if until <= now => {
            Finding::bad(check, format!("{shown} ended {} days ago", now.saturating_sub(until) / DAY), REMEDY)
        }
        Ok(until) => {
            let left = until.saturating_sub(now);
            let what = format!("{shown} is good for {} days more", left / DAY);
            if left < SOON { Finding::warn(check, what, REMEDY) } else { Finding::ok(check, what) }
        }
    }
}
