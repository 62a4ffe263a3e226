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
        Some(Self { text: render_timestamp(time), time })
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

/// A moment as SigV4 writes it: `YYYYMMDDTHHMMSSZ`, UTC.
pub fn render_timestamp(time: SystemTime) -> [u8; 16] {
    let utc = OffsetDateTime::from(time);
    let year = u32::try_from(utc.year()).unwrap_or_default();
    let pairs = [
        year / 100,
        year % 100,
        u8::from(utc.month()).into(),
        utc.day().into(),
        0,
        utc.hour().into(),
        utc.minute().into(),
        utc.second().into(),
    ];
    let mut text = *b"00000000T000000Z";
    // The `T` is one byte between pairs of digits: those after it stand one to the left of their place.
    for (index, pair) in pairs.into_iter().enumerate().filter(|(index, _)| *index != 4) {
        let at = index * 2 - usize::from(index > 4);
        if let Some([tens, ones]) = text.get_mut(at..at + 2) {
            (*tens, *ones) = (digit(pair / 10), digit(pair % 10));
        }
    }
    text
}

#[allow(clippy::cast_possible_truncation)] // one decimal digit
fn digit(value: u32) -> u8 {
    b'0' + (value % 10) as u8
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_time_is_written_as_sigv4_wants_it() {
        for (seconds, text) in
            [(0, "19700101T000000Z"), (1_767_268_799, "20260101T115959Z"), (4_107_542_399, "21000228T235959Z")]
        {
            assert_eq!(&render_timestamp(UNIX_EPOCH + Duration::from_secs(seconds))[..], text.as_bytes());
        }
    }
}
