//! The moment of signing: `YYYYMMDDTHHMMSSZ` as text that enters the string to sign, and as time for the skew check.
use std::time::{Duration, SystemTime};
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// A moment of signing, in both forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamp {
    text: [u8; 16],
    time: SystemTime,
}

impl Timestamp {
    /// Parses ISO 8601 basic format, UTC, to the second; nothing else.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let text: [u8; 16] = value.as_bytes().try_into().ok()?;
        if text.get(8) != Some(&b'T') || text.get(15) != Some(&b'Z') {
            return None;
        }
        let date = parse_date(value.get(..8)?)?;
        let time = Time::from_hms(
            two_digits(value.get(9..11)?)?,
            two_digits(value.get(11..13)?)?,
            two_digits(value.get(13..15)?)?,
        )
        .ok()?;
        Some(Self { text, time: SystemTime::from(PrimitiveDateTime::new(date, time).assume_utc()) })
    }

    /// Parses a `Date` header: an HTTP date, or the basic format, which some clients send there.
    pub(super) fn parse_date_header(value: &str) -> Option<Self> {
        if let Some(timestamp) = Self::parse(value) {
            return Some(timestamp);
        }
        let time = httpdate::parse_http_date(value).ok()?;
        let utc = OffsetDateTime::from(time);
        let text = format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            utc.year(),
            u8::from(utc.month()),
            utc.day(),
            utc.hour(),
            utc.minute(),
            utc.second()
        );
        Self::parse(&text)
    }

    /// `YYYYMMDDTHHMMSSZ`.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// `YYYYMMDD`.
    pub(super) fn date(&self) -> &[u8] {
        self.text.get(..8).unwrap_or_default()
    }

    /// How far it lies behind `now`; `None` where it lies ahead.
    pub(super) fn age(&self, now: SystemTime) -> Option<Duration> {
        now.duration_since(self.time).ok()
    }

    /// How far it lies ahead of `now`; zero where it lies behind.
    pub(super) fn ahead(&self, now: SystemTime) -> Duration {
        self.time.duration_since(now).unwrap_or_default()
    }
}

/// A calendar date from `YYYYMMDD`.
pub(super) fn parse_date(value: &str) -> Option<Date> {
    if value.len() != 8 || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let month = Month::try_from(two_digits(value.get(4..6)?)?).ok()?;
    Date::from_calendar_date(value.get(..4)?.parse().ok()?, month, two_digits(value.get(6..8)?)?).ok()
}

fn two_digits(value: &str) -> Option<u8> {
    if !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    value.parse().ok()
}
