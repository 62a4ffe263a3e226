//! What passes between an admin command and whoever typed it: a question before it, its answer, and what of that is a
//! failure.
use super::render::{self, Shape};
use crate::failure::Failure;
use serde_json::Value;
use std::io::{BufRead, ErrorKind, Write};

/// Asks before something that cannot be taken back, and goes on at a yes only.
///
/// # Errors
/// At any other answer, or none.
pub fn confirm(question: &str, input: &mut impl BufRead, out: &mut impl Write) -> Result<(), Failure> {
    let mut answer = String::new();
    let asked = write!(out, "{question} [y/N] ").and_then(|()| out.flush()).and_then(|()| input.read_line(&mut answer));
    match (asked, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Failure::of_input("nothing was done")),
    }
}

/// Writes the answer out, as JSON or for a person.
///
/// # Errors
/// Where it cannot be written; a reader who has seen enough is none, unless there was a secret to be seen.
pub fn show(shape: Shape, answer: &Value, as_json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let text = if as_json { render::render_json(shape, answer) } else { render::render(shape, answer) };
    let error = match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if matches!(shape, Shape::NewKey) {
        let key = answer.get("access_key").and_then(Value::as_str).unwrap_or("?");
        return Err(Failure::new(format!(
            "the secret of key {key} could not be written out and is not shown again: {error}\n\
             Delete the key (s3gateway admin key delete {key}) and create another."
        )));
    }
    // `| head` closes the pipe early; that is no fault of ours.
    if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(Failure::while_doing("writing the answer", &error)) }
}

/// Whether what was asked for has failed, though the API has answered.
///
/// # Errors
/// For a promotion that has failed; one that still goes on may yet be done.
pub fn judge(shape: Shape, answer: &Value) -> Result<(), Failure> {
    let field = |name| answer.get(name).and_then(Value::as_str);
    match (shape, field("state")) {
        (Shape::Promotion, Some("failed")) => {
            Err(Failure::new(format!("the promotion has failed: {}", field("detail").unwrap_or_default())))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::io;

    /// Takes nothing, as a full disk or a closed pipe.
    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for (typed, yes) in [
            ("y\n", true),
            ("YES\n", true),
            (" y ", true),
            ("\n", false),
            ("n\n", false),
            ("", false),
            ("yess\n", false),
        ] {
            let mut out = Vec::new();
            let confirmed = confirm("Delete tenant acme?", &mut typed.as_bytes(), &mut out);
            assert_eq!(confirmed.is_ok(), yes, "{typed:?}");
            assert_eq!(out, b"Delete tenant acme? [y/N] ");
        }
    }

    #[test]
    fn a_secret_that_is_not_written_is_a_failure_that_names_its_key() {
        let key = json!({"access_key": "AK1", "secret_key": "sesame"});
        for kind in [ErrorKind::StorageFull, ErrorKind::BrokenPipe] {
            for as_json in [true, false] {
                let failure = show(Shape::NewKey, &key, as_json, &mut Broken(kind)).unwrap_err();
                assert!(failure.code == 1 && failure.message.contains("key delete AK1"), "{failure}");
                assert!(!failure.message.contains("sesame"), "{failure}");
            }
        }
        let mut out = Vec::new();
        show(Shape::NewKey, &key, true, &mut out).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), key);
    }

    #[test]
    fn any_other_answer_may_go_unread_but_not_unwritten() {
        let tenant = json!({"name": "acme"});
        assert!(show(Shape::Tenant, &tenant, false, &mut Broken(ErrorKind::BrokenPipe)).is_ok());
        assert!(show(Shape::Tenant, &tenant, false, &mut Broken(ErrorKind::StorageFull)).is_err());
    }

    #[test]
    fn a_failed_promotion_is_a_failure() {
        for (shape, state, fails) in [
            (Shape::Promotion, "failed", true),
            (Shape::Promotion, "done", false),
            (Shape::Promotion, "preparing", false),
            (Shape::Migration, "failed", false),
        ] {
            let judged = judge(shape, &json!({"state": state, "detail": "the replica count is 1"}));
            assert_eq!(judged.is_err(), fails, "{shape:?} {state}");
            assert!(judged.err().is_none_or(|failure| failure.message.contains("replica count")));
        }
    }
}
