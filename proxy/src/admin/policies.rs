//! Residency policies as operators give them: refused where they could hold back nothing, questioned where they name
//! no place.
use super::{input::Shared, problem::Problem};
use s3gateway_config::ResidencyPolicy;
use s3gateway_filters::residency;

/// The policy, if every value in it can be a place's. `under` stands before the field at fault.
///
/// # Errors
/// 422 with the list and the value.
pub(super) fn taken(policy: ResidencyPolicy, under: &str) -> Result<ResidencyPolicy, Problem> {
    match policy.check() {
        Ok(()) => Ok(policy),
        Err(error) => Err(Problem::field(format!("{under}{}", error.field), error.to_string())),
    }
}

/// What the policy names and no backend is or holds. It may be meant so, as a ban that comes before the backend does.
pub(super) async fn doubts(state: &Shared, policy: &ResidencyPolicy) -> Result<Vec<String>, Problem> {
    let places: Vec<_> = state.metadata.backends().await?.into_iter().map(|backend| backend.place).collect();
    let unmatched = residency::unmatched(policy, &places).into_iter();
    Ok(unmatched.map(|(rule, value)| format!("{rule}: '{value}' is true of no backend")).collect())
}
