//! The ways to get the protocol wrong that the model must catch.

/// A way to get the protocol wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    NoIntent,
    AnswerBeforeCommit,
    ClearIgnoresSequence,
    ClearIgnoresLeases,
    /// Design section 6 read literally: «if the sequence is unchanged and no lease is alive».
    ClearForgetsExpiredLeases,
    ClearIgnoresClaims,
    WriteLandsAfterLease,
    CopyLandsAfterClaim,
    /// A job of the fallback is cleared without the primary being marked first.
    FallbackClearsAlone,
    /// After a restart the walk does not wait for what only the server before it knew of.
    WalkIsEarly,
    /// A claim of before the restarted server has settled clears its key after that.
    SettlesBesideClaims,
}
