//! `limen check`

use std::path::PathBuf;

use clap::Args;
use limen_wire::ids::{CheckerId, IntentId};

use limen_terminal::KeyArgs;

pub(super) const EXAMPLES: &str = "Examples:
  limen check 1f0c… --charter charter.toml --key screening.pem
  limen check 1f0c… --charter charter.toml --key screening.pem --object 'the destination is on a list'
  limen check 1f0c… --charter charter.toml --key watch.pem --balance hot:usdt=81250.5 --balance hot:eth=12
  limen check 1f0c… --charter charter.toml --key watch.pem --balance hot:usdt=81250.5 \\
      --sequence eip155:1:0x70997970C51812dc3A010C7d01b50e0d17dc79C8=57
  limen check 1f0c… --charter charter.toml --key rates.pem --price usd:eth=2500.12
  limen check 1f0c… --charter charter.toml --pkcs11 /usr/lib/opensc-pkcs11.so --token desk --price usd:eth=2500.12
  limen check 1f0c… --charter charter.toml --key watch.pem --balance hot:usdt=0 --out finding.bin     without the cluster

Whoever signs vouches for it: look at the request, and at the chain, before. A finding counts for this one intent, under this
charter, and no longer than the charter lets the checker's word count.";

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Intent id
    pub(crate) id: IntentId,
    /// Your own copy of the charter: it says which checker you are
    #[arg(long, value_name = "FILE")]
    pub(crate) charter: PathBuf,
    #[command(flatten)]
    pub(crate) held: KeyArgs,
    /// The checker, if the agent or token holds keys of several
    #[arg(long, value_name = "NAME")]
    pub(crate) checker: Option<CheckerId>,
    /// What speaks against the intent; it passes without
    #[arg(long, value_name = "REASON", conflicts_with_all = ["balances", "prices", "sequences"])]
    pub(crate) object: Option<String>,
    /// How much of an asset a vault holds, in units of the asset; may be given more than once
    #[arg(long = "balance", value_name = "VAULT:ASSET=AMOUNT")]
    pub(crate) balances: Vec<String>,
    /// The next sequence number of an account that pays into a vault, as CAIP-10 and in the same state of the chain as the
    /// balance: what was signed at lower numbers has arrived. May be given more than once
    #[arg(long = "sequence", value_name = "CHAIN:ACCOUNT=NEXT", requires = "balances")]
    pub(crate) sequences: Vec<String>,
    /// What one unit of an asset is worth in a currency, with up to 18 places more than it has; may be given more than once
    #[arg(long = "price", value_name = "CURRENCY:ASSET=PRICE")]
    pub(crate) prices: Vec<String>,
    /// For how long it counts, in seconds; never longer than the charter says
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) valid_for: u64,
    /// Write it to a new file instead of handing it in
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
