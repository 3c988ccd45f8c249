//! Service units give nothing away: each line that hardens a service stands in every unit, once.

use super::Finding;
use super::source::{SourceFile, Tree};

const RULE: &str = "service unit";
const FOLDER: &str = "deploy/systemd/";

/// In every unit.
const HARDENING: &[&str] = &[
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "PrivateUsers=yes",
    "DevicePolicy=closed",
    "ProtectProc=invisible",
    "ProcSubset=pid",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RemoveIPC=yes",
    "KeyringMode=private",
    "UMask=0077",
    "LimitCORE=0",
    "StateDirectoryMode=0700",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @debug @cpu-emulation @obsolete process_vm_readv process_vm_writev",
    "SystemCallErrorNumber=EPERM",
    "Restart=always",
];

/// Settings that a unit must have, whatever they say.
const NEEDED: &[&str] = &["User", "Group", "ExecStart", "RestrictAddressFamilies", "TimeoutStopSec", "OOMScoreAdjust"];

/// Settings that no unit has: what is secret comes as a credential, and nothing runs with more rights before or after.
const NEVER: &[&str] = &[
    "Environment",
    "EnvironmentFile",
    "PassEnvironment",
    "PermissionsStartOnly",
    "ExecStartPre",
    "ExecStartPost",
    "SetCredential",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let units: Vec<_> = tree.with_extension("service").filter(|file| file.path.starts_with(FOLDER)).collect();
    if units.is_empty() {
        return vec![Finding::new(RULE, FOLDER, "no unit is there")];
    }
    units.into_iter().flat_map(check_unit).collect()
}

fn check_unit(unit: &SourceFile) -> Vec<Finding> {
    let settings: Vec<(&str, &str)> = unit.text.lines().filter_map(|line| line.split_once('=')).collect();
    let settings: Vec<_> = settings.into_iter().filter(|(key, _)| !key.starts_with('#')).collect();
    let mut findings = Vec::new();
    let mut found = |what: String| findings.push(Finding::new(RULE, &unit.path, what));
    for line in HARDENING {
        if !unit.text.lines().any(|here| here == *line) {
            found(format!("`{line}` is missing"));
        }
    }
    for (key, value) in &settings {
        // The last one would win, or add to it.
        let wanted = HARDENING.iter().filter_map(|line| line.split_once('=')).find(|(name, _)| name == key);
        let written = HARDENING.contains(&&*format!("{key}={value}"));
        if wanted.is_some() && !written {
            found(format!("`{key}={value}` undoes what another line says"));
        }
        if NEVER.contains(key) {
            found(format!(
                "`{key}=` has no place in a unit: secrets are credentials, and nothing runs with more rights"
            ));
        }
        if *key == "ExecStart" && !value.starts_with("/usr/bin/limen-") {
            found(format!(
                "`ExecStart={value}`: a program of ours by its whole path, without a prefix that lifts restrictions"
            ));
        }
        if *key == "User" && !value.starts_with("limen-") {
            found(format!("`User={value}`: a user of its own"));
        }
    }
    for key in NEEDED {
        if settings.iter().filter(|(name, _)| name == key).count() != 1 {
            found(format!("`{key}=` must stand there once"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> String {
        let needed = "User=limen-node\nGroup=limen-node\nExecStart=/usr/bin/limen-node --config x\n\
                      RestrictAddressFamilies=AF_UNIX\nTimeoutStopSec=5\nOOMScoreAdjust=-900\n# Environment=no\n";
        format!("[Service]\n{needed}{}\n", HARDENING.join("\n"))
    }

    fn found(text: &str) -> Vec<String> {
        check(&Tree::of(&[("deploy/systemd/limen-x.service", text)])).into_iter().map(|one| one.to_string()).collect()
    }

    #[test]
    fn a_hardened_unit_passes_and_none_at_all_does_not() {
        assert_eq!(found(&good()), [] as [String; 0]);
        assert_eq!(check(&Tree::of(&[("README.md", "")])).len(), 1);
    }

    #[test]
    fn each_line_is_missed_and_each_way_around_is_found() {
        for line in HARDENING {
            let without = good().replacen(&format!("\n{line}\n"), "\n", 1);
            assert!(found(&without).iter().any(|one| one.contains(line)), "{line}");
        }
        for (add, words) in [
            ("ProtectSystem=full", "undoes"),
            ("SystemCallFilter=@debug", "undoes"),
            ("CapabilityBoundingSet=CAP_SYS_ADMIN", "undoes"),
            ("Environment=PIN=1234", "no place"),
            ("ExecStartPre=/bin/sh", "no place"),
            ("ExecStart=+/usr/bin/limen-node", "prefix"),
            ("User=root", "user of its own"),
            ("OOMScoreAdjust=0", "once"),
        ] {
            let findings = found(&format!("{}{add}\n", good()));
            assert!(findings.iter().any(|one| one.contains(words)), "{add}: {findings:?}");
        }
    }
}
