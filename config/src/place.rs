//! Where a backend is: zone inside region inside country inside jurisdiction, and who runs it.
use crate::attribute::{Attribute, AttributeError};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The operator's name for a backend: 1 to 32 of `a-z 0-9 -`, first and last alphanumeric.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackendId(Arc<str>);

/// Ends the id of a twin; no operator's name for a backend has it.
const TWIN: char = '~';

/// A place as an operator describes it. All parts are lower-case on comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Smallest part, e.g. `fi-hel-uc-1`.
    pub zone: String,
    /// E.g. `fi-hel`.
    pub region: String,
    /// ISO 3166-1 alpha-2, e.g. `FI`.
    pub country: String,
    /// E.g. `EU`.
    pub jurisdiction: String,
    /// Who runs it, e.g. `upcloud`.
    pub provider: String,
    /// Certifications held, e.g. `iso27001`, `c5`.
    #[serde(default)]
    pub certifications: Vec<String>,
}

/// Why a text is no backend id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a backend id is 1 to 32 of a-z, 0-9 and '-', and begins and ends with a letter or digit")]
pub struct PlaceError;

impl BackendId {
    /// Parses an id.
    ///
    /// # Errors
    /// [`PlaceError`] where a rule is broken.
    pub fn parse(id: &str) -> Result<Self, PlaceError> {
        let ok = (1..=32).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !id.starts_with('-')
            && !id.ends_with('-');
        if ok { Ok(Self(id.into())) } else { Err(PlaceError) }
    }
    /// Parses an id that a store has kept: a backend's, or that of a twin.
    ///
    /// # Errors
    /// [`PlaceError`] where it is neither.
    pub fn parse_kept(id: &str) -> Result<Self, PlaceError> {
        match id.strip_suffix(TWIN) {
            Some(real) => Self::parse(real).map(|real| real.twin()),
            None => Self::parse(id),
        }
    }
    /// The id under which a second physical bucket of one logical bucket on the same backend is known while the bucket is
    /// migrated from one to the other. It is the same place, no backend can be called so, and the twin of a twin is itself.
    #[must_use]
    pub fn twin(&self) -> Self {
        if self.is_twin() { self.clone() } else { Self(format!("{self}{TWIN}").into()) }
    }
    /// Whether it is a twin's.
    pub fn is_twin(&self) -> bool {
        self.0.ends_with(TWIN)
    }
    /// The backend itself.
    #[must_use]
    pub fn real(&self) -> Self {
        self.0.strip_suffix(TWIN).map_or_else(|| self.clone(), |real| Self(real.into()))
    }
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl TryFrom<String> for BackendId {
    type Error = PlaceError;
    fn try_from(id: String) -> Result<Self, PlaceError> {
        Self::parse(&id)
    }
}
impl From<BackendId> for String {
    fn from(id: BackendId) -> Self {
        id.0.to_string()
    }
}
impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Place {
    /// Whether a location of a placement (`fi-hel-uc-1`, `fi-hel`, `FI`, `EU`; any case) names or contains this place.
    pub fn is_in(&self, location: &str) -> bool {
        [&self.zone, &self.region, &self.country, &self.jurisdiction]
            .iter()
            .any(|part| part.eq_ignore_ascii_case(location))
    }

    /// Checks a place that an operator describes anew.
    ///
    /// # Errors
    /// The first attribute that a policy could not name.
    pub fn check(&self) -> Result<(), AttributeError> {
        for (field, value) in [
            ("zone", &self.zone),
            ("region", &self.region),
            ("jurisdiction", &self.jurisdiction),
            ("provider", &self.provider),
        ] {
            Attribute::Name.check_all(field, [value])?;
        }
        Attribute::Country.check_all("country", [&self.country])?;
        Attribute::Certification.check_all("certifications", &self.certifications)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_described_in_words_that_a_policy_can_name() {
        let good = Place {
            zone: "fi-hel-1".into(),
            region: "fi-hel".into(),
            country: "FI".into(),
            jurisdiction: "EU".into(),
            provider: "upcloud".into(),
            certifications: vec!["c5".into(), "iso27001:2022".into()],
        };
        assert_eq!(good.check(), Ok(()));
        for (bad, field) in [
            (Place { zone: String::new(), ..good.clone() }, "zone"),
            (Place { region: "fi,hel".into(), ..good.clone() }, "region"),
            (Place { country: "FIN".into(), ..good.clone() }, "country"),
            (Place { jurisdiction: " EU".into(), ..good.clone() }, "jurisdiction"),
            (Place { provider: "up cloud".into(), ..good.clone() }, "provider"),
            (Place { certifications: vec!["c5".into(), String::new()], ..good.clone() }, "certifications"),
        ] {
            assert_eq!(bad.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn a_twin_is_the_same_backend_under_an_id_that_nobody_can_give() {
        let id = BackendId::parse("fi-hel-1").unwrap();
        let twin = id.twin();
        assert_eq!((twin.as_str(), twin.is_twin(), id.is_twin()), ("fi-hel-1~", true, false));
        assert_eq!((twin.twin(), twin.real(), id.real()), (twin.clone(), id.clone(), id.clone()));
        assert_eq!((BackendId::parse_kept("fi-hel-1~"), BackendId::parse_kept("fi-hel-1")), (Ok(twin), Ok(id)));
        for bad in ["fi-hel-1~", "~", "a~b", "a~~"] {
            assert_eq!(BackendId::parse(bad), Err(PlaceError), "{bad}");
        }
        for bad in ["~", "a~b", "a~~", "-~"] {
            assert_eq!(BackendId::parse_kept(bad), Err(PlaceError), "{bad}");
        }
    }
}
