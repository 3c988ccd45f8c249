//! Strict reading of ABI-encoded arguments: only what the standard encoder writes is read.
//!
//! Every word must be used, padding must be zero, and tails must follow each other in order without gaps, so that
//! encoding what was read gives the same bytes.

use alloy_primitives::{Address as EvmAddress, U256};

/// Bytes of one word.
const WORD: usize = 32;

/// One 32-byte word.
pub(crate) type Word = [u8; WORD];

/// Exactly `N` words and nothing else.
pub(crate) fn words<const N: usize>(arguments: &[u8]) -> Option<&[Word; N]> {
    let (words, rest) = arguments.as_chunks::<WORD>();
    if !rest.is_empty() {
        return None;
    }
    words.try_into().ok()
}

/// `N` head words, and the tails behind them.
pub(crate) fn heads<const N: usize>(arguments: &[u8]) -> Option<(&[Word; N], Tails<'_>)> {
    let (words, rest) = arguments.as_chunks::<WORD>();
    let (heads, tails) = words.split_first_chunk::<N>()?;
    rest.is_empty().then(|| (heads, Tails { words: tails, offset: N.saturating_mul(WORD) }))
}

/// What follows the head words.
pub(crate) struct Tails<'a> {
    words: &'a [Word],
    /// Where `words` begin, in bytes from the first head word.
    offset: usize,
}

impl<'a> Tails<'a> {
    /// The next tail as an array of words; `offset` is the head word that points to it.
    pub(crate) fn array(&mut self, offset: &Word) -> Option<&'a [Word]> {
        let length = self.length(offset)?;
        self.take(length)
    }

    /// The next tail as bytes, right-padded with zeros to whole words.
    pub(crate) fn bytes(&mut self, offset: &Word) -> Option<&'a [u8]> {
        let length = self.length(offset)?;
        let padded = self.take(length.div_ceil(WORD))?.as_flattened();
        let (bytes, padding) = padded.split_at_checked(length)?;
        padding.iter().all(|byte| *byte == 0).then_some(bytes)
    }

    /// Nothing may follow the last tail.
    pub(crate) fn end(&self) -> Option<()> {
        self.words.is_empty().then_some(())
    }

    fn length(&mut self, offset: &Word) -> Option<usize> {
        if usize::try_from(uint(offset)).ok()? != self.offset {
            return None;
        }
        let [length] = self.take(1)? else { return None };
        usize::try_from(uint(length)).ok()
    }

    fn take(&mut self, count: usize) -> Option<&'a [Word]> {
        let (taken, rest) = self.words.split_at_checked(count)?;
        self.words = rest;
        self.offset = self.offset.checked_add(count.checked_mul(WORD)?)?;
        Some(taken)
    }
}

/// An address: the upper twelve bytes must be zero.
pub(crate) fn address(word: &Word) -> Option<EvmAddress> {
    let (high, low) = word.split_first_chunk::<12>()?;
    let low: [u8; 20] = low.try_into().ok()?;
    (*high == [0; 12]).then(|| EvmAddress::new(low))
}

/// A boolean: 0 or 1.
pub(crate) fn boolean(word: &Word) -> Option<bool> {
    match uint(word) {
        value if value == U256::ZERO => Some(false),
        value if value == U256::ONE => Some(true),
        _ => None,
    }
}

/// An 8-bit number.
pub(crate) fn uint8(word: &Word) -> Option<u8> {
    u8::try_from(uint(word)).ok()
}

/// A 256-bit number.
pub(crate) const fn uint(word: &Word) -> U256 {
    U256::from_be_bytes(*word)
}
