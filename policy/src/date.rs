//! Days of the calendar as charters and plans write them.

/// Seconds of a day.
pub const DAY_SECS: u64 = 24 * 3600;

/// The day that `YYYY-MM-DD` names, counted from 1970-01-01; `None` if it is no day of the years 2000 to 2199.
pub fn day(text: &str) -> Option<u64> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let mut parts = text.split('-').map_while(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if shape != "0000-00-00" || !(2000..2200).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    if !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let months: u64 = (1..month).map(|month| days_of(year, month)).sum();
    years.checked_add(months)?.checked_add(day)?.checked_sub(1)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests;
