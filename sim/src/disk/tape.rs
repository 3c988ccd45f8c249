//! Everything that happened to a disk, in order: what a power cut at any moment would have left.

use super::{Change, Image, leftover};
use crate::Dice;

/// On which side of an operation the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The operation has not begun.
    Before,
    /// Any part of it arrives.
    In,
    /// It has returned.
    After,
}

impl Moment {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Before, Self::In, Self::After];
}

#[derive(Debug, Clone)]
enum Entry {
    Change(Change),
    Sync,
    /// The caller was told that everything so far is durable.
    Mark,
}

/// The recording of a disk.
#[derive(Debug, Clone)]
pub struct Tape {
    begin: Image,
    entries: Vec<Entry>,
}

/// What a power cut leaves, and how many marks there were before.
#[derive(Debug)]
pub struct Cut {
    /// The operation, from 1.
    pub operation: u64,
    /// On which side of it.
    pub moment: Moment,
    /// Marks before it.
    pub marks: usize,
    /// The disk.
    pub image: Image,
}

impl Tape {
    pub(super) const fn new(begin: Image) -> Self {
        Self { begin, entries: Vec::new() }
    }

    pub(super) fn change(&mut self, change: Change) {
        self.entries.push(Entry::Change(change));
    }

    pub(super) fn sync(&mut self) {
        self.entries.push(Entry::Sync);
    }

    pub(super) fn mark(&mut self) {
        self.entries.push(Entry::Mark);
    }

    /// Operations in it.
    pub fn operations(&self) -> u64 {
        self.entries.iter().filter(|entry| !matches!(entry, Entry::Mark)).count() as u64
    }

    /// Marks so far.
    pub fn marks(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry, Entry::Mark)).count()
    }

    /// The disk as it was at the beginning.
    pub const fn begin(&self) -> &Image {
        &self.begin
    }

    /// The disk as reading showed it at each mark.
    pub fn at_marks(&self) -> Vec<Image> {
        let (mut image, mut found) = (self.begin.clone(), Vec::new());
        for entry in &self.entries {
            match entry {
                Entry::Change(change) => image.apply(change),
                Entry::Mark => found.push(image.clone()),
                Entry::Sync => {}
            }
        }
        found
    }

    /// The disk as reading shows it at the end.
    pub fn end(&self) -> Image {
        let mut image = self.begin.clone();
        for entry in &self.entries {
            if let Entry::Change(change) = entry {
                image.apply(change);
            }
        }
        image
    }

    /// Cuts the power before, in and after every operation, and hands over what is left.
    pub fn cuts(&self, dice: &mut Dice, mut each: impl FnMut(Cut)) {
        let (mut durable, mut since) = (self.begin.clone(), Vec::<Change>::new());
        let (mut operation, mut marks) = (0, 0);
        for entry in &self.entries {
            if matches!(entry, Entry::Mark) {
                marks += 1;
                continue;
            }
            operation += 1;
            let mut cut = |moment, image| each(Cut { operation, moment, marks, image });
            cut(Moment::Before, leftover(&durable, &since, dice));
            match entry {
                Entry::Change(change) => {
                    let mut image = leftover(&durable, &since, dice);
                    if let Change::Write(offset, bytes) = change {
                        image.tear(*offset, bytes, dice);
                    } else if dice.chance(500) {
                        image.apply(change);
                    }
                    cut(Moment::In, image);
                    since.push(change.clone());
                }
                _ => {
                    cut(Moment::In, leftover(&durable, &since, dice));
                    since.drain(..).for_each(|change| durable.apply(&change));
                }
            }
            cut(Moment::After, leftover(&durable, &since, dice));
        }
    }
}
