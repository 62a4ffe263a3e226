//! From a LocationConstraint (`fi-hel,de-fra`) to the backends of a bucket, home first.
use s3gateway_config::{BackendId, Place};

/// Locations in one constraint; more than any deployment has places.
const MAX_LOCATIONS: usize = 32;
/// Bytes of one location.
const MAX_LOCATION: usize = 64;

/// Why a LocationConstraint names no placement; each is S3's `InvalidLocationConstraint`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// No backend is there.
    #[error("there is no backend in '{0}'")]
    Unknown(String),
    /// A location is named twice.
    #[error("a location is named twice")]
    Duplicate,
    /// An empty element, too many, too long, or characters that no location has.
    #[error("a placement is a comma-separated list of zones, regions, countries or jurisdictions")]
    Malformed,
}

/// Resolves an ordered, comma-separated list of locations. Each stands for all backends in it, in the order of
/// `backends`; one that an earlier location brought in already is not repeated. Residency is decided afterwards, on
/// every backend of the result.
///
/// # Errors
/// [`PlacementError`]; a list with one fault resolves to nothing.
pub fn resolve(location_constraint: &str, backends: &[(BackendId, Place)]) -> Result<Vec<BackendId>, PlacementError> {
    let locations = parse_locations(location_constraint)?;
    let mut placement: Vec<BackendId> = Vec::new();
    for location in locations {
        let mut known = false;
        for (id, _) in backends.iter().filter(|(_, place)| place.is_in(location)) {
            known = true;
            if !placement.contains(id) {
                placement.push(id.clone());
            }
        }
        if !known {
            return Err(PlacementError::Unknown(location.to_owned()));
        }
    }
    Ok(placement)
}

/// The backends of a placement, other than the home, that hold a copy where `count` are wanted, the home's included: the first
/// that policy allows.
pub fn replicas<'p>(
    placement: &'p [BackendId],
    home: &BackendId,
    count: u32,
    is_allowed: impl Fn(&BackendId) -> bool,
) -> Vec<&'p BackendId> {
    let others = usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX);
    placement.iter().filter(|id| *id != home && is_allowed(id)).take(others).collect()
}

fn parse_locations(list: &str) -> Result<Vec<&str>, PlacementError> {
    let well_formed = |location: &str| {
        (1..=MAX_LOCATION).contains(&location.len())
            && location.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let mut locations: Vec<&str> = Vec::new();
    for location in list.split(',') {
        if !well_formed(location) || locations.len() == MAX_LOCATIONS {
            return Err(PlacementError::Malformed);
        }
        if locations.iter().any(|seen| seen.eq_ignore_ascii_case(location)) {
            return Err(PlacementError::Duplicate);
        }
        locations.push(location);
    }
    Ok(locations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backends() -> Vec<(BackendId, Place)> {
        let place = |zone: &str, region: &str, country: &str, jurisdiction: &str| Place {
            zone: zone.into(),
            region: region.into(),
            country: country.into(),
            jurisdiction: jurisdiction.into(),
            provider: "p".into(),
            certifications: vec![],
        };
        [
            ("hel-1", place("fi-hel-1", "fi-hel", "FI", "EU")),
            ("fra-1", place("de-fra-1", "de-fra", "DE", "EU")),
            ("hel-2", place("fi-hel-2", "fi-hel", "FI", "EU")),
            ("iad-1", place("us-iad-1", "us-iad", "US", "US")),
        ]
        .into_iter()
        .map(|(id, place)| (BackendId::parse(id).unwrap(), place))
        .collect()
    }

    #[test]
    fn tr_20_a_location_constraint_resolves_in_order_or_not_at_all() {
        let thousand = vec!["fi-hel"; 1000].join(",");
        let many = (0..33).map(|n| format!("x{n}")).collect::<Vec<_>>().join(",");
        let long = "a".repeat(65);
        let unknown = |name: &str| Err(PlacementError::Unknown(name.to_owned()));
        for (constraint, want) in [
            ("fi-hel,de-fra", Ok(vec!["hel-1", "hel-2", "fra-1"])),
            ("de-fra,fi-hel", Ok(vec!["fra-1", "hel-1", "hel-2"])),
            ("FI-HEL-2", Ok(vec!["hel-2"])),
            ("fi-hel-2,EU", Ok(vec!["hel-2", "hel-1", "fra-1"])),
            ("eu", Ok(vec!["hel-1", "fra-1", "hel-2"])),
            ("us", Ok(vec!["iad-1"])),
            ("mars", unknown("mars")),
            ("fi-hel,mars", unknown("mars")),
            ("hel-1", unknown("hel-1")),
            ("", Err(PlacementError::Malformed)),
            ("fi-hel,,de-fra", Err(PlacementError::Malformed)),
            ("fi-hel,", Err(PlacementError::Malformed)),
            ("fi-hel, de-fra", Err(PlacementError::Malformed)),
            ("../", Err(PlacementError::Malformed)),
            ("http://backend", Err(PlacementError::Malformed)),
            (long.as_str(), Err(PlacementError::Malformed)),
            (many.as_str(), unknown("x0").or(Err(PlacementError::Malformed))),
            ("fi-hel,FI-hel", Err(PlacementError::Duplicate)),
            (thousand.as_str(), Err(PlacementError::Duplicate)),
        ] {
            let got = resolve(constraint, &backends());
            let got = got.as_ref().map(|ids| ids.iter().map(BackendId::as_str).collect::<Vec<_>>());
            let want = want.as_ref().map(|ids| ids.to_vec());
            assert_eq!(got, want, "{constraint}");
        }
    }

    #[test]
    fn copies_are_at_the_first_places_that_policy_allows() {
        let id = |id: &str| BackendId::parse(id).unwrap();
        let placement = ["a", "b", "c", "d"].map(id);
        for (home, count, denied, want) in [
            ("a", 1, "", &[][..]),
            ("a", 2, "", &["b"]),
            ("a", 3, "b", &["c", "d"]),
            ("a", 9, "c", &["b", "d"]),
            ("c", 2, "", &["a"]),
            ("a", 0, "", &[]),
        ] {
            let found = replicas(&placement, &id(home), count, |other| other.as_str() != denied);
            let found: Vec<&str> = found.into_iter().map(BackendId::as_str).collect();
            assert_eq!(found, want, "{home} {count} without {denied}");
        }
    }
}
