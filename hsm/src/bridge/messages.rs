//! Calls and answers, to and from `limen/v1/hsm.proto`. Frames that hold secrets are wiped once they were read or sent.

use bytes::Bytes;
use limen_wire::ids::{HeldId, KekId};
use limen_wire::keys::PublicKey;
use limen_wire::pb::{self, hsm_answer, hsm_request};
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::{HsmError, Kind};
use crate::held::{HeldKind, HeldPublic};
use crate::provider::{Anchor, Description, Mechanism, Provider};

/// A call of the trait, as it is sent.
#[derive(Clone, Copy)]
#[expect(missing_docs, reason = "one for each function of the trait, with its arguments")]
pub enum Call<'a> {
    Describe,
    CreateKek(&'a KekId),
    DestroyKek(&'a KekId),
    ListKeks,
    Seal { kek: &'a KekId, context: &'a [u8], secret: &'a [u8] },
    Unseal { kek: &'a KekId, context: &'a [u8], sealed: &'a [u8] },
    Identity,
    Sign(&'a [u8]),
    Random(usize),
    ReadAnchor,
    AdvanceAnchor(&'a Anchor),
    HeldKinds,
    CreateHeld(&'a HeldId, HeldKind),
    Held(&'a HeldId),
    ListHeld,
    SignHeld { name: &'a HeldId, kind: HeldKind, input: &'a [u8] },
}

impl Call<'_> {
    /// Completes "could not …".
    pub const fn words(&self) -> &'static str {
        match self {
            Self::Describe => "ask the token what it is",
            Self::CreateKek(_) => "make a wrapping key",
            Self::DestroyKek(_) => "destroy a wrapping key",
            Self::ListKeks => "list the wrapping keys",
            Self::Seal { .. } => "seal",
            Self::Unseal { .. } => "unseal",
            Self::Identity => "read the identity",
            Self::Sign(_) => "sign",
            Self::Random(_) => "draw random bytes",
            Self::ReadAnchor => "read the anchor",
            Self::AdvanceAnchor(_) => "advance the anchor",
            Self::HeldKinds => "ask which keys the token can hold",
            Self::CreateHeld(..) => "make a held key",
            Self::Held(_) => "read a held key",
            Self::ListHeld => "list the held keys",
            Self::SignHeld { .. } => "sign with a held key",
        }
    }

    /// Whether it does no harm if the bridge carries it out twice. A second signature over the same bytes says nothing new.
    pub const fn may_repeat(&self) -> bool {
        !matches!(self, Self::CreateKek(_) | Self::DestroyKek(_) | Self::CreateHeld(..))
    }

    fn to_pb(self) -> hsm_request::Call {
        use hsm_request::Call as To;
        let name = |kek: &KekId| kek.as_str().to_owned();
        let held = |name: &HeldId| name.as_str().to_owned();
        let bytes = Bytes::copy_from_slice;
        match self {
            Self::Describe => To::Describe(pb::HsmDescribe {}),
            Self::CreateKek(kek) => To::CreateKek(pb::HsmCreateKek { kek: name(kek) }),
            Self::DestroyKek(kek) => To::DestroyKek(pb::HsmDestroyKek { kek: name(kek) }),
            Self::ListKeks => To::ListKeks(pb::HsmListKeks {}),
            Self::Seal { kek, context, secret } => {
                To::Seal(pb::HsmSeal { kek: name(kek), context: bytes(context), secret: bytes(secret) })
            }
            Self::Unseal { kek, context, sealed } => {
                To::Unseal(pb::HsmUnseal { kek: name(kek), context: bytes(context), sealed: bytes(sealed) })
            }
            Self::Identity => To::Identity(pb::HsmIdentity {}),
            Self::Sign(message) => To::Sign(pb::HsmSign { message: bytes(message) }),
            Self::Random(count) => To::Random(pb::HsmRandom { count: u32::try_from(count).unwrap_or(u32::MAX) }),
            Self::ReadAnchor => To::ReadAnchor(pb::HsmReadAnchor {}),
            Self::AdvanceAnchor(to) => To::AdvanceAnchor(pb::HsmAdvanceAnchor { to: Some(anchor_to_pb(Some(to))) }),
            Self::HeldKinds => To::HeldKinds(pb::HsmHeldKinds {}),
            Self::CreateHeld(name, kind) => {
                To::CreateHeld(pb::HsmCreateHeld { name: held(name), kind: kind.name().to_owned() })
            }
            Self::Held(name) => To::Held(pb::HsmHeld { name: held(name) }),
            Self::ListHeld => To::ListHeld(pb::HsmListHeld {}),
            Self::SignHeld { name, kind, input } => {
                To::SignHeld(pb::HsmSignHeld { name: held(name), kind: kind.name().to_owned(), input: bytes(input) })
            }
        }
    }
}

/// Wipes bytes that nobody else holds.
fn wipe(bytes: Bytes) {
    if let Ok(mut mine) = bytes.try_into_mut() {
        mine.as_mut().zeroize();
    }
}

/// Reads a message, hands it to `take`, and wipes the frame; `take` keeps nothing of it.
fn read<M: prost::Message + Default, T>(frame: Vec<u8>, take: impl FnOnce(M) -> T) -> Result<T, prost::DecodeError> {
    let frame = Bytes::from(frame);
    let taken = M::decode(frame.clone()).map(take);
    wipe(frame);
    taken
}

/// A request, encoded.
pub fn request(id: u64, call: &Call<'_>) -> Zeroizing<Vec<u8>> {
    let message = pb::HsmRequest { id, call: Some(call.to_pb()) };
    let encoded = encode(&message);
    if let Some(hsm_request::Call::Seal(seal)) = message.call {
        wipe(seal.secret);
    }
    encoded
}

fn encode(message: &impl prost::Message) -> Zeroizing<Vec<u8>> {
    // Room for all of it, so that growing leaves no copy behind.
    let mut encoded = Zeroizing::new(Vec::with_capacity(message.encoded_len()));
    // A vector with room takes every message.
    message.encode(&mut *encoded).ok();
    encoded
}

/// What a bridge answered, checked.
#[expect(missing_docs, reason = "one for each shape of answer")]
pub enum Answer {
    Refused(HsmError),
    Description(Description),
    Done,
    Keks(Vec<KekId>),
    Bytes(Zeroizing<Vec<u8>>),
    Identity(PublicKey),
    Anchor(Option<Anchor>),
    Names(Vec<String>),
    Held(HeldPublic),
}

/// Reads an answer: its id, and what it says. The error says what is wrong with it.
pub fn read_answer(frame: Vec<u8>) -> Result<(u64, Answer), String> {
    read(frame, |answer: pb::HsmAnswer| {
        let result = answer.result.ok_or("the answer is empty")?;
        Ok((answer.id, answer_from_pb(result)?))
    })
    .map_err(|error| format!("the answer does not decode: {error}"))?
}

fn answer_from_pb(result: hsm_answer::Result) -> Result<Answer, String> {
    use hsm_answer::Result as From;
    Ok(match result {
        From::Refusal(refusal) => {
            let kind =
                Kind::from_code(&refusal.code).ok_or(format!("refused by the unknown code {:?}", refusal.code))?;
            Answer::Refused(HsmError::new(kind, refusal.tried, refusal.detail))
        }
        From::Description(from) => {
            let mechanism = Mechanism::from_name(&from.mechanism).ok_or("a mechanism that is not known here")?;
            let pb::HsmDescription { kind, label, serial, firmware, hardware, generation, .. } = from;
            Answer::Description(Description { kind, label, serial, firmware, mechanism, hardware, generation })
        }
        From::Done(_) => Answer::Done,
        From::Keks(keks) => {
            let names = keks.names.into_iter().map(KekId::new).collect::<Result<_, _>>();
            Answer::Keks(names.map_err(|error| error.to_string())?)
        }
        From::Bytes(bytes) => Answer::Bytes(Zeroizing::new(bytes.to_vec())),
        From::Identity(point) => {
            Answer::Identity(PublicKey::from_p256_sec1(&point).map_err(|error| error.to_string())?)
        }
        From::Anchor(anchor) => Answer::Anchor(anchor_from_pb(&anchor)?),
        From::Names(names) => Answer::Names(names.names),
        From::Held(held) => {
            let key = HeldKind::from_name(&held.kind).and_then(|kind| HeldPublic::new(kind, &held.point));
            Answer::Held(key.ok_or("a held key of a kind or a point that is not known here")?)
        }
    })
}

fn anchor_to_pb(anchor: Option<&Anchor>) -> pb::HsmAnchor {
    anchor.map_or_else(pb::HsmAnchor::default, |anchor| pb::HsmAnchor {
        sequence: anchor.sequence,
        head: Bytes::copy_from_slice(&anchor.head),
    })
}

fn anchor_from_pb(anchor: &pb::HsmAnchor) -> Result<Option<Anchor>, String> {
    if anchor.sequence == 0 && anchor.head.is_empty() {
        return Ok(None);
    }
    let head = <[u8; 32]>::try_from(anchor.head.as_ref()).map_err(|_| "an anchor's head has 32 bytes")?;
    Ok(Some(Anchor { sequence: anchor.sequence, head }))
}

/// Reads a request, asks a provider, and encodes the answer. What cannot be read is refused in the answer.
pub fn answer(provider: &dyn Provider, frame: Vec<u8>) -> Zeroizing<Vec<u8>> {
    let asked = read(frame, |request: pb::HsmRequest| {
        let result = request.call.ok_or_else(|| malformed("it is empty")).and_then(|call| ask(provider, call));
        (request.id, result)
    });
    let (id, result) = asked.unwrap_or_else(|error| (0, Err(malformed(error.to_string()))));
    let message = pb::HsmAnswer { id, result: Some(result.unwrap_or_else(|error| refusal(&error))) };
    let encoded = encode(&message);
    if let Some(hsm_answer::Result::Bytes(bytes)) = message.result {
        wipe(bytes);
    }
    encoded
}

/// A connection's refusal, encoded.
pub fn refuse(error: &HsmError) -> Zeroizing<Vec<u8>> {
    encode(&pb::HsmAnswer { id: 0, result: Some(refusal(error)) })
}

fn refusal(error: &HsmError) -> hsm_answer::Result {
    hsm_answer::Result::Refusal(pb::HsmRefusal {
        code: error.kind().code().to_owned(),
        tried: error.tried().to_owned(),
        detail: error.detail().to_owned(),
    })
}

fn malformed(why: impl Into<String>) -> HsmError {
    HsmError::new(Kind::Protocol, "read the call", why)
}

/// The calls about held keys.
fn ask_held(provider: &dyn Provider, call: hsm_request::Call) -> Result<hsm_answer::Result, HsmError> {
    use hsm_answer::Result as To;
    use hsm_request::Call as From;
    let name = |name: String| {
        HeldId::new(name).map_err(|error| HsmError::new(Kind::Input, "read a held key's name", error.to_string()))
    };
    let kind = |kind: &str| {
        let unknown = || HsmError::new(Kind::HeldUnsupported, "read a held key's kind", format!("{kind:?} is none"));
        HeldKind::from_name(kind).ok_or_else(unknown)
    };
    let names = |names: Vec<String>| To::Names(pb::HsmNames { names });
    let public = |key: HeldPublic| {
        To::Held(pb::HsmHeldPublic { kind: key.kind().name().to_owned(), point: key.to_bytes().into() })
    };
    match call {
        From::HeldKinds(_) => {
            let kinds = provider.held_kinds()?;
            Ok(names(kinds.into_iter().map(|kind| kind.name().to_owned()).collect()))
        }
        From::CreateHeld(asked) => provider.create_held(&name(asked.name)?, kind(&asked.kind)?).map(public),
        From::Held(asked) => provider.held(&name(asked.name)?).map(public),
        From::ListHeld(_) => Ok(names(provider.held_names()?.into_iter().map(String::from).collect())),
        From::SignHeld(asked) => {
            let signature = provider.sign_held(&name(asked.name)?, kind(&asked.kind)?, &asked.input)?;
            Ok(To::Bytes(Bytes::copy_from_slice(&signature)))
        }
        _ => Err(malformed("it is not about a held key")),
    }
}

fn ask(provider: &dyn Provider, call: hsm_request::Call) -> Result<hsm_answer::Result, HsmError> {
    use hsm_answer::Result as To;
    use hsm_request::Call as From;
    let kek = |name: String| {
        KekId::new(name).map_err(|error| HsmError::new(Kind::Input, "read a wrapping key's name", error.to_string()))
    };
    let bytes = |bytes: &[u8]| To::Bytes(Bytes::copy_from_slice(bytes));
    let done = |()| To::Done(pb::HsmDone {});
    match call {
        From::Describe(_) => provider.describe().map(|it| {
            let Description { kind, label, serial, firmware, mechanism, hardware, generation } = it;
            let mechanism = mechanism.name().to_owned();
            To::Description(pb::HsmDescription { kind, label, serial, firmware, mechanism, hardware, generation })
        }),
        From::CreateKek(asked) => provider.create_kek(&kek(asked.kek)?).map(done),
        From::DestroyKek(asked) => provider.destroy_kek(&kek(asked.kek)?).map(done),
        From::ListKeks(_) => {
            let names = provider.keks()?.into_iter().map(String::from).collect();
            Ok(To::Keks(pb::HsmKeks { names }))
        }
        From::Seal(asked) => {
            provider.seal(&kek(asked.kek)?, &asked.context, &asked.secret).map(|sealed| bytes(&sealed))
        }
        From::Unseal(asked) => provider.unseal(&kek(asked.kek)?, &asked.context, &asked.sealed).map(|it| bytes(&it)),
        From::Identity(_) => provider.identity().map(|key| To::Identity(key.to_bytes().into())),
        From::Sign(asked) => provider.sign_identity(&asked.message).map(|signature| bytes(&signature)),
        From::Random(asked) => provider.random(asked.count as usize).map(|drawn| bytes(&drawn)),
        From::ReadAnchor(_) => provider.anchor_read().map(|anchor| To::Anchor(anchor_to_pb(anchor.as_ref()))),
        From::AdvanceAnchor(asked) => {
            let to = anchor_from_pb(&asked.to.unwrap_or_default()).map_err(malformed)?;
            let to = to.ok_or_else(|| malformed("no anchor to go to"))?;
            provider.anchor_advance(&to).map(done)
        }
        held => ask_held(provider, held),
    }
}
