//! Hashes as words, for people who compare them aloud.

/// The first `11 · N` bits of a hash, highest first, as words of BIP-39's English list, 11 bits each. At most 23 words come out of a hash;
/// what is beyond them is empty.
pub fn spell<const N: usize>(hash: &[u8; 32]) -> [&'static str; N] {
    let bits: Vec<bool> = hash.iter().flat_map(|byte| (0..8).map(|bit| byte.rotate_left(bit) & 0x80 != 0)).collect();
    let list = bip39::Language::English.word_list();
    let number = |bits: &[bool]| bits.iter().fold(0, |value, bit| (value << 1) | usize::from(*bit));
    let mut words = bits.chunks_exact(11).filter_map(|bits| list.get(number(bits)).copied());
    std::array::from_fn(|_| words.next().unwrap_or_default())
}
