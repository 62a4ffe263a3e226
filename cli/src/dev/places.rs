//! The three places that `dev` plays, and the names that clients may give to them.
use s3gateway_config::Place;

/// Ids of the embedded backends with their places, in the order in which placements expand.
pub fn all() -> [(&'static str, Place); 3] {
    [
        ("fi-hel", place("fi-hel", "FI", "EU")),
        ("de-fra", place("de-fra", "DE", "EU")),
        ("us-iad", place("us-iad", "US", "US")),
    ]
}

/// Signing regions: stock clients put the region that they sign for into LocationConstraint, so every location is one.
pub fn signing_regions() -> Vec<String> {
    let mut regions = vec!["us-east-1".to_owned()];
    for (_, place) in all() {
        for name in [place.region, place.zone, place.country, place.jurisdiction] {
            let name = name.to_ascii_lowercase();
            if !regions.contains(&name) {
                regions.push(name);
            }
        }
    }
    regions
}

fn place(region: &str, country: &str, jurisdiction: &str) -> Place {
    Place {
        zone: format!("{region}-1"),
        region: region.into(),
        country: country.into(),
        jurisdiction: jurisdiction.into(),
        provider: "embedded".into(),
        certifications: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_location_is_a_signing_region_once() {
        let want =
            ["us-east-1", "fi-hel", "fi-hel-1", "fi", "eu", "de-fra", "de-fra-1", "de", "us-iad", "us-iad-1", "us"];
        assert_eq!(signing_regions(), want);
    }
}
