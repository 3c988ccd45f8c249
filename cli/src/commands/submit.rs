//! `limen submit`, `limen simulate`, `limen sign`

use std::time::Duration;

use anyhow::{Context, Result, bail};
use limen_client::evm::{JsonRpc, Provider as _, Transfer, Transfers};
use limen_client::{Error, NewIntent, Patience, Request, Signed, SignedIntent, Simulation};
use limen_wire::effects::ChainId;
use limen_wire::intent::Payload;
use serde_json::json;

use super::{Session, parse, view};
use crate::args::{From, Payment, RawArgs, RawKind, SignArgs, What};
use crate::output::Output;

/// How long machines may take.
const WAIT: Duration = Duration::from_secs(120);

pub(crate) async fn submit(session: &Session, what: &What) -> Result<()> {
    match what {
        What::Raw(raw) => {
            let intent = session.client.sign_intent(raw_intent(raw)?)?;
            finish_raw(session, &raw.from, &intent).await
        }
        What::Native(args) => pay(session, &args.payment, &transfer(what)?).await,
        What::Erc20(args) => pay(session, &args.payment, &transfer(what)?).await,
    }
}

pub(crate) async fn sign(session: &Session, args: &SignArgs) -> Result<()> {
    let chain = args.chain.as_deref().map(parse::chain).transpose()?;
    let text = args.message.clone().into_bytes().into();
    let payload = if chain.is_some() { Payload::EvmMessage(text) } else { Payload::Message(text) };
    let intent = session.client.sign_intent(new_intent(&args.from, chain, payload)?)?;
    finish_raw(session, &args.from, &intent).await
}

async fn finish_raw(session: &Session, from: &From, intent: &SignedIntent) -> Result<()> {
    let submitted = session.client.submit(intent).await?;
    if from.no_wait {
        return show_submitted(session, &submitted.request);
    }
    let signed = signed(session, from, submitted.request).await;
    let signed = signed.with_context(|| format!("request {}", intent.id()))?;
    session.output.result(&view::signed_json(&signed), || view::signed_text(&signed))
}

/// Waits for the signature, and verifies it.
async fn signed(session: &Session, from: &From, request: Request) -> Result<Signed, Error> {
    let request = match request.state.is_end() {
        true => request,
        false => session.client.follow(request.id(), patience(from), teller(session.output)).await?,
    };
    session.client.verify(&request).await
}

/// Unless the caller says so, nobody hurries people.
fn patience(from: &From) -> Patience {
    match from.timeout {
        Some(secs) => Patience::in_all(Duration::from_secs(secs)),
        None => Patience::with_machines(WAIT),
    }
}

/// Says, once for each of the two, that a request waits for people or for a delay.
fn teller(output: Output) -> impl FnMut(&Request) {
    let mut told = None;
    move |request| {
        if request.state.is_waiting() && told.replace(request.state) != Some(request.state) {
            let (id, state, wait) = (request.id(), request.state, view::waits_for(request));
            output.warning(&format!(
                "request {id} is {state}, it waits for {wait}; `limen request show {id}` tells more"
            ));
        }
    }
}

fn show_submitted(session: &Session, request: &Request) -> Result<()> {
    session.output.result(&view::request_json(request), || view::request_line(request))
}

fn new_intent(from: &From, chain: Option<ChainId>, payload: Payload) -> Result<NewIntent> {
    Ok(NewIntent::new(from.key.clone(), chain, payload).path(parse::path(&from.path)?).note(from.note.clone()))
}

fn raw_intent(raw: &RawArgs) -> Result<NewIntent> {
    let bytes = match (&raw.hex, &raw.file) {
        (Some(text), _) => hex::decode(text.trim_start_matches("0x"))
            .map_err(|error| parse::wrong(format!("--hex is not hexadecimal: {error}")))?,
        (None, Some(file)) => std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?,
        (None, None) => bail!("nothing to sign: give --hex or --file"),
    };
    let payload = match raw.kind {
        RawKind::EvmTransaction => Payload::EvmTransaction(bytes.into()),
        RawKind::EvmMessage => Payload::EvmMessage(bytes.into()),
        RawKind::EvmTypedData => Payload::EvmTypedData(bytes.into()),
        RawKind::Message => Payload::Message(bytes.into()),
        RawKind::Digest => {
            let length = bytes.len();
            Payload::RawDigest(
                bytes.try_into().map_err(|_| parse::wrong(format!("a digest has 32 bytes, not {length}")))?,
            )
        }
    };
    let chain = raw.chain.as_deref().map(parse::chain).transpose()?;
    let intent = new_intent(&raw.from, chain, payload)?;
    Ok(match &raw.idempotency_key {
        Some(key) => intent.idempotency_key(key.clone()),
        None => intent,
    })
}

