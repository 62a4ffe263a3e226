//! Whether data may be in a place: the tenant's policy, tightened by the bucket's. Deny wins; an empty list says nothing.
use s3gateway_config::{Place, ResidencyPolicy};
use serde::Serialize;
use std::{fmt, slice::from_ref};

/// Proof that a policy allows a place. Made only here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed(());

/// Which list of a policy decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleId {
    /// `deny.jurisdictions` names it.
    DenyJurisdiction,
    /// `deny.countries` names it.
    DenyCountry,
    /// `deny.providers` names it.
    DenyProvider,
    /// `deny.certifications` names one that it holds.
    DenyCertification,
    /// `allow.jurisdictions` does not name it.
    AllowJurisdiction,
    /// `allow.countries` does not name it.
    AllowCountry,
    /// `allow.providers` does not name it.
    AllowProvider,
    /// `allow.certifications` names one that it does not hold.
    AllowCertification,
}

/// Whose policy decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The tenant's.
    Tenant,
    /// The bucket's, which can only tighten.
    Bucket,
}

/// The first rule that a place breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Denied {
    /// Which list.
    pub rule: RuleId,
    /// Whose policy.
    pub scope: Scope,
    /// Which place.
    pub place: Box<Place>,
}

/// One rule that says something, and what it says of a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which list.
    pub rule: RuleId,
    /// Whose policy.
    pub scope: Scope,
    /// What the policy lists there.
    pub listed: Vec<String>,
    /// What the place is or holds.
    pub found: Vec<String>,
    /// Whether the place passes this rule.
    pub passes: bool,
}

/// Decides whether data may be stored in `place`.
///
/// # Errors
/// [`Denied`] with the first rule that the place breaks; deny rules are asked before allow rules, the tenant before the
/// bucket.
pub fn decide(tenant: &ResidencyPolicy, bucket: &ResidencyPolicy, place: &Place) -> Result<Allowed, Denied> {
    match rules(tenant, bucket, place).find(|rule| !rule.passes()) {
        None => Ok(Allowed(())),
        Some(broken) => Err(Denied { rule: broken.id, scope: broken.scope, place: Box::new(place.clone()) }),
    }
}

/// Decides whether bytes may pass through a gateway at `here`: anywhere, unless a policy forbids transit outside.
///
/// # Errors
/// [`Denied`] as [`decide`] would for `here`.
pub fn decide_transit(tenant: &ResidencyPolicy, bucket: &ResidencyPolicy, here: &Place) -> Result<Allowed, Denied> {
    if tenant.transit_outside.0 && bucket.transit_outside.0 { Ok(Allowed(())) } else { decide(tenant, bucket, here) }
}

/// Every rule that says something, in the order in which [`decide`] asks.
pub fn explain(tenant: &ResidencyPolicy, bucket: &ResidencyPolicy, place: &Place) -> Vec<Finding> {
    rules(tenant, bucket, place)
        .map(|rule| Finding {
            rule: rule.id,
            scope: rule.scope,
            listed: rule.listed.to_vec(),
            found: rule.found.to_vec(),
            passes: rule.passes(),
        })
        .collect()
}

/// What a policy lists and none of the places is or holds: a country that no backend is in, or a slip of the pen.
pub fn unmatched<'p>(policy: &'p ResidencyPolicy, places: &[Place]) -> Vec<(RuleId, &'p str)> {
    let lists = denied(policy).into_iter().chain(allowed(policy));
    let values = lists.flat_map(|(rule, listed)| listed.iter().map(move |value| (rule, value.as_str())));
    values.filter(|(rule, value)| !places.iter().any(|place| holds(rule.found(place), value))).collect()
}

impl Denied {
    /// Why, for the client and the audit log; holds no name of a backend.
    pub fn message(&self) -> String {
        let (attribute, value) = match self.rule {
            RuleId::DenyJurisdiction | RuleId::AllowJurisdiction => ("jurisdiction", self.place.jurisdiction.clone()),
            RuleId::DenyCountry | RuleId::AllowCountry => ("country", self.place.country.clone()),
            RuleId::DenyProvider | RuleId::AllowProvider => ("provider", self.place.provider.clone()),
            RuleId::DenyCertification | RuleId::AllowCertification => {
                ("certifications", self.place.certifications.join(", "))
            }
        };
        format!(
            "The {} residency policy does not permit data in {} (rule {}: {attribute} '{value}').",
            match self.scope {
                Scope::Tenant => "tenant's",
                Scope::Bucket => "bucket's",
            },
            self.place.region,
            self.rule
        )
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DenyJurisdiction => "deny.jurisdictions",
            Self::DenyCountry => "deny.countries",
            Self::DenyProvider => "deny.providers",
            Self::DenyCertification => "deny.certifications",
            Self::AllowJurisdiction => "allow.jurisdictions",
            Self::AllowCountry => "allow.countries",
            Self::AllowProvider => "allow.providers",
            Self::AllowCertification => "allow.certifications",
        })
    }
}

