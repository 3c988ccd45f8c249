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
    let memory = match File::open(format!("/proc/{pid}/mem")) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return None,
        opened => opened.unwrap(),
    };
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut piece = vec![0; PIECE];
    for (start, end) in maps.lines().filter_map(writable) {
        let mut at = start;
        while at < end {
            let length = usize::try_from(end - at).unwrap().min(PIECE);
            // A region may have gone since the list was read.
            let Ok(read) = memory.read_at(&mut piece[..length], at) else { break };
            if is_it(&piece[..read]) {
                return Some(true);
            }
            at += u64::try_from(read.saturating_sub(OVERLAP).max(1)).unwrap();
            if read < length || length < PIECE {
                break;
            }
        }
    }
    Some(false)
}

/// The bounds of a region, if the process can write to it.
fn writable(line: &str) -> Option<(u64, u64)> {
    let (bounds, rest) = line.split_once(' ')?;
    let (start, end) = bounds.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).unwrap();
    rest.starts_with("rw").then(|| (number(start), number(end)))
}
