//! Which standard a token contract follows, where somebody has said so.

use limen_wire::effects::{Address, ChainId};

/// The standard of a token contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Fungible (ERC-20).
    Erc20,
    /// Non-fungible (ERC-721).
    Erc721,
    /// Many ids, each in any number (ERC-1155).
    Erc1155,
}

/// Says which standard a contract follows; the asset registry of the charter answers this.
///
/// ERC-20 and ERC-721 share the selectors of `approve` and `transferFrom`: there the number is an amount in one and a token
/// id in the other. Without an answer such a call is read as ERC-20 **and** carries an `Unknown` effect, so that a rule for
/// amounts alone never lets a token id through.
pub trait TokenKinds {
    /// The standard, or `None` when nobody has said.
    fn kind(&self, chain: &ChainId, contract: &Address) -> Option<TokenKind>;
}

/// Knows no token.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTokenKinds;

impl TokenKinds for NoTokenKinds {
    fn kind(&self, _chain: &ChainId, _contract: &Address) -> Option<TokenKind> {
        None
    }
}

impl<F> TokenKinds for F
where
    F: Fn(&ChainId, &Address) -> Option<TokenKind>,
{
    fn kind(&self, chain: &ChainId, contract: &Address) -> Option<TokenKind> {
        self(chain, contract)
    }
}
