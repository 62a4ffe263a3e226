//! The Range header as S3 takes it: one range, and what is no range is ignored.
//! Source: RFC 9110, section 14; Amazon S3 API Reference, GetObject and UploadPartCopy.

/// What a read is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranged {
    /// All of it.
    Whole,
    /// From the first byte, so many.
    Part(u64, u64),
    /// None of it: 416.
    Unsatisfiable,
}

/// The range of `size` bytes that a Range header asks for.
pub fn parse(header: Option<&str>, size: u64) -> Ranged {
    let Some((first, last)) = header.and_then(|header| header.strip_prefix("bytes=")?.split_once('-')) else {
        return Ranged::Whole;
    };
    match (number(first), number(last), first.is_empty(), last.is_empty()) {
        (None, Some(suffix), true, false) if suffix > 0 && size > 0 => {
            let length = suffix.min(size);
            Ranged::Part(size - length, length)
        }
        (None, Some(_), true, false) => Ranged::Unsatisfiable,
        (Some(first), None, false, true) if first < size => Ranged::Part(first, size - first),
        (Some(first), Some(last), ..) if first <= last && first < size => {
            Ranged::Part(first, last.min(size - 1) - first + 1)
        }
        (Some(first), Some(last), ..) if first > last => Ranged::Whole,
        (Some(_), Some(_), ..) | (Some(_), None, false, true) => Ranged::Unsatisfiable,
        _ => Ranged::Whole,
    }
}

/// The first byte and the length of `bytes=first-last`, the only form that UploadPartCopy knows.
pub fn of_copy(header: &str) -> Option<(u64, u64)> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

/// Digits only, and no more than fit.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        for (header, want) in [
            ("bytes=0-3", Ranged::Part(0, 4)),
            ("bytes=4-4", Ranged::Part(4, 1)),
            ("bytes=7-", Ranged::Part(7, 3)),
            ("bytes=-3", Ranged::Part(7, 3)),
            ("bytes=8-100", Ranged::Part(8, 2)),
            ("bytes=-100", Ranged::Part(0, 10)),
            ("bytes=10-", Ranged::Unsatisfiable),
            ("bytes=50-60", Ranged::Unsatisfiable),
            ("bytes=-0", Ranged::Unsatisfiable),
            ("bytes=5-2", Ranged::Whole),
            ("bytes=60-50", Ranged::Whole),
            ("bytes=-", Ranged::Whole),
            ("bytes=a-b", Ranged::Whole),
            ("bytes=+1-2", Ranged::Whole),
            ("bytes=0-1,4-5", Ranged::Whole),
            ("items=0-1", Ranged::Whole),
            ("0-3", Ranged::Whole),
            ("bytes=99999999999999999999-", Ranged::Whole),
        ] {
            assert_eq!(parse(Some(header), 10), want, "{header}");
        }
        assert_eq!(parse(Some("bytes=0-0"), 0), Ranged::Unsatisfiable);
        assert_eq!(parse(Some("bytes=-1"), 0), Ranged::Unsatisfiable);
        assert_eq!(parse(None, 10), Ranged::Whole);
    }

    #[test]
    fn ranges_of_copies() {
        for (header, want) in [
            ("bytes=10-109", Some((10, 100))),
            ("bytes=0-0", Some((0, 1))),
            ("bytes=5-", None),
            ("bytes=-5", None),
            ("bytes=9-5", None),
            ("0-9", None),
            ("bytes=0-18446744073709551615", None),
        ] {
            assert_eq!(of_copy(header), want, "{header}");
        }
    }
}
