//! What can go wrong between the gateway and its stores, cut by what a caller can do about it.

/// A store's refusal.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing there under that name or id.
    #[error("not found")]
    NotFound,
    /// The name or id is taken; the text says what.
    #[error("{0} exists already")]
    Conflict(&'static str),
    /// The input breaks a rule of the store; the text names field and rule.
    #[error("{0}")]
    Invalid(String),
    /// The store cannot be asked now.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another write of the key is in flight, and one of the two must be alone; it is over soon.
    #[error("another write of the key is in flight")]
    Busy,
    /// A stored secret or row cannot be read: wrong master key or damage.
    #[error("stored data cannot be read: {0}")]
    Corrupt(&'static str),
}

impl From<sqlx::Error> for StoreError {
    /// A broken reference means that the row referred to is gone; whatever is not about data is unavailability.
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt("a column"),
            sqlx::Error::Database(refusal) if refusal.is_foreign_key_violation() => Self::NotFound,
            sqlx::Error::Database(refusal) if refusal.is_unique_violation() => Self::Conflict("the row"),
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}
