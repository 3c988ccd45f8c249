//! To whom pieces of imported keys are encrypted: an X25519 identity of age that is made here, lies here sealed by a wrapping key of its
//! own, and never leaves.
//!
//! Whoever has the identities and pieces of `signers_required` members has the imported key for good, whatever is refreshed later. So it
//! can be forgotten: its wrapping key is destroyed, and what was encrypted to it opens nowhere any more.

use limen_hsm::{HsmError, Kind};
use limen_recover::age::secrecy::ExposeSecret as _;
use limen_recover::age::{NoCallbacks, x25519};
use limen_recover::{Identities, Recipient};
use limen_wire::ids::{ClusterId, Epoch, KeyId, NodeId};

use super::sealed::{self, Place, Record};
use super::wrapping::{self, Group};
use super::{Vault, VaultError};
use crate::store::StoreError;

const META_IMPORT: &str = "import-identity";
/// Where the sealed identity belongs: no share has this purpose, whatever its key is called.
const PURPOSE: &str = "import identity";

fn unusable(detail: &str) -> VaultError {
    VaultError::Provider(HsmError::new(Kind::DoesNotOpen, "open the import identity", detail))
}

impl Vault {
    /// The recipient that pieces for this signer are encrypted to; made if there is none. Blocks.
    pub fn import_recipient(&self) -> Result<Recipient, VaultError> {
        let identity = match self.import_secret()? {
            Some(identity) => identity,
            None => self.make_import_identity()?,
        };
        Recipient::new(&identity.to_public().to_string()).map_err(|_| unusable("it has no recipient"))
    }

    /// What opens pieces for this signer. Blocks.
    pub fn import_identities(&self) -> Result<Identities, VaultError> {
        let identity = self.import_secret()?.ok_or(VaultError::NoImportRecipient)?;
        let text = identity.to_string();
        Identities::read(text.expose_secret().as_bytes(), NoCallbacks).map_err(|error| unusable(&error.to_string()))
    }

    /// Destroys what opens pieces for this signer: those that were dealt to it open nowhere any more. `false` if there is none. Blocks.
    pub fn forget_import_recipient(&self) -> Result<bool, VaultError> {
        let Some(bytes) = self.import_record()? else { return Ok(false) };
        let record = Record::parse(&bytes).ok_or_else(|| unusable("the bytes are no sealed record"))?;
        match self.provider.destroy_kek(&record.kek) {
            // By an act that was interrupted.
            Err(error) if error.kind() == Kind::Missing => {}
            other => other?,
        }
        self.store.write_blocking(|txn| txn.put_meta(META_IMPORT, &[]))?;
        Ok(true)
    }

    fn import_record(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.store.view()?.meta(META_IMPORT)?.filter(|bytes| !bytes.is_empty()))
    }

    fn import_secret(&self) -> Result<Option<x25519::Identity>, VaultError> {
        let Some(bytes) = self.import_record()? else { return Ok(None) };
        let key = import_name()?;
        let opened = sealed::open(&*self.provider, &import_place((&self.cluster, &self.node), &key), &bytes)?;
        let text = std::str::from_utf8(&opened).map_err(|_| unusable("it is no text"))?;
        text.parse().map(Some).map_err(|_| unusable("it is no identity"))
    }

    fn make_import_identity(&self) -> Result<x25519::Identity, VaultError> {
        let identity = x25519::Identity::generate();
        let kek = wrapping::current_or_new(&*self.provider, &Group::import(&self.cluster, &self.node))?;
        let (key, text) = (import_name()?, identity.to_string());
        let place = import_place((&self.cluster, &self.node), &key);
        let record = sealed::seal(&*self.provider, &kek, &place, text.expose_secret().as_bytes())?;
        self.store.write_blocking(move |txn| txn.put_meta(META_IMPORT, &record))?;
        // Not told before it opens: pieces that were encrypted to it would be lost.
        self.import_secret()?.ok_or(VaultError::NoImportRecipient)
    }
}

fn import_name() -> Result<KeyId, HsmError> {
    let named = KeyId::new("import-recipient");
    named.map_err(|error| HsmError::new(Kind::Input, "name the import identity", error.to_string()))
}

const fn import_place<'a>((cluster, node): (&'a ClusterId, &'a NodeId), key: &'a KeyId) -> Place<'a> {
    Place { cluster, node, key, epoch: Epoch(0), purpose: PURPOSE, generation: 0 }
}
