//! What a person signs with: a private key in a file, in the SSH agent or on a token.
//!
//! Lives here: finding the one key that is asked for, and signing with it; the arguments that say which. May not live here: whose key it is and
//! what is signed with it; commands know that. Start reading at [`Key`].

mod agent;
mod args;
mod key;
mod token;

pub use args::{KeyArgs, KeyHandle, TokenArgs};
pub use key::{Key, Owners, find};
pub use token::{TokenError, Tries};
