//! Every crate says what lives in it, under the workspace's licence and lints.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;
use super::source::Tree;

const RULE: &str = "room";
const LICENCE: &str = "Apache-2.0 OR MIT";
const LICENCE_FILES: &[&str] = &["LICENSE-APACHE", "LICENSE-MIT"];
/// Crates that speak C: the workspace's lints one by one, with unsafe code denied where the others forbid it, so that one module
/// may allow it.
const SPEAK_C: &[&str] = &["limen-pkcs11"];

/// A crate of ours, as its manifest describes it.
pub(crate) struct Room {
    name: String,
    /// From the root, with forward slashes.
    folder: String,
    licence: String,
}

impl Room {
    /// Reads `cargo metadata --no-deps`.
    pub(crate) fn from_metadata(metadata: &Value, root: &Path) -> Result<Vec<Self>> {
        let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let room = |package: &Value| {
            let manifest = text(&package["manifest_path"]);
            let folder = Path::new(&manifest).parent().unwrap_or(root);
            let folder = folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().into_owned();
            Self { name: text(&package["name"]), folder, licence: text(&package["license"]) }
        };
        Ok(packages.iter().map(room).collect())
    }
}

pub(crate) fn check(tree: &Tree, rooms: &[Room]) -> Vec<Finding> {
    let absent = LICENCE_FILES.iter().filter(|file| tree.find(file).is_none());
    let mut findings: Vec<Finding> = absent.map(|file| Finding::new(RULE, *file, "is missing")).collect();
    for room in rooms {
        findings.extend(check_room(tree, room));
    }
    findings
}

fn check_room(tree: &Tree, room: &Room) -> Vec<Finding> {
    let file = |name: &str| tree.find(&format!("{}/{name}", room.folder));
    let mut findings = Vec::new();
    let mut found = |what: &str| findings.push(Finding::new(RULE, &room.name, what));
    if file("README.md").is_none() {
        found("has no README.md: say in five lines what lives here, what may not, and where to start reading");
    }
    let crate_docs = ["src/lib.rs", "src/main.rs"].into_iter().filter_map(file).all(|f| f.text.starts_with("//!"));
    if !crate_docs {
        found("its first source file does not begin with `//!`");
    }
    if room.licence != LICENCE {
        found("its licence is not the workspace's: `license.workspace = true`");
    }
    let manifest = file("Cargo.toml").map_or("", |f| f.text.as_str());
    if SPEAK_C.contains(&room.name.as_str()) {
        let workspace = tree.find("Cargo.toml").map_or("", |f| f.text.as_str());
        if lints(manifest, "[lints.") != expected_of_c(workspace) {
            found("its lints are not the workspace's with `unsafe_code = \"deny\"`");
        }
    } else if !manifest.contains("[lints]\nworkspace = true") {
        found("does not take the workspace's lints: `[lints] workspace = true`");
    }
    findings
}

/// The lines of all tables whose header begins so, without the beginning, comments and blank lines.
fn lints(manifest: &str, beginning: &str) -> Vec<String> {
    let mut within = false;
    let mut lines = Vec::new();
    for line in manifest.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('[') {
            within = line.starts_with(beginning);
        }
        if within {
            lines.push(line.strip_prefix(beginning).unwrap_or(line).to_owned());
        }
    }
    lines
}

fn expected_of_c(workspace: &str) -> Vec<String> {
    let denied =
        |line: String| if line.starts_with("unsafe_code") { "unsafe_code = \"deny\"".to_owned() } else { line };
    lints(workspace, "[workspace.lints.").into_iter().map(denied).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\n\n[lints]\nworkspace = true\n";

    fn room(licence: &str) -> Room {
        Room { name: "limen-a".to_owned(), folder: "a".to_owned(), licence: licence.to_owned() }
    }

    fn tree(readme: &str, lib: &str, manifest: &str) -> Tree {
        let files = [
            ("LICENSE-MIT", ""),
            ("LICENSE-APACHE", ""),
            (readme, ""),
            ("a/src/lib.rs", lib),
            ("a/Cargo.toml", manifest),
        ];
        Tree::of(&files)
    }

    #[test]
    fn a_furnished_room_passes() {
        assert_eq!(check(&tree("a/README.md", "//! What.\n", MANIFEST), &[room(LICENCE)]), Vec::new());
    }

    #[test]
    fn a_crate_that_speaks_c_has_all_other_lints() {
        let workspace = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\na = \"warn\"\n\n[profile.dev]\nb = 1\n";
        let found = |lints: &str| {
            let files = [
                ("LICENSE-MIT", ""),
                ("LICENSE-APACHE", ""),
                ("Cargo.toml", workspace),
                ("a/README.md", ""),
                ("a/src/lib.rs", "//! What.\n"),
                ("a/Cargo.toml", lints),
            ];
            let name = SPEAK_C[0].to_owned();
            check(&Tree::of(&files), &[Room { name, ..room(LICENCE) }]).len()
        };
        assert_eq!(found("[lints.rust]\nunsafe_code = \"deny\"\n# why\na = \"warn\"\n"), 0);
        assert_eq!(found("[lints.rust]\nunsafe_code = \"deny\"\n"), 1, "one is missing");
        assert_eq!(found("[lints.rust]\nunsafe_code = \"allow\"\na = \"warn\"\n"), 1);
        assert_eq!(found(MANIFEST), 1, "the workspace's own forbid what it needs");
    }

    #[test]
    fn each_missing_piece_is_found() {
        assert_eq!(check(&tree("b/README.md", "//! What.\n", MANIFEST), &[room(LICENCE)]).len(), 1);
        assert_eq!(check(&tree("a/README.md", "mod x;\n", MANIFEST), &[room(LICENCE)]).len(), 1);
        assert_eq!(check(&tree("a/README.md", "//! What.\n", "[package]\n"), &[room(LICENCE)]).len(), 1);
        assert_eq!(check(&tree("a/README.md", "//! What.\n", MANIFEST), &[room("GPL-3.0")]).len(), 1);
        assert_eq!(check(&Tree::of(&[]), &[]).len(), 2, "both licence texts");
    }
}
