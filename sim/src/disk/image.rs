//! The bytes of a disk, in pages that copies share until one of them writes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::Change;
use crate::Dice;

/// What a disk writes whole or not at all, in bytes.
pub const SECTOR: usize = 512;

const PAGE: usize = 4096;
type Page = Arc<[u8; PAGE]>;

/// Bytes, zero where nothing was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    length: u64,
    pages: BTreeMap<u64, Page>,
}

/// Page and place in it.
fn place(at: u64) -> (u64, usize) {
    (at / PAGE as u64, usize::try_from(at % PAGE as u64).unwrap_or(0))
}

impl Image {
    /// Of a file's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut image = Self::default();
        image.write(0, bytes);
        image
    }

    /// Bytes, with holes.
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Offsets of the pages that were ever written.
    pub fn written(&self) -> Vec<u64> {
        self.pages.keys().map(|page| page * PAGE as u64).collect()
    }

    /// Whether there is room for these bytes without taking more from the file system.
    pub(super) fn has_room(&self, offset: u64, count: usize) -> bool {
        let end = offset.saturating_add(count as u64);
        (offset / PAGE as u64..end.div_ceil(PAGE as u64)).all(|page| self.pages.contains_key(&page))
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write(offset, bytes) => self.write(*offset, bytes),
            Change::Length(length) => self.resize(*length),
        }
    }

    /// Writes any of the sectors of a write, or any beginning of it.
    pub(super) fn tear(&mut self, offset: u64, bytes: &[u8], dice: &mut Dice) {
        if dice.chance(500) {
            let end = dice.index(bytes.len()).unwrap_or(0);
            return self.write(offset, &bytes[..end]);
        }
        for (number, sector) in bytes.chunks(SECTOR).enumerate() {
            if dice.chance(500) {
                self.write(offset + (number * SECTOR) as u64, sector);
            }
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let (number, start) = place(at);
            let (now, later) = rest.split_at(rest.len().min(PAGE - start));
            let page = Arc::make_mut(self.pages.entry(number).or_insert_with(|| Arc::new([0; PAGE])));
            page[start..start + now.len()].copy_from_slice(now);
            (at, rest) = (at + now.len() as u64, later);
        }
        self.length = self.length.max(at);
    }

    fn resize(&mut self, length: u64) {
        if length < self.length {
            let (last, start) = place(length);
            self.pages.retain(|page, _| page * (PAGE as u64) < length);
            // What grows again is zero.
            if let Some(page) = self.pages.get_mut(&last) {
                Arc::make_mut(page)[start..].fill(0);
            }
        }
        self.length = length;
    }

    /// As a file is read.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.saturating_add(out.len() as u64) > self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut at, mut rest) = (offset, out);
        while !rest.is_empty() {
            let (number, start) = place(at);
            let take = rest.len().min(PAGE - start);
            let (now, later) = rest.split_at_mut(take);
            match self.pages.get(&number) {
                Some(page) => now.copy_from_slice(&page[start..start + take]),
                None => now.fill(0),
            }
            (at, rest) = (at + take as u64, later);
        }
        Ok(())
    }

    /// Turns one bit over, at rest.
    pub fn flip(&mut self, offset: u64, bit: u8) {
        let (number, start) = place(offset);
        let page = Arc::make_mut(self.pages.entry(number).or_insert_with(|| Arc::new([0; PAGE])));
        page[start] ^= 1 << (bit % 8);
    }
}
