//! Bits turn over at rest, in every file of a signer.
//!
//! The signer has everything that a program of the hostile coordinator leaves, and a share of a real key. One bit of one file is
//! turned over and the signer is started as the daemon starts: either that is refused with a named error, or the share is, or
//! nothing has changed: every row of every table is what it was, and the share signs.

use std::path::PathBuf;

use super::keys::{self, Provider};
use super::opening::{name, open, open_disk};
use super::{Found, caught};
use crate::Dice;
use crate::disk::{Disk, Image};
use crate::hostile::Case;

/// Bits of a round.
pub(super) const FLIPS: u64 = 100;
/// Bytes at the beginning on which everything else hangs: redb's header with both of its commits.
const HEAD: u64 = 320;
/// One of so many harmless flips is followed by a signature.
const SIGN_EVERY: u64 = 16;

/// A signer at rest.
struct Signer {
    provider: Provider,
    /// After a stop in order, and after one without.
    images: [Image; 2],
    content: [u8; 32],
    /// What it was one commit before.
    before: [u8; 32],
}

/// Where redb keeps which of its two commits is the last, as one bit (redb 4.5, `docs/design.md`, "god byte"). After a crash
/// nothing in the file can tell a bit turned over there from a commit that was on its way.
const LAST_COMMIT: (u64, u8) = (9, 0);

pub(super) fn round(number: u64) -> Found {
    let mut found = Found::default();
    let (signer, mut dice) = (signer(number), Dice::new(!number));
    for _ in 0..FLIPS {
        found.tried += 1;
        let files = signer.provider.files();
        if dice.chance(150) {
            let file = &files[dice.index(files.len()).unwrap_or(0)];
            in_file(&signer, file, &mut dice, &mut found);
        } else {
            in_store(&signer, &mut dice, &mut found);
        }
    }
    found
}

fn signer(number: u64) -> Signer {
    let (_, tapes) = Case::of(number).record();
    let (node, tape) = tapes.into_iter().next().expect("a signer");
    assert_eq!(node, keys::node(), "the first one");
    let provider = Provider::new(&format!("bitrot-{number}"));
    let (disk, tape) = Disk::recorded(tape.end());
    let store = open_disk(disk.clone(), &node, true).expect("a store");
    keys::live(&store, &provider);
    let content = store.view().and_then(|view| view.content()).expect("its content");
    let running = disk.seen();
    drop(store);
    let marks = tape.lock().unwrap_or_else(std::sync::PoisonError::into_inner).at_marks();
    let last = marks.into_iter().rev().nth(1).expect("two commits");
    let before = super::opening::content(last, &node).expect("its content");
    Signer { provider, images: [disk.seen(), running], content, before }
}

/// A place in the file: anywhere, where something was written, or in the first page, on which all depends.
fn place(image: &Image, dice: &mut Dice) -> (u64, &'static str) {
    let pages = image.written();
    match dice.below(10) {
        0..3 => (dice.below(image.len()), "anywhere"),
        3..7 => {
            let page = pages.get(dice.index(pages.len()).unwrap_or(0)).copied().unwrap_or(0);
            (page + dice.below(4096), "in a page")
        }
        _ => (dice.below(HEAD), "in the head"),
    }
}

fn in_store(signer: &Signer, dice: &mut Dice, found: &mut Found) {
    let stopped = usize::from(dice.chance(500));
    let mut image = signer.images[stopped].clone();
    let (offset, region) = place(&image, dice);
    let bit = u8::try_from(dice.below(8)).unwrap_or(0);
    image.flip(offset, bit);
    let after = ["a stop", "a crash"][stopped];
    let try_it = found.tried.is_multiple_of(SIGN_EVERY);
    let old_one = stopped == 1 && (offset, bit) == LAST_COMMIT;
    match caught(|| start(image, signer, try_it)) {
        Ok(Err(Wrong::Before)) if old_one => {
            found.count("the bit that names the last commit: one commit older, for peers to notice");
        }
        Ok(Ok(outcome)) => found.count(format!("store, {region}: {outcome}")),
        Ok(Err(what)) => found.broken(format!("byte {offset}, bit {bit} of the store after {after}: {what:?}")),
        Err(panic) => found.broken(format!("byte {offset}, bit {bit} of the store after {after}: panicked: {panic}")),
    }
}

/// What must not be.
#[derive(Debug)]
enum Wrong {
    /// What the store was one commit before is served.
    Before,
    /// Something else is.
    Other,
    /// Damage is found only when something is read.
    Late(#[expect(dead_code, reason = "told by its Debug form")] String),
    /// The share is not what it was.
    Share(#[expect(dead_code, reason = "told by its Debug form")] String),
}

/// A start on a spoilt store.
fn start(image: Image, signer: &Signer, try_it: bool) -> Result<&'static str, Wrong> {
    let store = match open(image, &keys::node()) {
        Ok(store) => store,
        Err(error) => return Ok(name(&error)),
    };
    let read = store.view().and_then(|view| Ok((view.content()?, view)));
    let (content, view) = read.map_err(|error| Wrong::Late(error.to_string()))?;
    match content {
        content if content == signer.content => {}
        content if content == signer.before => return Err(Wrong::Before),
        _ => return Err(Wrong::Other),
    }
    if !try_it {
        return Ok("harmless");
    }
    match keys::read(&store, &view, &signer.provider).map_err(Wrong::Share)? {
        None => Err(Wrong::Share("it is gone".to_owned())),
        Some(share) => match keys::signs(share) {
            true => Ok("harmless, and signs"),
            false => Err(Wrong::Share("it makes a wrong signature".to_owned())),
        },
    }
}

fn in_file(signer: &Signer, file: &PathBuf, dice: &mut Dice, found: &mut Found) {
    let whole = std::fs::read(file).expect("a file");
    let mut spoilt = whole.clone();
    let (place, bit) = (dice.index(whole.len()).unwrap_or(0), dice.below(8));
    spoilt[place] ^= 1 << bit;
    keys::write(file, &spoilt);
    let outcome = caught(|| {
        let store = open(signer.images[0].clone(), &keys::node()).map_err(|error| error.to_string())?;
        let view = store.view().map_err(|error| error.to_string())?;
        Ok::<_, String>(keys::read(&store, &view, &signer.provider).map(|share| share.map(keys::signs)))
    });
    keys::write(file, &whole);
    let word = file.extension().map_or("wrapping key", |_| "key file");
    match outcome {
        Ok(Ok(Ok(Some(true)))) => found.count(format!("{word}: harmless, and signs")),
        Ok(Ok(Err(_))) => found.count(format!("{word}: refused: does not open")),
        other => found.broken(format!("byte {place}, bit {bit} of {}: {other:?}", file.display())),
    }
}
