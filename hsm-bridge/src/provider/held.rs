//! Held keys at one token: made once, proven before they count, and never silently another.

use limen_hsm::files::Replace;
use limen_hsm::held::{check_kind, proof_input};
use limen_hsm::{HeldKind, HeldPublic, HsmError, Kind};
use limen_wire::ids::HeldId;

use super::one::Token;
use crate::token::failure::may_be_stale;
use crate::token::held::{self, Held};
use crate::token::{Fail, Open, objects};

impl Token {
    pub(crate) fn held_kinds(&self) -> Result<Vec<HeldKind>, HsmError> {
        self.workers().run("ask which keys the token can hold", |open| kinds(open))
    }

    pub(crate) fn create_held(&self, name: &HeldId, kind: HeldKind) -> Result<HeldPublic, HsmError> {
        let name = name.clone();
        let mut began = false;
        self.workers().run("make a held key", move |open| {
            let _one = open.login.change();
            let there = held::is_there(open.session, &name)?;
            // The first try made it and did not live to tell.
            if !(began && open.again && there) {
                if !there {
                    let label = held::label(&name);
                    // One that was here before and is not now is a token that is gone, and no reason for a second key.
                    if open.login.has_seen(&label) {
                        return Err(Fail::Absent(label));
                    }
                    able(open, kind)?;
                }
                began = !there;
                held::make(open.session, &name, kind)?;
                open.login.objects_changed();
            }
            let found = held::find(open.session, &name).and_then(|key| prove(open, &name, &key).map(|()| key));
            match found {
                Ok(key) => Ok(key.public),
                Err(Fail::Said(error)) => {
                    // A key that the token did not make as it was told, or that does not sign, has no name.
                    held::destroy(open.session, &name)?;
                    open.login.objects_changed();
                    open.login.forget(&held::label(&name));
                    Err(error.into())
                }
                Err(other) => Err(other),
            }
        })
    }

    pub(crate) fn held(&self, name: &HeldId) -> Result<HeldPublic, HsmError> {
        let name = name.clone();
        self.workers().run("read a held key", move |open| {
            // A handle that is known already proves nothing about now.
            let key = key(open, &name)?;
            prove(open, &name, &key)?;
            Ok(key.public)
        })
    }

    pub(crate) fn held_names(&self) -> Result<Vec<HeldId>, HsmError> {
        self.workers().run("list the held keys", |open| {
            let names = held::names(open.session)?;
            if names.is_empty() {
                if let Some(name) = open.login.state.held_names()?.first() {
                    return Err(Fail::Absent(held::label(name)));
                }
                if !objects::is_logged_in(open.session)? {
                    return Err(Fail::Absent("private object".to_owned()));
                }
            }
            Ok(names)
        })
    }

    pub(crate) fn sign_held(&self, name: &HeldId, kind: HeldKind, input: &[u8]) -> Result<[u8; 64], HsmError> {
        let (name, input) = (name.clone(), input.to_vec());
        self.workers().run("sign with a held key", move |open| {
            let key = key(open, &name)?;
            check_kind(&name, kind, key.public.kind())?;
            let answer = held::sign(open.session, key.private, kind, &input)?;
            Ok(key.public.checked(&name, &input, &answer)?)
        })
    }

    pub(crate) fn destroy_held(&self, name: &HeldId) -> Result<(), HsmError> {
        let name = name.clone();
        let mut destroyed = false;
        self.workers().run("destroy a held key", move |open| {
            let _one = open.login.change();
            let label = held::label(&name);
            destroyed |= held::destroy(open.session, &name)?;
            open.login.objects_changed();
            if !destroyed {
                return Err(Fail::Absent(label));
            }
            open.login.forget(&label);
            Ok(open.login.state.forget_held(&name)?)
        })
    }
}

/// The kinds that this token makes, uses and shows.
pub(crate) fn kinds(open: &Open<'_>) -> Result<Vec<HeldKind>, Fail> {
    let mut kinds = Vec::new();
    for kind in HeldKind::ALL {
        match able(open, kind) {
            Ok(()) => kinds.push(kind),
            Err(Fail::Said(error)) if error.kind() == Kind::HeldUnsupported => {}
            Err(other) => return Err(other),
        }
    }
    Ok(kinds)
}

/// Refused by name where the token cannot.
fn able(open: &Open<'_>, kind: HeldKind) -> Result<(), Fail> {
    match held::examine(open.session, kind) {
        // A session that died says nothing about a kind; on a new one, an error of any name says that the token cannot.
        Err(Fail::Token(error)) if may_be_stale(&error) && !open.again => Err(Fail::Token(error)),
        Err(Fail::Token(error)) if may_be_stale(&error) && !objects::is_logged_in(open.session)? => {
            Err(Fail::Token(error))
        }
        Err(Fail::Token(error)) => {
            let (token, detail) = (&open.login.wanted, format!("the token makes no working key of {kind}: {error}"));
            Err(HsmError::new(Kind::HeldUnsupported, format!("hold a key at {token}"), detail).because(error).into())
        }
        other => other,
    }
}

/// The handle of a held key, found and proven.
fn key(open: &mut Open<'_>, name: &HeldId) -> Result<Held, Fail> {
    open.held(name, |open| {
        let key = held::find(open.session, name)?;
        prove(open, name, &key)?;
        Ok(key)
    })
}

/// The key signs, and is the one that it was; which one it is, is written down now if it never was.
fn prove(open: &Open<'_>, name: &HeldId, key: &Held) -> Result<(), Fail> {
    let mut random = [0; 32];
    open.session.generate_random_slice(&mut random)?;
    let input = proof_input(name, &random);
    let answer = held::sign(open.session, key.private, key.public.kind(), &input)?;
    key.public.checked(name, &input, &answer)?;
    open.login.saw(&held::label(name));
    let state = &open.login.state;
    match state.held(name)? {
        Some(first) if first == key.public => Ok(()),
        Some(_) => {
            let detail = format!("the key {name} that is here is not the one that was here before");
            Err(HsmError::new(Kind::OtherKey, "use a held key", detail).into())
        }
        None => Ok(state.keep_held(name, &key.public, Replace::No)?),
    }
}
