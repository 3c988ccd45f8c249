//! Hours in the text form.

use serde::Deserialize;

use super::invalid;
use crate::charter::CharterError;
use crate::charter::hours::{Day, Hours, Window};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileHours {
    /// Every day if left out.
    #[serde(default)]
    days: Vec<Day>,
    from: String,
    until: String,
    utc_offset: String,
}

/// `hours` and `hours_except`, one of them at most.
pub(super) fn hours(
    place: &str,
    within: Option<&FileHours>,
    except: Option<&FileHours>,
) -> Result<Hours, CharterError> {
    match (within, except) {
        (None, None) => Ok(Hours::Always),
        (Some(within), None) => window(place, within).map(Hours::Within),
        (None, Some(except)) => window(place, except).map(Hours::Except),
        (Some(_), Some(_)) => Err(invalid(place, "hours and hours_except exclude each other")),
    }
}

fn window(place: &str, raw: &FileHours) -> Result<Window, CharterError> {
    let bad = |what: &str, text: &str| {
        invalid(place, format!("{what} = {text:?}: times are written 08:30 or 24:00, offsets from UTC +01:00"))
    };
    let from = minutes(&raw.from).ok_or_else(|| bad("from", &raw.from))?;
    let until = minutes(&raw.until).ok_or_else(|| bad("until", &raw.until))?;
    let text = &raw.utc_offset;
    let sign = match text.get(..1) {
        Some("+") => 1,
        Some("-") => -1,
        _ => return Err(bad("utc_offset", text)),
    };
    let ahead = text.get(1..).and_then(minutes).and_then(|minutes| i16::try_from(minutes).ok());
    let offset = ahead.and_then(|ahead| ahead.checked_mul(sign)).ok_or_else(|| bad("utc_offset", text))?;
    let days = if raw.days.is_empty() { Day::ALL.to_vec() } else { raw.days.clone() };
    Window::new(days, from, until, offset).ok_or_else(|| {
        invalid(place, "hours go from 00:00 up to 23:59 until 00:01 up to 24:00, at most 14 hours from UTC")
    })
}

/// Minutes of `08:30`; nothing beyond `24:00`.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes) = (hours.parse::<u16>().ok()?, minutes.parse::<u16>().ok()?);
    let total = hours.checked_mul(60)?.checked_add(minutes)?;
    (minutes < 60 && total <= 24 * 60).then_some(total)
}