impl RuleId {
    /// What of a place the rule is about.
    fn found(self, place: &Place) -> &[String] {
        match self {
            Self::DenyJurisdiction | Self::AllowJurisdiction => from_ref(&place.jurisdiction),
            Self::DenyCountry | Self::AllowCountry => from_ref(&place.country),
            Self::DenyProvider | Self::AllowProvider => from_ref(&place.provider),
            Self::DenyCertification | Self::AllowCertification => &place.certifications,
        }
    }
}

/// In any case. White space around a listed value is none of it: else a value that was stored with some would deny
/// nothing.
fn holds(found: &[String], listed: &str) -> bool {
    found.iter().any(|found| found.eq_ignore_ascii_case(listed.trim()))
}

/// One non-empty list of a policy beside what it is compared with.
struct Rule<'p> {
    id: RuleId,
    scope: Scope,
    listed: &'p [String],
    found: &'p [String],
}

impl Rule<'_> {
    fn passes(&self) -> bool {
        let held = |listed: &String| holds(self.found, listed);
        match self.id {
            RuleId::DenyJurisdiction | RuleId::DenyCountry | RuleId::DenyProvider | RuleId::DenyCertification => {
                !self.listed.iter().any(held)
            }
            RuleId::AllowJurisdiction | RuleId::AllowCountry | RuleId::AllowProvider => self.listed.iter().any(held),
            // Certifications add up: the place must hold every one of them.
            RuleId::AllowCertification => self.listed.iter().all(held),
        }
    }
}

fn rules<'p>(
    tenant: &'p ResidencyPolicy,
    bucket: &'p ResidencyPolicy,
    place: &'p Place,
) -> impl Iterator<Item = Rule<'p>> {
    let scopes = [(Scope::Tenant, tenant), (Scope::Bucket, bucket)];
    let scoped = move |lists: fn(&'p ResidencyPolicy) -> Lists<'p>| {
        scopes.into_iter().flat_map(move |(scope, policy)| lists(policy).map(|(id, listed)| (scope, id, listed)))
    };
    scoped(denied).chain(scoped(allowed)).filter(|(_, _, listed)| !listed.is_empty()).map(|(scope, id, listed)| Rule {
        id,
        scope,
        listed,
        found: id.found(place),
    })
}

type Lists<'p> = [(RuleId, &'p [String]); 4];

fn denied(policy: &ResidencyPolicy) -> Lists<'_> {
    [
        (RuleId::DenyJurisdiction, &policy.deny.jurisdictions),
        (RuleId::DenyCountry, &policy.deny.countries),
        (RuleId::DenyProvider, &policy.deny.providers),
        (RuleId::DenyCertification, &policy.deny.certifications),
    ]
}

