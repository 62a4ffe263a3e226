//! Why a command ends without success, as the operator reads it.
use std::fmt;

/// A message for standard error and an exit code.
#[derive(Debug)]
pub struct Failure {
    /// One or more lines, no secrets.
    pub message: String,
    /// 1 for a fault while running, 2 for wrong input.
    pub code: u8,
}

impl Failure {
    /// A fault while running.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: format!("s3gateway: {}", message.into()), code: 1 }
    }
    /// Arguments or configuration that cannot be used; shown as they are.
    pub fn of_input(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }
    /// A fault with what was being done.
    pub fn while_doing(what: &str, error: &dyn std::error::Error) -> Self {
        let mut text = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(inner) = cause {
            text.push_str(&format!(": {inner}"));
            cause = inner.source();
        }
        Self::new(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Adds what was being done to an error.
pub trait During<T> {
    /// Turns an error into a [`Failure`].
    ///
    /// # Errors
    /// Where `self` is one.
    fn during(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: std::error::Error> During<T> for Result<T, E> {
    fn during(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::while_doing(what, &error))
    }
}
