//! Generates the protocol-buffer types, and with feature `rpc` the gRPC stubs, without an installed `protoc`.

use std::path::PathBuf;

use protox::prost::Message as _;

const FILES: &[&str] = &[
    "limen/v1/types.proto",
    "limen/v1/approval.proto",
    "limen/v1/check.proto",
    "limen/v1/ledger.proto",
    "limen/v1/stops.proto",
    "limen/v1/charter.proto",
    "limen/v1/backup.proto",
    "limen/v1/custody.proto",
    "limen/v1/admin.proto",
    "limen/v1/signer.proto",
    "limen/v1/peer.proto",
    "limen/v1/evidence.proto",
    "limen/v1/hsm.proto",
    "limen/v1/ceremony.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("limen.v1.bin"), descriptors.encode_to_vec())?;
    generate(descriptors)
}

#[cfg(feature = "rpc")]
fn generate(
    descriptors: protox::prost_reflect::prost_types::FileDescriptorSet,
) -> Result<(), Box<dyn std::error::Error>> {
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}

#[cfg(not(feature = "rpc"))]
fn generate(
    descriptors: protox::prost_reflect::prost_types::FileDescriptorSet,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    config.compile_fds(descriptors)?;
    Ok(())
}