fn allowed(policy: &ResidencyPolicy) -> Lists<'_> {
    [
        (RuleId::AllowJurisdiction, &policy.allow.jurisdictions),
        (RuleId::AllowCountry, &policy.allow.countries),
        (RuleId::AllowProvider, &policy.allow.providers),
        (RuleId::AllowCertification, &policy.allow.certifications),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3gateway_config::{PlaceRule, Transit};

    fn place(region: &str, country: &str, jurisdiction: &str, provider: &str, certifications: &[&str]) -> Place {
        Place {
            zone: format!("{region}-1"),
            region: region.into(),
            country: country.into(),
            jurisdiction: jurisdiction.into(),
            provider: provider.into(),
            certifications: certifications.iter().map(|c| (*c).to_owned()).collect(),
        }
    }

    fn list(values: &[&str]) -> Vec<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    fn allow(rule: PlaceRule) -> ResidencyPolicy {
        ResidencyPolicy { allow: rule, ..ResidencyPolicy::default() }
    }

    fn deny(rule: PlaceRule) -> ResidencyPolicy {
        ResidencyPolicy { deny: rule, ..ResidencyPolicy::default() }
    }

    #[test]
    fn the_first_broken_rule_is_named_and_deny_wins() {
        let helsinki = place("fi-hel", "FI", "EU", "upcloud", &["iso27001", "C5"]);
        let virginia = place("us-iad", "US", "US", "aws", &[]);
        let none = ResidencyPolicy::default();
        let eu = allow(PlaceRule { jurisdictions: list(&["eu"]), ..PlaceRule::default() });
        let countries = |of: &[&str]| PlaceRule { countries: list(of), ..PlaceRule::default() };
        let certified = |of: &[&str]| PlaceRule { certifications: list(of), ..PlaceRule::default() };
        let providers = |of: &[&str]| PlaceRule { providers: list(of), ..PlaceRule::default() };
        let both = ResidencyPolicy { deny: countries(&["FI"]), ..eu.clone() };
        for (tenant, bucket, place, want) in [
            (&none, &none, &virginia, None),
            (&eu, &none, &helsinki, None),
            (&eu, &none, &virginia, Some((RuleId::AllowJurisdiction, Scope::Tenant))),
            (&none, &eu, &virginia, Some((RuleId::AllowJurisdiction, Scope::Bucket))),
            (&both, &none, &helsinki, Some((RuleId::DenyCountry, Scope::Tenant))),
            (&eu, &deny(countries(&["fi"])), &helsinki, Some((RuleId::DenyCountry, Scope::Bucket))),
            (&eu, &allow(countries(&["US"])), &virginia, Some((RuleId::AllowJurisdiction, Scope::Tenant))),
            (&eu, &allow(countries(&["DE"])), &helsinki, Some((RuleId::AllowCountry, Scope::Bucket))),
            (&deny(providers(&["AWS"])), &none, &virginia, Some((RuleId::DenyProvider, Scope::Tenant))),
            (&allow(providers(&["upcloud", "hetzner"])), &none, &helsinki, None),
            (&allow(providers(&["hetzner"])), &none, &helsinki, Some((RuleId::AllowProvider, Scope::Tenant))),
            (&allow(certified(&["c5", "iso27001"])), &none, &helsinki, None),
            (&allow(certified(&["c5", "hds"])), &none, &helsinki, Some((RuleId::AllowCertification, Scope::Tenant))),
            (&deny(certified(&["c5"])), &none, &helsinki, Some((RuleId::DenyCertification, Scope::Tenant))),
            (&deny(countries(&["CN", " US"])), &none, &virginia, Some((RuleId::DenyCountry, Scope::Tenant))),
        ] {
            let got = decide(tenant, bucket, place);
            let explained = explain(tenant, bucket, place);
            assert_eq!(got.is_ok(), explained.iter().all(|f| f.passes), "{tenant:?} {bucket:?}");
            assert_eq!(got.err().map(|d| (d.rule, d.scope)), want, "{tenant:?} {bucket:?} {place:?}");
        }
    }

    #[test]
    fn what_no_place_is_or_holds_is_named() {
        let places = [place("fi-hel", "FI", "EU", "upcloud", &["C5"]), place("us-iad", "US", "US", "aws", &[])];
        let policy = ResidencyPolicy {
            allow: PlaceRule {
                certifications: list(&["c5", "hds"]),
                providers: list(&["AWS"]),
                ..PlaceRule::default()
            },
            deny: PlaceRule { countries: list(&["us", "UK"]), jurisdictions: list(&["CN"]), ..PlaceRule::default() },
            ..ResidencyPolicy::default()
        };
        let want = [(RuleId::DenyJurisdiction, "CN"), (RuleId::DenyCountry, "UK"), (RuleId::AllowCertification, "hds")];
        assert_eq!(unmatched(&policy, &places), want);
        assert_eq!(unmatched(&policy, &[]).len(), 6);
        assert_eq!(unmatched(&ResidencyPolicy::default(), &places), []);
    }

    #[test]
    fn the_message_names_rule_and_place() {
        let eu = allow(PlaceRule { jurisdictions: list(&["EU"]), ..PlaceRule::default() });
        let denied = decide(&eu, &ResidencyPolicy::default(), &place("us-iad", "US", "US", "aws", &[])).unwrap_err();
        assert_eq!(
            denied.message(),
            "The tenant's residency policy does not permit data in us-iad (rule allow.jurisdictions: jurisdiction 'US')."
        );
    }

    #[test]
    fn transit_is_free_unless_a_policy_forbids_it() {
        let virginia = place("us-iad", "US", "US", "aws", &[]);
        let eu = allow(PlaceRule { jurisdictions: list(&["EU"]), ..PlaceRule::default() });
        let closed = ResidencyPolicy { transit_outside: Transit(false), ..eu.clone() };
        let none = ResidencyPolicy::default();
        assert!(decide_transit(&eu, &none, &virginia).is_ok());
        assert!(decide_transit(&closed, &none, &virginia).is_err());
        let bucket_closes = ResidencyPolicy { transit_outside: Transit(false), ..none.clone() };
        assert!(decide_transit(&eu, &bucket_closes, &virginia).is_err());
        assert!(decide_transit(&none, &bucket_closes, &virginia).is_ok());
    }
}
