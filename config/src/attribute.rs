//! What a country, a provider and so on may be: the same for a place and for a policy, so that the two can meet.
//! A policy's value that no place can hold would deny nothing.

/// What an attribute of a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// Zone, region, jurisdiction or provider. A comma would split it in a LocationConstraint.
    Name,
    /// ISO 3166-1 alpha-2, in any case.
    Country,
    /// What a place is certified for.
    Certification,
}

/// A value that no place can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} {rule}")]
pub struct AttributeError {
    /// Which attribute, such as `country` or `deny.countries`.
    pub field: String,
    value: String,
    rule: &'static str,
}

/// Longest name or certification; of a longer value no more than this is repeated.
const LONGEST: usize = 63;

impl Attribute {
    /// Checks one value; `Err` says what it must be.
    pub(crate) fn check(self, value: &str) -> Result<(), &'static str> {
        let is_sized = (1..=LONGEST).contains(&value.len());
        let (ok, rule) = match self {
            Self::Name => (
                is_sized && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
                "must be 1 to 63 letters, digits and '-'",
            ),
            Self::Country => (
                value.len() == 2 && value.bytes().all(|b| b.is_ascii_alphabetic()),
                "must be two letters, as ISO 3166-1 alpha-2 has them",
            ),
            Self::Certification => (
                is_sized && value.bytes().all(|b| b.is_ascii_graphic() && b != b','),
                "must be 1 to 63 visible ASCII characters without a comma",
            ),
        };
        if ok { Ok(()) } else { Err(rule) }
    }

    /// As [`Attribute::check`], for each of a field's values.
    pub(crate) fn check_all<'v>(
        self,
        field: &str,
        values: impl IntoIterator<Item = &'v String>,
    ) -> Result<(), AttributeError> {
        values.into_iter().try_for_each(|value| {
            self.check(value).map_err(|rule| AttributeError {
                field: field.to_owned(),
                value: value.chars().take(LONGEST).collect(),
                rule,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_attribute_may_be() {
        let long = "x".repeat(64);
        for (attribute, good, bad) in [
            (Attribute::Name, &["EU", "fi-hel-1", "x"][..], &["", " EU", "E U", "e,u", "\u{e4}", "a_b", &long][..]),
            (Attribute::Country, &["FI", "fi", "Us"], &["", " CN", "CN ", "USA", "F", "F1", "\u{e4}", "ääx"]),
            (
                Attribute::Certification,
                &["c5", "iso27001:2022", "ISO/IEC-27001"],
                &["", "SOC 2", "a,b", "\u{e4}", &long],
            ),
        ] {
            for value in good {
                assert_eq!(attribute.check(value), Ok(()), "{attribute:?} {value:?}");
            }
            for value in bad {
                assert!(attribute.check(value).is_err(), "{attribute:?} {value:?}");
            }
        }
    }

    #[test]
    fn a_fault_names_field_and_value() {
        let values = ["US".to_owned(), " CN".to_owned()];
        let fault = Attribute::Country.check_all("deny.countries", &values).unwrap_err();
        assert_eq!(
            (fault.field.as_str(), fault.to_string().as_str()),
            ("deny.countries", "\" CN\" must be two letters, as ISO 3166-1 alpha-2 has them")
        );
    }
}
