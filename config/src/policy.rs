//! A residency policy as data: what a tenant, tightened by a bucket, allows of a place. The decision is in `filters`.
use serde::{Deserialize, Serialize};

/// Attributes of places; an empty list says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlaceRule {
    /// E.g. `EU`.
    pub jurisdictions: Vec<String>,
    /// ISO 3166-1 alpha-2.
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

/// Whether transit outside the allowed places is permitted; a type so that the default is `true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Transit(pub bool);

impl Default for Transit {
    fn default() -> Self {
        Self(true)
    }
}
