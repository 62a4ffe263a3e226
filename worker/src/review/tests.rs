//! What a review decides, as tables.
use super::*;
use s3gateway_config::PlaceRule;
use s3gateway_s3::{LogicalBucket, PhysicalBucket, Versioning};
use s3gateway_store::{DrainLook, DrainState, MappingState, TenantId, Writes};

fn id(id: &str) -> BackendId {
    BackendId::parse(id).unwrap()
}

fn ids(list: &str) -> Vec<BackendId> {
    list.split_whitespace().map(id).collect()
}

/// Two backends in Finland, two in Germany, one in the States.
fn places() -> Vec<(BackendId, Place)> {
    let place = |zone: &str, country: &str| Place {
        zone: zone.into(),
        region: zone.into(),
        country: country.into(),
        jurisdiction: if country == "US" { "US".into() } else { "EU".into() },
        provider: "p".into(),
        certifications: Vec::new(),
    };
    let all = [("hel-1", "FI"), ("hel-2", "FI"), ("fra-1", "DE"), ("fra-2", "DE"), ("iad-1", "US")];
    all.iter().map(|(zone, country)| (id(zone), place(zone, country))).collect()
}

fn physical() -> PhysicalBucket {
    PhysicalBucket::parse("s3gw-x").unwrap()
}

fn route(placement: &str, draining: &str, replica_count: u32, denied: &str) -> Route {
    let countries = denied.split_whitespace().map(str::to_owned).collect();
    let deny = PlaceRule { countries, ..PlaceRule::default() };
    Route {
        bucket: BucketId::new("b"),
        tenant: TenantId::new("t"),
        name: LogicalBucket::parse("photos").unwrap(),
        home: ids(placement)[0].clone(),
        epoch: 1,
        placement: ids(placement),
        draining: ids(draining),
        arriving: None,
        physical: Vec::new(),
        replica_count,
        write_quorum: 1,
        tenant_policy: ResidencyPolicy::default(),
        bucket_policy: ResidencyPolicy { deny, ..ResidencyPolicy::default() },
        location: String::new(),
        unwalked: false,
        versioning: Versioning::Never,
        writes: Writes::Taken,
        has_moved_versions: false,
        has_stranded: false,
        created_at: 0,
    }
}

fn drain(backend: &str, reason: DrainReason, count_before: u32) -> Drain {
    Drain {
        id: "d".into(),
        bucket: BucketId::new("b"),
        tenant: "acme".into(),
        name: "photos".into(),
        backend: id(backend),
        physical: physical(),
        reason,
        remark: String::new(),
        count_before,
        state: DrainState::Draining,
        begun_at: 1,
        proven_at: None,
        ended_at: None,
        free_from: 1,
        look: DrainLook::default(),
        found: None,
        keys: None,
    }
}

/// Placement, count and drains that a review comes to, and whether the home must be left.
fn reviewed(route: &Route, drains: &[Drain], locations: &str, retiring: &str) -> (String, bool) {
    reviewed_beside(route, drains, locations, retiring, "")
}

/// The same while a migration goes on from or to these.
fn reviewed_beside(route: &Route, drains: &[Drain], locations: &str, retiring: &str, migrated: &str) -> (String, bool) {
    let mapping = |backend: &BackendId, state| Mapping { backend: backend.clone(), physical: physical(), state };
    let mut mapped: Vec<Mapping> = route.placement.iter().map(|id| mapping(id, MappingState::Active)).collect();
    mapped.extend(route.draining.iter().map(|id| mapping(id, MappingState::Draining)));
    let known = Known { places: places(), retiring: ids(retiring) };
    let facts = Facts { route, mapped: &mapped, drains, locations, migrated: &ids(migrated), known: &known };
    let Reviewed { change, leave } = decide(&facts);
    let text = change.map(|change| {
        let placement: Vec<&str> = change.placement.iter().map(BackendId::as_str).collect();
        let drained: Vec<String> =
            change.drained.iter().map(|(id, reason, remark)| format!("{id} {} {remark}", reason.as_str())).collect();
        format!("{} x{}; {}", placement.join(" "), change.replica_count, drained.join(", "))
    });
    (text.unwrap_or_default(), leave)
}

