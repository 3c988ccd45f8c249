//! The power goes before, in and after every operation that changes the disk.
//!
//! A program of the hostile coordinator is played once and every disk of every honest machine is recorded. What the disk can
//! look like after a cut is drawn from the recording, and the store is opened on it. It must be exactly what it was at the last
//! commit of which anybody was told, or at the one that was on its way: no row more or less, in any table.

use limen_node::store::Store;
use limen_wire::ids::NodeId;

use super::opening::{content, open};
use super::{Found, caught, keys};
use crate::Dice;
use crate::disk::Tape;
use crate::hostile::Case;

/// Rounds of every change.
pub(super) const SHORT: u64 = 17;

/// A round is one program: the last of the seventeen makes keys, the others are the hostile coordinator's.
pub(super) fn round(number: u64) -> Found {
    let mut found = Found::default();
    let mut dice = Dice::new(!number);
    if number % SHORT == SHORT - 1 {
        let (provider, tape) = keys::story(number);
        let share_opens = |store: &Store| {
            let view = store.view().map_err(|error| error.to_string())?;
            keys::read(store, &view, &provider).map(drop)
        };
        every_point((&keys::node(), &tape), &mut dice, &share_opens, &mut found);
        return found;
    }
    // One seed of each kind of program comes in a row of sixteen.
    let (report, tapes) = Case::of(number / SHORT * (SHORT - 1) + number % SHORT).record();
    if let Some(violation) = report.violation {
        found.broken(format!("without any fault: {violation}"));
    }
    for (node, tape) in &tapes {
        every_point((node, tape), &mut dice, &|_| Ok(()), &mut found);
    }
    found
}

/// What else a store must do.
type Also<'a> = dyn Fn(&Store) -> Result<(), String> + 'a;

/// Cuts at every point of a recording.
fn every_point((node, tape): (&NodeId, &Tape), dice: &mut Dice, also: &Also<'_>, found: &mut Found) {
    let begin = content(tape.begin().clone(), node);
    let known: Result<Vec<[u8; 32]>, _> =
        std::iter::once(begin).chain(tape.at_marks().into_iter().map(|image| content(image, node))).collect();
    let known = match known {
        Ok(known) => known,
        Err(error) => return found.broken(format!("{node}: a disk that nothing happened to is refused: {error}")),
    };
    tape.cuts(dice, |cut| {
        found.tried += 1;
        let at = format!("{node}, {:?} operation {} of {}", cut.moment, cut.operation, tape.operations());
        let outcome = caught(|| {
            let store = open(cut.image, node).map_err(|error| format!("does not open: {error}"))?;
            let holds =
                store.view().and_then(|view| view.content()).map_err(|error| format!("cannot be read: {error}"))?;
            let state = match (known.get(cut.marks), known.get(cut.marks + 1)) {
                (Some(told), _) if *told == holds => "as told",
                (_, Some(coming)) if *coming == holds => "one commit further",
                _ => return Err("holds what it never held at a commit".to_owned()),
            };
            store
                .write_blocking(|txn| txn.put_meta("campaign", &[1]))
                .map_err(|error| format!("cannot go on: {error}"))?;
            also(&store)?;
            Ok(state)
        });
        match outcome {
            Ok(Ok(state)) => found.count(state),
            Ok(Err(what)) => found.broken(format!("{at}: {what}")),
            Err(panic) => found.broken(format!("{at}: panicked: {panic}")),
        }
    });
}
