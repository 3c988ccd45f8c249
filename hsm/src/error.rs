//! Why a provider did not do what it was asked.

use std::error::Error;
use std::fmt;

/// Whose fault a failure is: who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The program that asked.
    Caller,
    /// Whoever set up token, PIN, files or bridge.
    Operator,
    /// The token, its driver, or the way to it; often passes by itself.
    Token,
    /// The sealed bytes, or the key that is not theirs.
    Data,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $fault:ident, $remedy:literal;)*) => {
        /// What went wrong, in one word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All there are, as `docs/hsm.md` lists them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Stable, for logs and the wire.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Who has to act.
            pub const fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)* }
            }

            /// What to do.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

kinds! {
    /// The token does not take the PIN. It was tried once and is not tried again.
    PinWrong = "pin_wrong", Operator, "put the right PIN in place, remove the mark that the message names, and restart limen-hsm-bridge; a refused PIN is never tried again";
    /// The token is locked.
    PinLocked = "pin_locked", Operator, "the token's security officer unlocks it with the token's own tools; then restart limen-hsm-bridge";
    /// One try is left: it is not spent here.
    PinLastTry = "pin_last_try", Operator, "log in once by hand with the token's own tools, which resets the count of tries; then restart limen-hsm-bridge";
    /// There is no PIN to try, or the token has none or an expired one.
    PinUnset = "pin_unset", Operator, "set a PIN on the token, and hand it to limen-hsm-bridge by credential, descriptor or prompt";
    /// The token let us in before and does not any more.
    NotLoggedIn = "not_logged_in", Token, "the bridge logs in again by itself; if it lasts, its log and the token's tell why";
    /// The token, its slot, or all that it held is not there.
    Gone = "token_gone", Token, "put the token back or repair the way to it; work resumes by itself";
    /// No answer within the deadline. What was asked may still happen.
    TimedOut = "timed_out", Token, "look at the token and the way to it; raise the deadline if it is just slow";
    /// Too much waits already.
    Busy = "busy", Token, "ask again later; if it lasts, give the bridge more workers or a longer queue";
    /// The token or its driver failed and says no more.
    Device = "device_failed", Token, "look at the token's own log; it is asked again with the next call";
    /// There is no bridge at the socket, or it went away. What was asked may have happened.
    Unreachable = "bridge_unreachable", Token, "see that limen-hsm-bridge runs and that its socket is the one in the configuration; work resumes by itself";
    /// No such key.
    Missing = "object_missing", Operator, "name a key that the token holds (`limen-hsm-bridge doctor` lists them), or make it with `limen-hsm-bridge init`";
    /// A key of the right name, and another one than records here were sealed under; or several of that name.
    OtherKey = "other_key", Operator, "put the token back whose key sealed the records here, or bring its keys over by the vendor's ceremony";
    /// It is there already.
    Exists = "object_exists", Caller, "use the one that is there, or another name";
    /// The token has room for no more objects.
    Full = "token_full", Operator, "destroy wrapping keys of epochs that have ended, or use a token with more room";
    /// A key that could leave its token.
    Dangerous = "dangerous_attribute", Operator, "make the key anew inside the token (`limen-hsm-bridge init`), sensitive and never extractable";
    /// The bytes are damaged, or were sealed elsewhere, for something else, or under another key.
    DoesNotOpen = "does_not_open", Data, "restore the record from where it was sealed; with another token or key it never opens";
    /// Neither of the mechanisms that we accept works on the token.
    Unsupported = "mechanism_unsupported", Operator, "use a token with AES-256-GCM, or with AES-256-CBC and HMAC-SHA-256: `limen-hsm-bridge doctor` tells what it has";
    /// The token cannot hold and use a key of this kind.
    HeldUnsupported = "held_kind_unsupported", Operator, "use a token that can (`limen-hsm-bridge doctor` tells which kinds this one holds), or a key of another scheme";
    /// A signature of the token's that is none of its key's over what it was given.
    WrongSignature = "wrong_signature", Token, "take this token out of service: what it signs does not verify under the key that it shows";
    /// The anchor never goes back.
    AnchorBack = "anchor_back", Data, "do not start from this disk: it is older than what the token remembers, or a copy";
    /// Outside the bounds.
    Input = "bad_input", Caller, "keep to the bounds in docs/hsm.md";
    /// The other side of the socket does not speak as it should.
    Protocol = "protocol", Operator, "run signer and limen-hsm-bridge of one version, and let nobody else use the socket";
    /// A file could not be read or written.
    File = "file_failed", Operator, "mend what the system says of this file";
    /// Others could read or write a file or folder that is nobody else's business.
    Exposed = "file_exposed", Operator, "run chmod 600 on the file, 700 on its folder, and see who owns it";
    /// Outside of development.
    NotDevelopment = "not_development", Operator, "use limen-hsm-bridge: danger_software works only under a development charter";
}

impl Kind {
    /// The kind of a code, if it is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }

    /// Whether the same call may succeed a little later, by itself.
    pub const fn may_pass(self) -> bool {
        self.is_of_the_token() || matches!(self, Self::Unreachable | Self::Busy)
    }

    /// Whether another token that holds the same keys could do better.
    pub const fn is_of_the_token(self) -> bool {
        use Kind::{Device, Gone, NotLoggedIn, OtherKey, PinLastTry, PinLocked, PinUnset, PinWrong, TimedOut};
        matches!(self, Gone | NotLoggedIn | Device | OtherKey | TimedOut | PinWrong | PinLocked | PinLastTry | PinUnset)
    }
}

/// A refusal or failure: what was tried, what was wrong, and by [`Kind`] whose fault it is and what to do.
#[derive(Debug)]
pub struct HsmError {
    kind: Kind,
    tried: String,
    detail: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl HsmError {
    /// `tried` completes "could not …", `detail` says what was wrong.
    pub fn new(kind: Kind, tried: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, tried: tried.into(), detail: detail.into(), cause: None }
    }

    /// With what stands behind it.
    #[must_use]
    pub fn because(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// About a file.
    pub fn file(tried: impl Into<String>, path: &std::path::Path, cause: std::io::Error) -> Self {
        Self::new(Kind::File, tried, format!("{}: {cause}", path.display())).because(cause)
    }

    /// What went wrong.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What was tried.
    pub fn tried(&self) -> &str {
        &self.tried
    }

    /// What was wrong.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for HsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: {} [{}]; {}", self.tried, self.detail, self.kind.code(), self.kind.remedy())
    }
}

impl Error for HsmError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page lists what the code says.
    #[test]
    fn every_kind_is_on_the_page() {
        let page = include_str!("../../docs/hsm.md");
        for kind in Kind::ALL {
            let whose = format!("{:?}", kind.fault()).to_lowercase();
            let row = format!("| `{}` | {whose} | {} |\n", kind.code(), kind.remedy());
            assert!(page.contains(&row), "docs/hsm.md must have the row\n{row}");
            assert_eq!(Kind::from_code(kind.code()), Some(*kind));
        }
        assert_eq!(Kind::from_code("other"), None);
    }
}
