//! A crate may use only crates listed before it, and some pairs never meet at all.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;

const RULE: &str = "crate arrow";

/// Our crates, in the order in which they may use each other.
const ORDER: &[&str] = &[
    "limen-wire",
    "limen-chain",
    "limen-policy",
    "limen-evidence",
    "limen-mpc",
    "limen-recover",
    "limen-hsm",
    "limen-hsm-bridge",
    "limen-client",
    "limen-terminal",
    "limen-pkcs11",
    "limen-node",
    "limen-coordinator",
    "limen-ceremony",
    "limen-watcher",
    "limen-cli",
    "limen-sim",
    "xtask",
];

/// Daemons that must not link each other, nor the SDK that talks to them: (who, never whom).
const NEVER: &[(&str, &[&str])] = &[
    ("limen-node", &["limen-hsm-bridge", "limen-client", "limen-coordinator", "limen-cli", "limen-sim"]),
    ("limen-coordinator", &["limen-recover", "limen-hsm", "limen-hsm-bridge", "limen-node", "limen-cli", "limen-sim"]),
    ("limen-client", &["limen-node", "limen-coordinator", "limen-policy"]),
    ("limen-pkcs11", &["limen-policy", "limen-evidence", "limen-mpc", "limen-hsm"]),
    ("limen-cli", &["limen-node", "limen-coordinator"]),
    ("xtask", ORDER),
];

/// What tests may use from anywhere.
const FOR_TESTS: &[&str] = &["limen-sim"];

/// A use of one of our crates by another.
pub(crate) struct Arrow {
    from: String,
    to: String,
    for_tests: bool,
}

/// Our crates and how they use each other.
pub(crate) struct Graph {
    crates: Vec<String>,
    arrows: Vec<Arrow>,
}

impl Graph {
    /// Reads `cargo metadata --no-deps`.
    pub(crate) fn from_metadata(metadata: &Value) -> Result<Self> {
        let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
        let name = |package: &Value| package["name"].as_str().unwrap_or_default().to_owned();
        let crates: Vec<String> = packages.iter().map(name).collect();
        let mut arrows = Vec::new();
        for package in packages {
            for dependency in package["dependencies"].as_array().into_iter().flatten() {
                let to = dependency["name"].as_str().unwrap_or_default();
                if crates.iter().any(|c| c == to) {
                    let for_tests = dependency["kind"].as_str() == Some("dev");
                    arrows.push(Arrow { from: name(package), to: to.to_owned(), for_tests });
                }
            }
        }
        Ok(Self { crates, arrows })
    }

    /// Everything that ends up linked into a crate, tests aside.
    fn reach(&self, from: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(next) = open.pop() {
            for arrow in self.arrows.iter().filter(|a| a.from == next && !a.for_tests) {
                if seen.insert(arrow.to.as_str()) {
                    open.push(&arrow.to);
                }
            }
        }
        seen
    }
}

pub(crate) fn check(graph: &Graph) -> Vec<Finding> {
    let place = |name: &str| ORDER.iter().position(|o| *o == name);
    let mut findings = Vec::new();
    for name in graph.crates.iter().filter(|name| place(name).is_none()) {
        findings.push(Finding::new(RULE, name, "has no place in the order of crates (xtask/src/tidy/arrows.rs)"));
    }
    for arrow in &graph.arrows {
        let allowed = arrow.for_tests && FOR_TESTS.contains(&arrow.to.as_str());
        if place(&arrow.to) >= place(&arrow.from) && arrow.to != arrow.from && !allowed {
            findings.push(Finding::new(RULE, &arrow.from, format!("uses {}, which comes after it", arrow.to)));
        }
    }
    for (from, never) in NEVER {
        for to in graph.reach(from).into_iter().filter(|to| never.contains(to)) {
            findings.push(Finding::new(RULE, *from, format!("links {to}; they must never meet in one process")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(arrows: &[(&str, &str, bool)]) -> Graph {
        let crates = ORDER.iter().map(|name| (*name).to_owned()).collect();
        let arrow = |(from, to, for_tests): &(&str, &str, bool)| Arrow {
            from: (*from).to_owned(),
            to: (*to).to_owned(),
            for_tests: *for_tests,
        };
        Graph { crates, arrows: arrows.iter().map(arrow).collect() }
    }

    #[test]
    fn downward_arrows_pass() {
        assert!(check(&graph(&[("limen-node", "limen-mpc", false), ("limen-mpc", "limen-wire", false)])).is_empty());
        assert!(check(&graph(&[("limen-mpc", "limen-sim", true)])).is_empty(), "tests may use the simulator");
    }

    #[test]
    fn an_upward_arrow_is_found() {
        assert_eq!(check(&graph(&[("limen-wire", "limen-mpc", false)])).len(), 1);
        assert_eq!(check(&graph(&[("limen-mpc", "limen-node", true)])).len(), 1, "tests neither");
    }

    #[test]
    fn a_forbidden_pair_is_found_through_a_third_crate() {
        let findings =
            check(&graph(&[("limen-coordinator", "limen-client", false), ("limen-client", "limen-node", false)]));
        assert_eq!(findings.iter().filter(|f| f.place == "limen-coordinator").count(), 1);
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        let mut graph = graph(&[]);
        graph.crates.push("limen-utils".to_owned());
        assert_eq!(check(&graph).len(), 1);
    }

    #[test]
    fn metadata_is_read() {
        let text = r#"{"packages":[{"name":"limen-wire","dependencies":[]},
            {"name":"limen-mpc","dependencies":[{"name":"limen-wire","kind":null},{"name":"sha2","kind":null}]}]}"#;
        let graph = Graph::from_metadata(&serde_json::from_str(text).expect("JSON")).expect("graph");
        assert_eq!(graph.crates.len(), 2);
        assert_eq!(graph.arrows.len(), 1);
    }
}
