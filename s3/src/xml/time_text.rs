//! Times in S3's XML: `2026-01-02T03:04:05.678Z`.
use std::time::{Duration, SystemTime};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

/// Parses an ISO 8601 time with zone; `None` where malformed or before 1970.
pub fn parse_timestamp(text: &str) -> Option<SystemTime> {
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanos).ok()?))
}

/// The time in UTC with milliseconds, as S3 writes it. Times outside 1970 to 9999 become the nearest bound.
pub fn render_timestamp(time: SystemTime) -> String {
    const LAST_SECOND_OF_9999: u64 = 253_402_300_799;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs().min(LAST_SECOND_OF_9999)).unwrap_or_default();
    let whole = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let text = whole.format(format).unwrap_or_else(|_| "1970-01-01T00:00:00".to_owned());
    format!("{text}.{:03}Z", since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_ways() {
        for (text, want) in [
            ("2026-01-02T03:04:05.678Z", Some("2026-01-02T03:04:05.678Z")),
            ("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05.000Z")),
            ("2026-01-02T05:04:05.123456789+02:00", Some("2026-01-02T03:04:05.123Z")),
            ("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00.000Z")),
            ("1969-12-31T23:59:59Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-02", None),
            ("", None),
        ] {
            assert_eq!(parse_timestamp(text).map(render_timestamp).as_deref(), want, "{text}");
        }
        assert_eq!(render_timestamp(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }

    proptest! {
        #[test]
        fn milliseconds_survive(ms in 0u64..4_102_444_800_000) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
            prop_assert_eq!(parse_timestamp(&render_timestamp(time)), Some(time));
        }
    }
}
