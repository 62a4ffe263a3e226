//! The object tag `replica-count`: how many copies of this object must exist, its home's included.
use s3gateway_s3::{S3Code, S3Error};

/// The tag's key.
pub const TAG_KEY: &str = "replica-count";

/// Parses the tag's value; `max` is what the bucket's placement can give.
///
/// # Errors
/// `InvalidTag` for anything but a plain decimal number from 1 to `max`.
pub fn parse_tag(value: &str, max: u32) -> Result<u32, S3Error> {
    let plain = (1..=10).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit()) && !value.starts_with('0');
    let Some(count) = value.parse::<u32>().ok().filter(|_| plain) else {
        return Err(S3Code::InvalidTag.because("The tag replica-count must be a whole number, 1 or more."));
    };
    if count > max {
        return Err(S3Code::InvalidTag.because(format!(
            "The tag replica-count asks for {count} copies, but this bucket's placement has room for {max}."
        )));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tr_17_tr_18_replica_count_is_a_number_the_placement_can_give() {
        let long = "1".repeat(300);
        for (value, want) in [
            ("1", Some(1)),
            ("3", Some(3)),
            ("4", None),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("1e9", None),
            ("1000000000", None),
            ("NaN", None),
            ("2.5", None),
            (" 2", None),
            ("2 ", None),
            ("02", None),
            ("٢", None),
            ("", None),
            (long.as_str(), None),
            ("18446744073709551616", None),
            ("4294967297", None),
        ] {
            let got = parse_tag(value, 3);
            assert_eq!(got.as_ref().ok().copied(), want, "{value}");
            if let Err(error) = got {
                assert_eq!(error.code, S3Code::InvalidTag, "{value}");
            }
        }
    }
}
