//! Hours of the week, by a fixed distance from UTC.
//!
//! There is no table of zones here: when summer time begins is a matter of law that changes with releases, and two signers
//! of different releases would decide differently. A charter that wants summer time says so by a new version.

use std::fmt;

use serde::Serialize;

/// Minutes of a day and of a week.
const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;
const DAY_LONG: u64 = DAY as u64;
const WEEK_LONG: u64 = WEEK as u64;

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// Monday first.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// The word in charters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }
}

/// A part of every week.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Window {
    days: Vec<Day>,
    from: u16,
    until: u16,
    offset: i16,
}

impl Window {
    /// On these days from one minute of the day up to, and without, another; an `until` that is not after `from` lies on the
    /// day after. `offset` is how many minutes the local clock is ahead of UTC. `None` if a value is out of range or no
    /// day is named.
    pub fn new(mut days: Vec<Day>, from: u16, until: u16, offset: i16) -> Option<Self> {
        days.sort();
        days.dedup();
        let fits =
            u32::from(from) < DAY && (1..=DAY).contains(&u32::from(until)) && (-14 * 60..=14 * 60).contains(&offset);
        (fits && !days.is_empty()).then_some(Self { days, from, until, offset })
    }

    /// Whether the moment, in seconds since 1970, lies in it.
    pub fn holds(&self, now_secs: u64) -> bool {
        // 1970-01-01 was a Thursday, the fourth day of its week.
        let minutes = (now_secs / 60).saturating_add(3 * DAY_LONG) % WEEK_LONG;
        self.holds_minute(u32::try_from(minutes).unwrap_or(0))
    }

    /// The same for a minute of the week in UTC, counted from Monday.
    fn holds_minute(&self, minute: u32) -> bool {
        let local = minute.saturating_add(WEEK).saturating_add_signed(self.offset.into()) % WEEK;
        let (from, until) = (u32::from(self.from), u32::from(self.until));
        let length =
            if until > from { until.saturating_sub(from) } else { DAY.saturating_add(until).saturating_sub(from) };
        self.days.iter().any(|day| {
            let begins = (*day as u32).saturating_mul(DAY).saturating_add(from);
            let since = local.saturating_add(WEEK).saturating_sub(begins) % WEEK;
            since < length
        })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> = self.days.iter().map(|day| day.as_str()).collect();
        let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let sign = if self.offset < 0 { '-' } else { '+' };
        let offset = time(self.offset.unsigned_abs());
        write!(f, "{} {} to {} (UTC{sign}{offset})", days.join(" "), time(self.from), time(self.until))
    }
}

/// When a rule matches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub enum Hours {
    /// At any time.
    #[default]
    Always,
    /// Only then: written `hours`.
    Within(Window),
    /// At any other time: written `hours_except`.
    Except(Window),
}

impl Hours {
    /// Whether the moment, in seconds since 1970, is one of them.
    pub fn hold(&self, now_secs: u64) -> bool {
        match self {
            Self::Always => true,
            Self::Within(window) => window.holds(now_secs),
            Self::Except(window) => !window.holds(now_secs),
        }
    }

    /// Every minute of the week in UTC, from Monday: whether it is one of them. For comparing two.
    pub(crate) fn week(&self) -> Vec<bool> {
        let holds = |minute| match self {
            Self::Always => true,
            Self::Within(window) => window.holds_minute(minute),
            Self::Except(window) => !window.holds_minute(minute),
        };
        (0..WEEK).map(holds).collect()
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("any time"),
            Self::Within(window) => window.fmt(f),
            Self::Except(window) => write!(f, "any time but {window}"),
        }
    }
}
