//! What lies in a running process's memory.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;

const PIECE: usize = 1 << 20;
/// Pieces overlap by more than the longest spelling of a secret.
const OVERLAP: usize = 512;

/// Gives every piece of memory that the process can write to, until one is what is looked for. `None` where the kernel lets
/// nobody read another process.
pub(crate) fn search(pid: u32, mut is_it: impl FnMut(&[u8]) -> bool) -> Option<bool> {
    let memory = open(pid)?;
    Some(regions(pid).into_iter().any(|region| pieces(&memory, region, &mut is_it)))
}

/// All of it, as it would stand in a core dump: each region by its line in `/proc/PID/maps`.
pub(crate) fn dump(pid: u32) -> Option<Vec<(String, Vec<u8>)>> {
    let memory = open(pid)?;
    let read = |region: Region| {
        let mut content = Vec::new();
        let name = region.name.clone();
        pieces(&memory, region, &mut |piece| {
            content.truncate(content.len().saturating_sub(if content.is_empty() { 0 } else { OVERLAP }));
            content.extend_from_slice(piece);
            false
        });
        (name, content)
    };
    Some(regions(pid).into_iter().map(read).collect())
}

/// Memory that a process can write to.
struct Region {
    name: String,
    start: u64,
    end: u64,
}

fn open(pid: u32) -> Option<File> {
    match File::open(format!("/proc/{pid}/mem")) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
        opened => Some(opened.unwrap()),
    }
}

fn regions(pid: u32) -> Vec<Region> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    maps.lines().filter_map(writable).collect()
}

fn pieces(memory: &File, Region { start, end, .. }: Region, is_it: &mut impl FnMut(&[u8]) -> bool) -> bool {
    let (mut at, mut piece) = (start, vec![0; PIECE]);
    while at < end {
        let length = usize::try_from(end - at).unwrap().min(PIECE);
        // A region may have gone since the list was read.
        let Ok(read) = memory.read_at(&mut piece[..length], at) else { return false };
        if is_it(&piece[..read]) {
            return true;
        }
        if read < length || length < PIECE {
            return false;
        }
        at += u64::try_from(read - OVERLAP).unwrap();
    }
    false
}

/// A region, if the process can write to it.
fn writable(line: &str) -> Option<Region> {
    let (bounds, rest) = line.split_once(' ')?;
    let (start, end) = bounds.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).unwrap();
    rest.starts_with("rw").then(|| Region { name: line.to_owned(), start: number(start), end: number(end) })
}
