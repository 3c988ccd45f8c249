//! Keys and certificates of a throw-away cluster.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use limen_wire::keys::PublicKey;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::ClusterError;

/// A P-256 key with a certificate for one name.
pub(super) struct Identity {
    certificate: String,
    key: String,
    pub(super) public_key: PublicKey,
}

/// Signs clients' and the coordinator's certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

fn failed(error: impl ToString) -> ClusterError {
    ClusterError::Identity(error.to_string())
}

fn params(name: &str) -> Result<CertificateParams, ClusterError> {
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

impl Authority {
    pub(super) fn generate() -> Result<Self, ClusterError> {
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = params("limen-sim authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    pub(super) fn issue(&self, name: &str) -> Result<Identity, ClusterError> {
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params(name)?.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        let public_key = PublicKey::from_p256_sec1(key.public_key_raw()).map_err(failed)?;
        Ok(Identity { certificate, key: key.serialize_pem(), public_key })
    }

    pub(super) fn write(&self, file: &Path) -> Result<(), ClusterError> {
        fs::write(file, &self.certificate).map_err(ClusterError::io(format!("write {}", file.display())))
    }
}

impl Identity {
    /// Writes `NAME.crt` and `NAME.key` into the folder.
    pub(super) fn write(&self, folder: &Path, name: &str) -> Result<(), ClusterError> {
        let file = folder.join(format!("{name}.crt"));
        fs::write(&file, &self.certificate).map_err(ClusterError::io(format!("write {}", file.display())))?;
        write_private(&folder.join(format!("{name}.key")), &self.key)
    }
}

/// A file that only its owner reads.
pub(super) fn write_private(file: &Path, text: &str) -> Result<(), ClusterError> {
    use std::io::Write as _;
    let failed = || ClusterError::io(format!("write {}", file.display()));
    let mut open =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file).map_err(failed())?;
    open.write_all(text.as_bytes()).map_err(failed())
}
