//! What one look at all copies of a key has come to: a line for the job history, or the failure that the key goes on by.
//! Invariant: a key is given up by what one place says only when no other place is merely away.
use super::{ConvergeError, Place, Scene};
use crate::plan::Action;
use s3gateway_store::ObjectCopy;

/// One line for the job history; or the failure that matters most.
pub(super) fn sum_up(
    scene: &Scene<'_>,
    places: &[Place],
    results: Vec<Result<Option<ObjectCopy>, ConvergeError>>,
) -> Result<String, ConvergeError> {
    let done = |place: &Place| {
        // Somebody's own object, or one that landed late: that it is gone is not to be silent.
        let of_what =
            if place.action == Action::Delete && place.recorded.is_none() { " of what was not recorded" } else { "" };
        format!("{} {}{of_what}", place.id, <&str>::from(&place.action))
    };
    let mut line: Vec<String> = vec![match scene.object {
        Some(_) => format!("{} home", scene.route.home),
        None => format!("{} absent", scene.route.home),
    }];
    line.extend(places.iter().map(done));
    match results.into_iter().filter_map(Result::err).min_by_key(rank) {
        Some(error) => Err(error),
        None => Ok(line.join(", ")),
    }
}

/// A lost claim first, then a change, then what passes by itself, then a refusal, which is tried for a while, and last what
/// can never work: a place that is only away must get its copy, whatever another says.
fn rank(error: &ConvergeError) -> u8 {
    match error {
        ConvergeError::LostClaim => 0,
        ConvergeError::Fenced | ConvergeError::OutOfService => 1,
        ConvergeError::Changed => 2,
        ConvergeError::Store(_) => 3,
        ConvergeError::NotNow(..) => 4,
        ConvergeError::Unavailable(_) => 5,
        ConvergeError::Large => 6,
        ConvergeError::Refused(_) => 7,
        ConvergeError::Impossible(_) => 8,
        ConvergeError::Stays => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::super::NotNow;
    use super::*;
    use s3gateway_store::StoreError;
    use std::time::Duration;

    #[test]
    fn a_place_that_is_only_away_counts_before_one_that_says_no() {
        let says_no = || [ConvergeError::Refused("no".to_owned()), ConvergeError::Impossible("never".to_owned())];
        let passes = [
            ConvergeError::Unavailable("away".to_owned()),
            ConvergeError::NotNow("resting".to_owned(), NotNow::Resting(Duration::ZERO)),
            ConvergeError::Store(StoreError::Busy),
            ConvergeError::Changed,
        ];
        for passing in &passes {
            for no in &says_no() {
                assert!(rank(passing) < rank(no), "{passing} {no}");
                assert!(rank(no) < rank(&ConvergeError::Stays), "{no}");
            }
        }
        let [refused, impossible] = says_no();
        assert!(rank(&refused) < rank(&impossible), "a refusal is tried for a while");
    }
}
