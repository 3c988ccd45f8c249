//! Which key: the arguments of every command that signs as a person.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args};

/// Where the key is that signs: exactly one of a key file, the SSH agent and a token.
#[derive(Debug, Default, Args)]
#[command(group(ArgGroup::new("what_signs").args(["key", "ssh_agent", "pkcs11"]).required(true).multiple(false)))]
pub struct KeyArgs {
    /// Private key in PKCS#8 PEM, Ed25519 or P-256, readable by you alone
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// An Ed25519 or P-256 key held by the SSH agent at SSH_AUTH_SOCK
    #[arg(long)]
    pub ssh_agent: bool,
    /// The key on a token, if it is there.
    #[command(flatten)]
    pub token: TokenArgs,
}

/// A key on a token.
#[derive(Debug, Default, Args)]
pub struct TokenArgs {
    /// An Ed25519 or P-256 key on a token behind this PKCS#11 library, which is loaded into this process. The PIN is asked
    /// for in the terminal
    #[arg(long, value_name = "LIBRARY", requires = "token")]
    pub pkcs11: Option<PathBuf>,
    /// The token: its label or serial number
    #[arg(long, value_name = "LABEL", requires = "pkcs11")]
    pub token: Option<String>,
    /// Only keys of this label on the token
    #[arg(long, value_name = "LABEL", requires = "pkcs11")]
    pub key_label: Option<String>,
    /// Only keys of this id on the token
    #[arg(long, value_name = "HEX", requires = "pkcs11")]
    pub key_id: Option<KeyHandle>,
    /// Read the PIN from this file descriptor, up to the end of the line
    #[arg(long, value_name = "NUMBER", requires = "pkcs11")]
    pub pin_fd: Option<u32>,
}

/// The id that a token gives a key (`CKA_ID`).
#[derive(Debug, Clone)]
pub struct KeyHandle(pub Vec<u8>);

impl FromStr for KeyHandle {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::decode(text).map(Self)
    }
}
