//! A residency policy as data: what a tenant, tightened by a bucket, allows of a place. The decision is in `filters`.
use crate::attribute::{Attribute, AttributeError};
use serde::{Deserialize, Serialize};

/// Attributes of places; an empty list says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlaceRule {
    /// E.g. `EU`.
    pub jurisdictions: Vec<String>,
    /// ISO 3166-1 alpha-2, in any case.
    pub countries: Vec<String>,
    /// E.g. `aws`.
    pub providers: Vec<String>,
    /// E.g. `c5`; in `allow` the place must hold all of them.
    pub certifications: Vec<String>,
}

/// Where data may be. Deny wins; an empty policy allows every place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResidencyPolicy {
    /// A place must match every non-empty list here.
    pub allow: PlaceRule,
    /// A place must match nothing here.
    pub deny: PlaceRule,
    /// Whether bytes may pass through a gateway outside the allowed places. Default `true`.
    pub transit_outside: Transit,
}

impl ResidencyPolicy {
    /// Checks a policy that an operator gives.
    ///
    /// # Errors
    /// The first value that no place can hold, with the list that it is in.
    pub fn check(&self) -> Result<(), AttributeError> {
        for (verb, rule) in [("allow", &self.allow), ("deny", &self.deny)] {
            for (attribute, noun, values) in [
                (Attribute::Name, "jurisdictions", &rule.jurisdictions),
                (Attribute::Country, "countries", &rule.countries),
                (Attribute::Name, "providers", &rule.providers),
                (Attribute::Certification, "certifications", &rule.certifications),
            ] {
                attribute.check_all(&format!("{verb}.{noun}"), values)?;
            }
        }
        Ok(())
    }
}

/// Whether transit outside the allowed places is permitted; a type so that the default is `true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Transit(pub bool);

impl Default for Transit {
    fn default() -> Self {
        Self(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_of_a_policy_is_checked() {
        let faulty = |rule: PlaceRule| {
            let allow = ResidencyPolicy { allow: rule.clone(), ..ResidencyPolicy::default() };
            let deny = ResidencyPolicy { deny: rule, ..ResidencyPolicy::default() };
            [allow, deny].map(|policy| policy.check().map_err(|error| error.field))
        };
        let list = |value: &str| vec!["c5".to_owned(), value.to_owned()];
        let countries = |of: &[&str]| of.iter().map(|c| (*c).to_owned()).collect();
        for (rule, noun) in [
            (PlaceRule { jurisdictions: list("E U"), ..PlaceRule::default() }, "jurisdictions"),
            (PlaceRule { countries: countries(&["US", " CN"]), ..PlaceRule::default() }, "countries"),
            (PlaceRule { countries: countries(&["USA"]), ..PlaceRule::default() }, "countries"),
            (PlaceRule { providers: list(""), ..PlaceRule::default() }, "providers"),
            (PlaceRule { certifications: list("iso 27001"), ..PlaceRule::default() }, "certifications"),
        ] {
            assert_eq!(faulty(rule), [Err(format!("allow.{noun}")), Err(format!("deny.{noun}"))]);
        }
        let good = PlaceRule {
            jurisdictions: list("EU"),
            countries: countries(&["FI", "de"]),
            providers: list("up-cloud"),
            certifications: list("iso27001:2022"),
        };
        assert_eq!(faulty(good), [Ok(()), Ok(())]);
        assert_eq!(ResidencyPolicy::default().check(), Ok(()));
    }
}
