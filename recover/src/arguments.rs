//! What the command understands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use limen_mpc::{DerivationPath, DeriveError};
use limen_wire::ids::{ClusterId, CredentialId, KeyId, NodeId, Scheme};

/// Backups of a key's shares: what is in them, whether they decrypt, and the key made whole again. Works offline; run what needs
/// secrets on a machine that never had a network and never will.
#[derive(Debug, Parser)]
#[command(name = "limen-recover", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Paper {
    /// Split the one X25519 identity in a file of age into slips, some of which give it again.
    Split {
        /// What `age-keygen` wrote.
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
        /// How many slips give it again: 2 to 9, or 1 of 1 for the identity itself.
        #[arg(long, value_name = "NUMBER")]
        required: u8,
        /// How many slips there are: up to 16.
        #[arg(long, value_name = "NUMBER")]
        total: u8,
        /// A new folder for one file each, which only their owner may read. Print or copy them, and delete the folder.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Say of a slip whose it is and its words, to compare with the paper after copying. Prints no secret.
    Check {
        /// Its letters in a file, or `-` for standard input.
        slip: PathBuf,
    },
    /// Put enough slips together to the identity file.
    Join {
        /// Files with one slip each, or one file `-` for standard input with one slip on each line.
        #[arg(required = true)]
        slips: Vec<PathBuf>,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what backups are of, who holds pieces, and how few people together have the key. Needs no secret.
    Show {
        /// Fail if fewer people than this together have a key. One who holds pieces of several shares is one.
        #[arg(long, value_name = "NUMBER")]
        people_required: Option<usize>,
        /// Backups.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Decrypt one's own piece and check it against the backup; with a nonce, prove it to whoever drew that. Prints no secret.
    Check(CheckArguments),
    /// Check a custodian's proof. Needs no secret. As many as `show` says are needed before the backup is known to give the share.
    Verify {
        /// The backup.
        file: PathBuf,
        /// The custodian.
        #[arg(long)]
        holder: String,
        /// The nonce that was drawn for this proof.
        #[arg(long)]
        nonce: String,
        /// What `check` printed, in hexadecimal.
        #[arg(long)]
        proof: String,
    },
    /// Make a new X25519 identity of age for a custodian, as `age-keygen` does, and print its recipient, which the charter names.
    Identity {
        /// A new file, which only its owner may read.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// A custodian's identity as letters to be written on paper, by codex32 (BIP-93).
    #[command(subcommand)]
    Paper(Paper),
    /// Make the key whole and export it. From then on whoever has the machine has the key.
    Combine {
        #[command(flatten)]
        sources: Sources,
        /// In which form.
        #[arg(long)]
        export: Form,
        /// Of which child key, such as m/0/5; all but `xprv`, which gives them all.
        #[arg(long, default_value = "m", value_parser = path, hide_default_value = true)]
        path: DerivationPath,
        #[command(flatten)]
        target: Target,
        /// A file with the password of the keystore, without its last line break. For `keystore` alone.
        #[arg(long, value_name = "FILE", required_if_eq("export", "keystore"))]
        password_file: Option<PathBuf>,
    },
    /// Split a whole key among the signers of a cluster that is to import it: a public file, and an encrypted piece for each.
    Deal(DealArguments),
    /// Make an Ed25519 key whole, sign exact bytes by it, print the signature in hexadecimal, and forget the key.
    SignSweep {
        #[command(flatten)]
        sources: Sources,
        /// By which child key, such as m/0/5: deposit addresses are children.
        #[arg(long, default_value = "m", value_parser = path, hide_default_value = true)]
        path: DerivationPath,
        /// A file with the bytes.
        #[arg(long, value_name = "FILE")]
        message: PathBuf,
    },
}

/// Whose piece of what, and how it is proved.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// The backup.
    pub(crate) file: PathBuf,
    /// Whose piece: a piece of somebody else does not count.
    #[arg(long)]
    pub(crate) holder: String,
    /// Identity files of age.
    #[arg(long = "identity", value_name = "FILE", required_unless_present = "piece")]
    pub(crate) identities: Vec<PathBuf>,
    /// The piece as `age --decrypt` has decrypted it elsewhere.
    #[arg(long, value_name = "FILE", conflicts_with = "identities")]
    pub(crate) piece: Option<PathBuf>,
    /// 32 bytes in hexadecimal, drawn by whoever asks for the proof.
    #[arg(long)]
    pub(crate) nonce: Option<String>,
    #[command(flatten)]
    pub(crate) signed: Option<Signed>,
}

/// The custodian's own signature under a proof.
#[derive(Debug, Args)]
#[group(requires_all = ["sign_as", "key", "asked_by", "nonce"])]
pub(crate) struct Signed {
    /// Sign the proof as well, by this terminal credential of the holder, as the charter names it.
    #[arg(long, value_name = "CREDENTIAL", required = false)]
    pub(crate) sign_as: CredentialId,
    /// Its private key: PKCS#8 in PEM, mode 0600.
    #[arg(long, value_name = "FILE", required = false)]
    pub(crate) key: PathBuf,
    /// The node that asks for the proof, and drew the nonce.
    #[arg(long, value_name = "NODE", required = false)]
    pub(crate) asked_by: NodeId,
}

/// A whole key, and who gets shares of it.
#[derive(Debug, Args)]
pub(crate) struct DealArguments {
    /// The file with the whole key.
    pub(crate) file: PathBuf,
    /// In which form.
    #[arg(long)]
    pub(crate) from: Whole,
    /// What it signs: ecdsa-secp256k1, schnorr-bip340 or eddsa-ed25519.
    #[arg(long)]
    pub(crate) scheme: Scheme,
    /// The cluster that is to import it.
    #[arg(long)]
    pub(crate) cluster: ClusterId,
    /// The name that it is to have there.
    #[arg(long)]
    pub(crate) key: KeyId,
    /// How many signers must take part.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) required: u16,
    /// Each signer with its import recipient, in the charter's order. Take recipients from the signers' own consoles: whoever could
    /// put in another one has the piece.
    #[arg(long = "member", value_name = "NODE=RECIPIENT", required = true)]
    pub(crate) members: Vec<String>,
    /// The chain code, 32 bytes in hexadecimal, by which the key's children are derived: other ones are other addresses.
    #[arg(long, value_name = "HEX")]
    pub(crate) chain_code: Option<String>,
    /// Draw a chain code: the key has no children yet.
    #[arg(long, conflicts_with = "chain_code")]
    pub(crate) new_chain_code: bool,
    /// A new folder for the public file `import.public` and `NODE.piece` for each signer.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// A form of a whole key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Whole {
    /// The scalar in hexadecimal: big-endian for secp256k1, little-endian for Ed25519.
    Scalar,
    /// Wallet import format, main network, compressed. secp256k1.
    Wif,
    /// BIP-32 extended private key, main network, with its chain code. secp256k1.
    Xprv,
    /// PKCS#8 in PEM, not encrypted. secp256k1.
    Pkcs8,
}

/// A path, with or without the `m/` that it begins with.
fn path(text: &str) -> Result<DerivationPath, DeriveError> {
    let whole = text == "m" || text.starts_with("m/");
    if whole { text.parse() } else { format!("m/{text}").parse() }
}

/// Backups and what opens them.
#[derive(Debug, Args)]
pub(crate) struct Sources {
    /// Backups of one epoch of one key: at least `signers_required` of different members.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Identity files of age, of enough custodians.
    #[arg(long = "identity", value_name = "FILE", required_unless_present = "pieces")]
    pub(crate) identities: Vec<PathBuf>,
    /// Pieces that `age --decrypt` has decrypted elsewhere.
    #[arg(long = "piece", value_name = "FILE")]
    pub(crate) pieces: Vec<PathBuf>,
}

/// Where a secret goes.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// A new file, which only its owner may read.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Standard output.
    #[arg(long)]
    pub(crate) danger_show_secret: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// BIP-32 extended private key with the key's chain code: all accounts. secp256k1.
    Xprv,
    /// Wallet import format: the key itself, without children. secp256k1.
    Wif,
    /// Ethereum's keystore, version 3, under a password. ecdsa-secp256k1.
    Keystore,
    /// PKCS#8 in PEM, not encrypted. secp256k1.
    Pkcs8,
    /// The scalar in hexadecimal: big-endian for secp256k1, little-endian for Ed25519.
    Scalar,
}
