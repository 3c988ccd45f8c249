//! Frames: four bytes of length, big-endian, and a message of at most [`MAX_FRAME`] bytes. Everything has a last moment.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

/// Longest message: what the identity signs, and room for the rest of the call.
pub const MAX_FRAME: usize = crate::provider::MAX_MESSAGE + 64 * 1024;

/// A connection whose reads and writes have a last moment.
pub trait Channel: Read + Write {
    /// From now on everything ends by then; `None` waits for ever.
    fn until(&mut self, moment: Option<Instant>) -> io::Result<()>;
}

impl Channel for UnixStream {
    fn until(&mut self, moment: Option<Instant>) -> io::Result<()> {
        let left = left(moment)?;
        self.set_read_timeout(left)?;
        self.set_write_timeout(left)
    }
}

/// Time that is left; [`ErrorKind::TimedOut`] if none is.
pub(crate) fn left(until: Option<Instant>) -> io::Result<Option<Duration>> {
    let Some(until) = until else { return Ok(None) };
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
}

/// Repeats what a signal broke off, and calls waiting too long by one name.
fn patiently(
    channel: &mut impl Channel,
    until: Option<Instant>,
    mut step: impl FnMut(&mut dyn ReadWrite) -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        channel.until(until)?;
        match step(channel) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            other => return other,
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// Writes one frame.
pub fn write(channel: &mut impl Channel, message: &[u8], until: Instant) -> io::Result<()> {
    let length = u32::try_from(message.len()).ok().filter(|_| message.len() <= MAX_FRAME);
    let length = length.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the message is longer than a frame"))?;
    // In one piece: two would wait for each other's acknowledgement on some channels.
    let frame = Zeroizing::new([&length.to_be_bytes(), message].concat());
    let mut rest = frame.as_slice();
    while !rest.is_empty() {
        match patiently(channel, Some(until), |channel| channel.write(rest))? {
            0 => return Err(ErrorKind::WriteZero.into()),
            written => rest = rest.get(written..).unwrap_or_default(),
        }
    }
    channel.flush()
}

/// Reads one frame; `None` if the channel ends before one begins. The first byte may take until `begin`, or for ever; the rest
/// until `end`.
pub fn read(channel: &mut impl Channel, end: Instant, begin: Option<Instant>) -> io::Result<Option<Vec<u8>>> {
    read_within(channel, begin, |_| end)
}

/// Waits for ever for a frame to begin, and then `rest` for its end.
pub fn wait(channel: &mut impl Channel, rest: Duration) -> io::Result<Option<Vec<u8>>> {
    read_within(channel, None, |begun| begun + rest)
}

fn read_within(
    channel: &mut impl Channel,
    begin: Option<Instant>,
    end: impl FnOnce(Instant) -> Instant,
) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let first = patiently(channel, begin, |channel| channel.read(&mut length[..1]))?;
    if first == 0 {
        return Ok(None);
    }
    let end = end(Instant::now());
    fill(channel, &mut length[1..], end)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME {
        let what = format!("a frame of {length} bytes; at most {MAX_FRAME} are taken");
        return Err(io::Error::new(ErrorKind::InvalidData, what));
    }
    let mut message = vec![0; length];
    fill(channel, &mut message, end)?;
    Ok(Some(message))
}

fn fill(channel: &mut impl Channel, mut room: &mut [u8], end: Instant) -> io::Result<()> {
    while !room.is_empty() {
        match patiently(channel, Some(end), |channel| channel.read(room))? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => room = room.get_mut(read..).unwrap_or_default(),
        }
    }
    Ok(())
}