#[test]
fn no_replica_is_replaced_by_where_the_bucket_is_migrated() {
    for (migrated, want) in [
        ("", "hel-1 fra-2 x2; fra-1 retired replaced by fra-2"),
        ("hel-1 hel-2", "hel-1 fra-2 x2; fra-1 retired replaced by fra-2"),
        ("hel-1 fra-2", "hel-1 hel-2 x2; fra-1 retired replaced by hel-2"),
    ] {
        let got = reviewed_beside(&route("hel-1 fra-1", "", 2, ""), &[], "FI,DE", "fra-1", migrated);
        assert_eq!(got, (want.to_owned(), false), "{migrated}");
    }
}

#[test]
fn a_replica_that_may_not_stay_is_drained_and_replaced_where_the_locations_allow() {
    for (placement, count, denied, locations, retiring, want, leave) in [
        ("hel-1 fra-1", 2, "", "FI,DE", "", "", false),
        ("hel-1 fra-1", 2, "", "FI,DE", "fra-1", "hel-1 fra-2 x2; fra-1 retired replaced by fra-2", false),
        ("hel-1 fra-1", 2, "", "hel-1,DE", "fra-1", "hel-1 fra-2 x2; fra-1 retired replaced by fra-2", false),
        (
            "hel-1 fra-1",
            2,
            "",
            "hel-1,fra-1",
            "fra-1",
            "hel-1 x1; fra-1 retired no other place in hel-1,fra-1: copies reduced from 2 to 1",
            false,
        ),
        ("hel-1 fra-1 fra-2", 2, "", "hel-1,DE", "fra-1", "hel-1 fra-2 x2; fra-1 retired ", false),
        ("hel-1 fra-1", 2, "DE", "hel-1,DE,US", "", "hel-1 iad-1 x2; fra-1 policy replaced by iad-1", false),
        (
            "hel-1 fra-1",
            2,
            "DE",
            "hel-1,DE,US",
            "iad-1",
            "hel-1 x1; fra-1 policy no other place in hel-1,DE,US: copies reduced from 2 to 1",
            false,
        ),
        (
            "hel-1 fra-1 fra-2",
            3,
            "DE",
            "hel-1,DE,FI",
            "",
            "hel-1 hel-2 x2; fra-1 policy replaced by hel-2, fra-2 policy no other place in hel-1,DE,FI: copies reduced from 3 to 2",
            false,
        ),
        ("hel-1 fra-1", 2, "FI", "FI,DE", "", "", true),
        ("hel-1 fra-1", 2, "", "FI,DE", "hel-1", "", true),
        ("hel-1 fra-1", 1, "FI DE", "FI,DE", "", "hel-1 x1; fra-1 policy ", true),
        (
            "hel-1 fra-1",
            2,
            "",
            "not a location",
            "fra-1",
            "hel-1 x1; fra-1 retired no other place in not a location: copies reduced from 2 to 1",
            false,
        ),
    ] {
        let got = reviewed(&route(placement, "", count, denied), &[], locations, retiring);
        assert_eq!(got, (want.to_owned(), leave), "{placement} {denied} {locations} {retiring}");
    }
}

#[test]
fn what_left_for_a_reason_that_holds_no_more_comes_back() {
    use DrainReason::{Placement, Policy, Retired};
    for (reason, denied, retiring, want) in [
        (Retired, "", "", "hel-1 fra-1 x2; "),
        (Retired, "", "fra-1", ""),
        (Policy, "", "", "hel-1 fra-1 x2; "),
        (Policy, "DE", "", ""),
        (Policy, "", "fra-1", ""),
        (Placement, "", "", ""),
    ] {
        let drains = [drain("fra-1", reason, 2)];
        let got = reviewed(&route("hel-1", "fra-1", 1, denied), &drains, "FI,DE", retiring);
        assert_eq!(got.0, want, "{reason:?} {denied} {retiring}");
    }
    let proven = reviewed(&route("hel-1", "", 1, ""), &[drain("fra-1", Retired, 2)], "FI,DE", "");
    assert_eq!(proven.0, "", "it is about to be dropped");
}