fn transfer(what: &What) -> Result<Transfer> {
    match what {
        What::Native(args) => Ok(Transfer::Native {
            to: parse::address(&args.payment.to)?,
            amount: parse::amount(&args.payment.amount, 18)?,
        }),
        What::Erc20(args) => Ok(Transfer::Erc20 {
            token: parse::address(&args.token)?,
            to: parse::address(&args.payment.to)?,
            amount: parse::amount(&args.payment.amount, args.decimals)?,
        }),
        What::Raw(_) => bail!("exact bytes are no transfer"),
    }
}

async fn open(session: &Session, payment: &Payment) -> Result<Transfers<JsonRpc>> {
    let chain = parse::chain_or_only(payment.chain.as_deref(), &session.config)?;
    let access = session.config.chains.get(chain.as_str());
    let access = access.ok_or_else(|| {
        parse::wrong(format!(
            "the configuration says no JSON-RPC address for {chain}: add it under [chains], or submit raw bytes"
        ))
    })?;
    let (key, path) = (payment.from.key.clone(), parse::path(&payment.from.path)?);
    Ok(Transfers::open(session.client.clone(), JsonRpc::new(access.rpc.clone()), key, path, chain).await?)
}

async fn pay(session: &Session, payment: &Payment, transfer: &Transfer) -> Result<()> {
    let transfers = open(session, payment).await?;
    if payment.from.no_wait && !payment.broadcast {
        let sent = transfers.submit(transfer, &payment.from.note).await?;
        return show_submitted(session, &sent.request);
    }
    let told = teller(session.output);
    let signed = transfers.send_telling(transfer, &payment.from.note, patience(&payment.from), told).await?.signed;
    let mut json = view::signed_json(&signed);
    let mut block = None;
    if payment.broadcast {
        let transaction = signed.transaction.as_ref().context("the cluster signed something that is no transaction")?;
        transfers.provider().broadcast(&transaction.raw).await?;
        let hash = format!("0x{}", hex::encode(transaction.hash));
        let receipt = transfers
            .provider()
            .wait_for_receipt(&hash, payment.from.timeout.map_or(WAIT, Duration::from_secs))
            .await?;
        block = Some(receipt.block_number);
        if let Some(object) = json.as_object_mut() {
            object.insert("block_number".to_owned(), json!(receipt.block_number));
            object.insert("success".to_owned(), json!(receipt.success));
        }
        if !receipt.success {
            session.output.warning(&format!("transaction {hash} was mined but failed on the chain"));
        }
    }
    session.output.result(&json, || match block {
        Some(block) => format!("{}\nmined        in block {block}", view::signed_text(&signed)),
        None => view::signed_text(&signed),
    })
}

pub(crate) async fn simulate(session: &Session, what: &What) -> Result<()> {
    let intent = match what {
        What::Raw(raw) => session.client.sign_intent(raw_intent(raw)?)?,
        What::Native(args) => simulated_transfer(session, &args.payment, &transfer(what)?).await?,
        What::Erc20(args) => simulated_transfer(session, &args.payment, &transfer(what)?).await?,
    };
    let simulation = session.client.simulate(&intent).await?;
    let json = json!({
        "intent_id": simulation.intent_id.to_string(),
        "effects": simulation.effects.iter().map(|effect| json!({ "class": effect.class, "text": effect.text })).collect::<Vec<_>>(),
        "coordinator": view::decision_json(&simulation.decision),
        "signers": simulation.signer_decisions.iter().map(|said| json!({
            "node": said.node, "decision": said.decision.as_ref().map(view::decision_json),
        })).collect::<Vec<_>>(),
    });
    session.output.result(&json, || simulation_text(&simulation))
}

/// Bytes as a transfer would have them now, under a nonce that is not taken from anybody.
async fn simulated_transfer(session: &Session, payment: &Payment, transfer: &Transfer) -> Result<SignedIntent> {
    let transfers = open(session, payment).await?;
    let nonce = transfers.provider().next_nonce(transfers.account()).await?;
    Ok(transfers.prepare(transfer, nonce, &payment.from.note).await?)
}

fn simulation_text(simulation: &Simulation) -> String {
    let mut lines: Vec<String> =
        simulation.effects.iter().map(|effect| format!("effect       {}", effect.text)).collect();
    lines.push(format!("coordinator  {}", view::decision_text(&simulation.decision)));
    lines.extend(simulation.signer_decisions.iter().map(|said| {
        format!("{:12} {}", said.node, said.decision.as_ref().map(view::decision_text).unwrap_or_default())
    }));
    lines.join("\n")
}
