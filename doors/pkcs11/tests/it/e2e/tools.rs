//! Other people's software: `pkcs11-tool` of OpenSC, and OpenSSL.

use std::process::Command;

use super::stage::{Stage, library};

/// Whether a program is there. Without it the test fails, unless nothing could be installed.
fn there(program: &str, package: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|folder| folder.join(program).is_file());
    let offline = std::env::var_os("LIMEN_OFFLINE").is_some();
    assert!(found || offline, "{program} is missing: install Debian's {package}, or set LIMEN_OFFLINE=1");
    found
}

/// Runs a program in the folder of the cluster, under one of the library's configurations, and expects it to succeed.
fn under(stage: &Stage, config: &str, program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args).current_dir(stage.path("")).env("LIMEN_PKCS11_CONFIG", config);
    command.env("PKCS11_MODULE_PATH", library());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {text}\n{}", stage.log());
    text
}

fn good(stage: &Stage, program: &str, args: &[&str]) -> String {
    under(stage, "pkcs11.toml", program, args)
}

fn tool(stage: &Stage, args: &[&str]) -> String {
    let library = library();
    good(stage, "pkcs11-tool", &[&["--module", library.to_str().unwrap()], args].concat())
}

/// Whether OpenSSL finds its PKCS#11 engine (Debian's libengine-pkcs11-openssl, which nothing here needs otherwise).
fn engine_is_there() -> bool {
    let answer = Command::new("openssl").args(["engine", "-t", "pkcs11"]).output().unwrap();
    String::from_utf8_lossy(&answer.stdout).contains("[ available ]")
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_signs_through_its_engine() {
    if !there("openssl", "openssl") || !engine_is_there() {
        return;
    }
    let stage = Stage::start().await;
    write_message(&stage);
    let engine = |args: &[&str]| under(&stage, "ecdsa.toml", "openssl", args);
    let (key, out) = ("pkcs11:token=Limen%20test;object=release;type=private", ["-out", "signature", "message"]);
    engine(&[&["dgst", "-engine", "pkcs11", "-keyform", "engine", "-sha256", "-sign", key], &out[..]].concat());
    let public = "pkcs11:token=Limen%20test;object=release;type=public";
    engine(&[
        "pkey",
        "-engine",
        "pkcs11",
        "-inform",
        "engine",
        "-pubin",
        "-in",
        public,
        "-pubout",
        "-out",
        "release.pem",
    ]);
    engine(&["dgst", "-sha256", "-verify", "release.pem", "-signature", "signature", "message"]);
}

fn write_message(stage: &Stage) {
    std::fs::write(stage.path("message"), b"a release of some software").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pkcs11_tool_signs_and_openssl_verifies() {
    if !there("pkcs11-tool", "opensc") || !there("openssl", "openssl") {
        return;
    }
    let stage = Stage::start().await;
    println!("{}", tool(&stage, &["--show-info"]));
    println!("{}", tool(&stage, &["--list-token-slots"]));
    println!("{}", tool(&stage, &["--list-mechanisms"]));
    let objects = tool(&stage, &["--list-objects"]);
    println!("{objects}");
    for wanted in ["label:      release", "label:      documents", "never extractable"] {
        assert!(objects.contains(wanted), "{objects}");
    }
    write_message(&stage);
    let own = tool(&stage, &["--login", "--pin", "1234", "--test"]);
    assert!(own.contains("No errors"), "{own}");
    tool(&stage, &["--test-fork"]);
    ecdsa(&stage);
    eddsa(&stage);
}

fn ecdsa(stage: &Stage) {
    tool(stage, &["--read-object", "--type", "pubkey", "--id", "01", "--output-file", "release.der"]);
    good(stage, "openssl", &["pkey", "-pubin", "-inform", "DER", "-in", "release.der", "-out", "release.pem"]);
    // hashed by the library
    let form = ["--signature-format", "openssl", "--input-file", "message", "--output-file", "signature"];
    tool(stage, &[&["--sign", "--id", "01", "--mechanism", "ECDSA-SHA256"], &form[..]].concat());
    good(stage, "openssl", &["dgst", "-sha256", "-verify", "release.pem", "-signature", "signature", "message"]);
    // hashed by OpenSSL, and with a PIN, which is not looked at
    good(stage, "openssl", &["dgst", "-sha256", "-binary", "-out", "digest", "message"]);
    let form = ["--signature-format", "openssl", "--input-file", "digest", "--output-file", "signature"];
    tool(stage, &[&["--sign", "--login", "--pin", "1234", "--id", "01", "--mechanism", "ECDSA"], &form[..]].concat());
    good(stage, "openssl", &["dgst", "-sha256", "-verify", "release.pem", "-signature", "signature", "message"]);
}

fn eddsa(stage: &Stage) {
    let form = ["--input-file", "message", "--output-file", "signature"];
    tool(stage, &[&["--sign", "--id", "02", "--mechanism", "EDDSA"], &form[..]].concat());
    // For these keys the tool writes PEM.
    tool(stage, &["--read-object", "--type", "pubkey", "--id", "02", "--output-file", "documents.pem"]);
    let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "documents.pem", "-rawin", "-in", "message"];
    good(stage, "openssl", &[&verify[..], &["-sigfile", "signature"]].concat());
}
