//! Read-back words: what two people, or two screens of one person, compare to know that they speak of the same approval.

use limen_wire::approval::Approval;
use limen_wire::ids::tagged_hash;
use limen_wire::words::spell;

const DOMAIN: &str = "limen/read-back/v1";
const HASH_DOMAIN: &str = "limen/read-back-hash/v1";

/// How many words there are: twelve of 11 bits.
pub const COUNT: usize = 12;

/// The words of an approval, out of the English list of BIP-39: the first 132 bits of [`tagged_hash`] with domain
/// `limen/read-back/v1` over digest and nonce, 11 bits a word, highest first.
///
/// The nonce is the approver's, chosen when the intent is fixed. Whoever wants another approval to read back alike must find
/// it for the very hash, at 2¹³² tries, instead of making two that meet beforehand at 2⁶⁶.
pub fn read_back(approval: &Approval) -> [&'static str; COUNT] {
    let hash = tagged_hash(DOMAIN, [approval.digest().as_bytes().as_slice(), &approval.nonce]);
    spell(&hash)
}

/// The words of a hash that people compare outside of approvals, such as that of a ceremony's plan or of a charter: like
/// [`read_back`], with domain `limen/read-back-hash/v1` over what it is the hash of, in one word, and the hash.
pub fn words_of(what: &str, hash: &[u8; 32]) -> [&'static str; COUNT] {
    spell(&tagged_hash(HASH_DOMAIN, [what.as_bytes(), hash.as_slice()]))
}
