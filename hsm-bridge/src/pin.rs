//! A token's PIN, once at the start, from where the configuration says.

use std::path::Path;

use limen_hsm::pin::{PinError, from_descriptor, from_file, from_terminal};
use limen_hsm::{HsmError, Kind, files};
use zeroize::Zeroizing;

use crate::config::{PinSource, Token};

/// Where the service manager puts credentials: the value of `$CREDENTIALS_DIRECTORY`.
pub fn credentials() -> Option<std::path::PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(Into::into)
}

/// Reads it.
pub fn read(token: &Token, credentials: Option<&Path>) -> Result<Zeroizing<String>, HsmError> {
    let name = token.token.clone().unwrap_or_else(|| format!("in slot {}", token.slot.unwrap_or_default()));
    let none = |why: String| HsmError::new(Kind::PinUnset, format!("get the PIN of token {name:?}"), why);
    let failed = |error: PinError| match error.cause {
        Some(cause) => none(format!("{}: {cause}", error.why)).because(cause),
        None => none(error.why.to_owned()),
    };
    match &token.pin {
        PinSource::Credential(credential) => {
            let folder = credentials.ok_or_else(|| {
                none("$CREDENTIALS_DIRECTORY is not set: the service manager gives no credentials".to_owned())
            })?;
            // A name is one part of a path: nothing climbs out of the folder.
            if Path::new(credential).components().count() != 1 || credential.starts_with('.') {
                return Err(none(format!("{credential:?} is no credential's name")));
            }
            from_file(&folder.join(credential)).map_err(failed)
        }
        PinSource::File(path) => {
            files::check_mode(path)?;
            from_file(path).map_err(failed)
        }
        PinSource::Descriptor(number) => from_descriptor(*number).map_err(failed),
        PinSource::Prompt(_) => from_terminal(&name).map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(pin: PinSource) -> Token {
        Token { module: "m".into(), token: Some("desk".to_owned()), slot: None, pin }
    }

    #[test]
    fn credentials_and_files_are_read_and_refused_by_name() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        std::fs::write(&path, "1234\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let credential = |name: &str| token(PinSource::Credential(name.to_owned()));
        assert_eq!(*read(&credential("pin"), Some(folder.path())).unwrap(), "1234");
        assert_eq!(*read(&token(PinSource::File(path.clone())), None).unwrap(), "1234");
        for (name, folder, words) in [
            ("pin", None, "CREDENTIALS_DIRECTORY"),
            ("other", Some(folder.path()), "cannot be read"),
            ("../pin", Some(folder.path()), "no credential's name"),
            ("..", Some(folder.path()), "no credential's name"),
        ] {
            let error = read(&credential(name), folder).unwrap_err();
            assert_eq!(error.kind(), Kind::PinUnset);
            assert!(error.to_string().contains(words) && error.to_string().contains("desk"), "{error}");
        }
        assert_eq!(read(&token(PinSource::Descriptor(9999)), None).unwrap_err().kind(), Kind::PinUnset);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(read(&token(PinSource::File(path)), None).unwrap_err().kind(), Kind::Exposed);
    }
}
