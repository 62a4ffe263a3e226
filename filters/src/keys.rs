//! Whether a backend can hold a key under exactly its name; asked before anything is stored.
use s3gateway_config::KeyRule;
use s3gateway_s3::{ObjectKey, S3Code, S3Error};

/// Checks a key against what the bucket's home can hold.
///
/// # Errors
/// `InvalidArgument` where the home would store the key under another name or not at all.
pub fn check(rule: KeyRule, key: &ObjectKey) -> Result<(), S3Error> {
    if rule.holds(key.as_str()) {
        return Ok(());
    }
    Err(S3Code::InvalidArgument.because(
        "This bucket's home backend cannot hold this key: it keeps keys as file paths, so a key has at most 105 bytes, no control characters, and no segment between slashes that is empty, '.' or '..'.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_path_backend_refuses_what_it_cannot_keep() {
        let (longest, long) = ("x".repeat(105), "x".repeat(106));
        for (key, held) in [
            ("a/b", true),
            ("ä +%&", true),
            ("...", true),
            ("a//b", false),
            ("../x", false),
            ("a/./b", false),
            ("a/", false),
            ("/a", false),
            ("a\0b", false),
            ("a\tb", false),
            (longest.as_str(), true),
            (long.as_str(), false),
        ] {
            let key = ObjectKey::parse(key).unwrap();
            assert_eq!(
                check(KeyRule::FilePath, &key).map_err(|e| e.code),
                held.then_some(()).ok_or(S3Code::InvalidArgument),
                "{key:?}"
            );
            assert_eq!(check(KeyRule::Any, &key).is_ok(), !key.as_str().contains('\0'), "{key:?}");
        }
    }
}
