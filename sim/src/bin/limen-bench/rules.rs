//! What a decision costs: a charter of many rules, each about the effects in question.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use limen_policy::charter::Charter;
use limen_policy::decide::{When, decide};
use limen_wire::effects::{Address, Amount, Asset, ChainId, Effect, Effects};
use limen_wire::ids::{ClusterId, IntentId, KeyId, RequesterId};
use limen_wire::intent::{Intent, Payload};
use serde::Serialize;

const SAMPLE: &str = include_str!("../../../../policy/development.sample.toml");
const OURS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const THEIRS: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

/// One charter's decisions on one thread.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Rules {
    pub(crate) rules: usize,
    pub(crate) micros: f64,
}

pub(crate) fn measure(each: Duration) -> Result<Vec<Rules>> {
    [10, 100, 1000].into_iter().map(|rules| time(rules, each)).collect()
}

/// Allows the payment by its last rule; all others are about the same asset, for other sums.
fn charter(rules: usize) -> Result<Charter> {
    let head = SAMPLE.split_once("[[rules]]").context("the sample has no rules")?.0;
    let mut text = head.to_owned();
    text.push_str("[[rules]]\nname = \"gas\"\nallow = \"fee\"\nasset = \"eth\"\nmax_amount = \"1\"\n");
    for number in 1..rules {
        let least = rules.saturating_sub(number).saturating_sub(1).saturating_mul(10);
        let most = least.saturating_add(10);
        write!(
            text,
            "\n[[rules]]\nname = \"{number}\"\nallow = \"transfer\"\nasset = \"eth\"\nmore_than = \"{least}\"\n\
             max_amount = \"{most}\"\ndestinations = \"anywhere\"\napprovals = \"2 of treasury\"\n"
        )?;
    }
    Ok(Charter::from_toml(&text)?)
}

fn payment() -> Result<(Intent, Effects)> {
    let chain = ChainId::eip155(31337);
    let address = |text: &str| Address::from_canonical(text).context("an address");
    let (ours, theirs, asset) = (address(OURS)?, address(THEIRS)?, Asset::Native(chain.clone()));
    let amount = Amount::from_units("1", 18).context("an amount")?;
    let fee = Effect::Fee { asset: asset.clone(), max_amount: Amount::from_u128(42_000), payer: ours.clone() };
    let transfer = Effect::Transfer { asset, amount, from: ours.clone(), to: theirs };
    let effects = Effects {
        decoder_version: Effects::DECODER_VERSION,
        chain: chain.clone(),
        account: ours,
        nonce: Some(1),
        list: vec![transfer, fee],
    };
    let intent = Intent {
        id: IntentId::new([1; 32]),
        cluster: ClusterId::new("sample")?,
        requester: RequesterId::new("backend")?,
        idempotency_key: "bench".to_owned(),
        vault: None,
        key_id: KeyId::new("treasury")?,
        path: Vec::new(),
        chain: Some(chain),
        payload: Payload::EvmTransaction(Vec::new().into()),
        expires_at_secs: 1,
        replaces: None,
        note: String::new(),
    };
    Ok((intent, effects))
}

fn time(rules: usize, each: Duration) -> Result<Rules> {
    let (charter, (intent, effects)) = (charter(rules)?, payment()?);
    let first = decide(&charter, &intent, &effects, &When::at(1));
    anyhow::ensure!(first.allowed, "the payment is not allowed: {:?}", first.reasons);
    let started = Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < each {
        black_box(decide(&charter, black_box(&intent), &effects, &When::at(1)));
        count = count.saturating_add(1);
    }
    Ok(Rules { rules, micros: started.elapsed().as_secs_f64() * 1e6 / f64::from(count) })
}
