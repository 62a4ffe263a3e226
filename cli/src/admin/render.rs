//! Answers of the admin API as tables for people.
use serde_json::Value;
use std::fmt::Write;

/// What an answer holds.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Nothing.
    Done,
    /// One tenant.
    Tenant,
    /// `tenants`
    Tenants,
    /// The `policy` of a tenant or bucket.
    Policy,
    /// A key with its secret.
    NewKey,
    /// `keys`
    Keys,
    /// One backend.
    Backend,
    /// `backends`
    Backends,
    /// `findings`
    Probe,
    /// One bucket.
    Bucket,
    /// `buckets`
    Buckets,
    /// `drains`
    Drains,
    /// `buckets` whose home must be left.
    Homes,
    /// One promotion.
    Promotion,
    /// `promotions`
    Promotions,
    /// One migration.
    Migration,
    /// `migrations`
    Migrations,
    /// One stranded key.
    Stranded,
    /// `stranded`
    StrandedKeys,
    /// `names`
    Names,
    /// `places`
    Explain,
    /// `copies`
    Copies,
    /// Figures of the queue.
    Depth,
    /// `jobs`
    Jobs,
    /// `dead_letters`
    Dead,
    /// `redriven`
    Redriven,
    /// One walk, with what it has found where that is known.
    Walk,
    /// `walks`
    Walks,
}

/// Shown apart from the answer, on standard error.
const WARNINGS: &str = "warnings";

/// A column: its title and where its value is (dotted).
type Column = (&'static str, &'static str);

/// The answer as JSON; a policy as `--policy-file` takes it.
pub fn render_json(shape: Shape, answer: &Value) -> String {
    let answer = if matches!(shape, Shape::Policy) { policy_of(answer) } else { answer };
    if answer.is_null() { String::new() } else { format!("{answer:#}\n") }
}

/// What the answer warns of, a line each.
pub fn render_warnings(answer: &Value) -> String {
    let warnings = answer.get(WARNINGS).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    warnings.iter().fold(String::new(), |mut text, warning| {
        let _ = writeln!(text, "warning: {}", show(warning));
        text
    })
}

/// The answer for a person.
pub fn render(shape: Shape, answer: &Value) -> String {
    match shape {
        Shape::Done => "done\n".into(),
        Shape::Tenant | Shape::NewKey | Shape::Backend | Shape::Depth | Shape::Redriven => fields(answer),
        Shape::Promotion | Shape::Migration | Shape::Stranded => fields(answer),
        Shape::Policy => fields(policy_of(answer)),
        Shape::Promotions => table(
            answer.get("promotions"),
            &[
                ("BEGUN", "begun_at"),
                ("FROM", "from"),
                ("TO", "to"),
                ("FORCED", "forced"),
                ("STATE", "state"),
                ("ENDED", "ended_at"),
                ("DETAIL", "detail"),
            ],
        ),
        Shape::Migrations => table(
            answer.get("migrations"),
            &[
                ("BEGUN", "begun_at"),
                ("FROM", "from"),
                ("FROM BUCKET", "from_bucket"),
                ("TO", "to"),
                ("TO BUCKET", "to_bucket"),
                ("STATE", "state"),
                ("SINCE", "since"),
                ("BY", "by"),
                ("COMPARED", "objects"),
                ("ONLY THERE", "strays"),
                ("DETAIL", "detail"),
            ],
        ),
        Shape::StrandedKeys => more(
            answer,
            table(
                answer.get("stranded"),
                &[
                    ("ID", "id"),
                    ("KEY", "key"),
                    ("HOME", "home"),
                    ("EPOCH", "epoch"),
                    ("STATE", "state"),
                    ("SINCE", "stranded_at"),
                    ("KEPT ON", "kept.backend"),
                    ("BYTES", "kept.size"),
                ],
            ),
        ),
        Shape::Tenants => table(
            answer.get("tenants"),
            &[
                ("TENANT", "name"),
                ("DEFAULT PLACEMENT", "default_placement"),
                ("COPIES", "default_replica_count"),
                ("ALLOW", "policy.allow"),
                ("DENY", "policy.deny"),
                ("CREATED", "created_at"),
            ],
        ),
        Shape::Keys => table(
            answer.get("keys"),
            &[("ACCESS KEY", "access_key"), ("TENANT", "tenant"), ("ENABLED", "enabled"), ("CREATED", "created_at")],
        ),
        Shape::Backends => table(
            answer.get("backends"),
            &[
                ("BACKEND", "id"),
                ("REGION", "place.region"),
                ("COUNTRY", "place.country"),
                ("JURISDICTION", "place.jurisdiction"),
                ("PROVIDER", "place.provider"),
                ("STATE", "state"),
                ("HEALTH", "health"),
                ("BREAKER", "breaker"),
                ("ON AIR", "running"),
                ("ENDPOINT", "endpoint"),
            ],
        ),
        Shape::Probe => {
            let findings = table(
                answer.get("findings"),
                &[
                    ("CAPABILITY", "capability"),
                    ("MEASURED", "measured"),
                    ("DECLARED", "declared"),
                    ("EVIDENCE", "evidence"),
                ],
            );
            format!("{}\n{findings}", fields_without(answer, &["findings"]))
        }
        Shape::Bucket => {
            let mapping = table(answer.get("mapping"), MAPPING);
            format!("{}\n{mapping}", fields_without(answer, &["mapping", WARNINGS]))
        }
        Shape::Buckets => {
            let text = table(
                answer.get("buckets"),
                &[
                    ("BUCKET", "name"),
                    ("HOME", "home"),
                    ("COPIES", "replica_count"),
                    ("LOCATION", "location"),
                    ("CREATED", "created_at"),
                ],
            );
            more(answer, text)
        }
        Shape::Drains => {
            let columns = [
                ("TENANT", "tenant"),
                ("BUCKET", "bucket"),
                ("BACKEND", "backend"),
                ("WHY", "reason"),
                ("STATE", "state"),
                ("KEYS", "keys"),
                ("LEFT", "left"),
                ("ONLY THERE", "strays"),
                ("BEGUN", "begun_at"),
                ("PROVEN EMPTY", "proven_at"),
                ("ENDED", "ended_at"),
                ("REMARK", "remark"),
            ];
            more(answer, table(answer.get("drains"), &columns))
        }
        Shape::Homes => {
            let columns = [
                ("TENANT", "tenant"),
                ("BUCKET", "bucket"),
                ("HOME TO LEAVE", "home"),
                ("PROMOTED", "to"),
                ("REMARK", "remark"),
            ];
            more(answer, table(answer.get("buckets"), &columns))
        }
        Shape::Names => {
            let exists = answer.get("exists").and_then(Value::as_bool).unwrap_or_default();
            let note = if exists { "as recorded:" } else { "no such bucket; it would be:" };
            format!(
                "{note}\n{}",
                table(answer.get("names"), &[("BACKEND", "backend"), ("PHYSICAL BUCKET", "physical_bucket")])
            )
        }
        Shape::Explain => table(
            answer.get("places"),
            &[
                ("BACKEND", "backend"),
                ("REGION", "place.region"),
                ("COUNTRY", "place.country"),
                ("JURISDICTION", "place.jurisdiction"),
                ("ALLOWED", "allowed"),
                ("WHY", "reason"),
            ],
        ),
        Shape::Copies => render_copies(answer),
        Shape::Jobs => {
            let columns = [
                ("FINISHED", "finished_at"),
                ("TENANT", "tenant"),
                ("BUCKET", "bucket"),
                ("KEY", "key"),
                ("OUTCOME", "outcome"),
                ("ATTEMPTS", "attempts"),
                ("DETAIL", "detail"),
                ("REQUEST", "request_id"),
            ];
            more(answer, table(answer.get("jobs"), &columns))
        }
        Shape::Dead => {
            let columns = [
                ("SINCE", "since"),
                ("TENANT", "tenant"),
                ("BUCKET", "bucket"),
                ("KEY", "key"),
                ("ATTEMPTS", "attempts"),
                ("REASON", "reason"),
            ];
            more(answer, table(answer.get("dead_letters"), &columns))
        }
        Shape::Walks => {
            let columns = [
                ("WALK", "id"),
                ("TENANT", "tenant"),
                ("BUCKET", "bucket"),
                ("KIND", "kind"),
                ("STATE", "state"),
                ("DONE", "done"),
                ("TOTAL", "total"),
                ("MARKED", "marked"),
                ("KEYS/S", "speed"),
                ("ETA", "eta"),
                ("NOTE", "note"),
            ];
            more(answer, table(answer.get("walks"), &columns))
        }
        Shape::Walk => render_walk(answer),
    }
}

fn render_walk(answer: &Value) -> String {
    let fields = fields_without(answer, &["found", "findings"]);
    let Some(found) = answer.get("found").filter(|found| found.as_array().is_some_and(|found| !found.is_empty()))
    else {
        return fields;
    };
    let counts = table(Some(found), &[("FOUND", "kind"), ("TIMES", "times")]);
    let findings = table(
        answer.get("findings"),
        &[("FOUND", "kind"), ("KEY", "key"), ("BACKEND", "backend"), ("AT", "found_at"), ("DETAIL", "detail")],
    );
    format!("{fields}\n{counts}\n{findings}")
}

const MAPPING: &[Column] =
    &[("BACKEND", "backend"), ("HOME", "home"), ("STATE", "state"), ("PHYSICAL BUCKET", "physical_bucket")];

fn render_copies(answer: &Value) -> String {
    let state = match at(answer, "state").as_str() {
        "clean" => "clean: all copies are proven equal",
        "dirty" => "dirty: still to be converged",
        _ => "unknown: the queue cannot be asked",
    };
    let rows = table(
        answer.get("copies"),
        &[
            ("BACKEND", "backend"),
            ("HOME", "home"),
            ("BYTES", "size"),
            ("ETAG", "etag"),
            ("VERIFIED", "verified_how"),
            ("SINCE", "verified_at"),
            ("PHYSICAL BUCKET", "physical_bucket"),
        ],
    );
    let versions = match answer.get("versions").and_then(Value::as_array) {
        Some(held) if !held.is_empty() => {
            table(answer.get("versions"), &[("BACKEND", "backend"), ("VERSIONS HELD", "held")])
        }
        _ => String::new(),
    };
    format!("home {}, {} copies wanted, {state}\n{rows}{versions}", at(answer, "home"), at(answer, "replica_count"))
}

/// With how to read on, where there is more.
fn more(answer: &Value, mut text: String) -> String {
    if let Some(next) = answer.get("next").and_then(Value::as_str) {
        let _ = writeln!(text, "more: --after {next}");
    }
    text
}

fn fields(answer: &Value) -> String {
    fields_without(answer, &[WARNINGS])
}

fn policy_of(answer: &Value) -> &Value {
    answer.get("policy").unwrap_or(&Value::Null)
}

fn fields_without(answer: &Value, hidden: &[&str]) -> String {
    let Some(object) = answer.as_object() else { return String::new() };
    let shown: Vec<_> = object.iter().filter(|(name, _)| !hidden.contains(&name.as_str())).collect();
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    shown.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name:width$}  {}", show(value));
        text
    })
}

fn table(rows: Option<&Value>, columns: &[Column]) -> String {
    let rows = rows.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return "none\n".into();
    }
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|(_, path)| at(row, path)).collect()));
    let mut widths = vec![0; columns.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn at(value: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(value, |value, part| value.get(part));
    found.map_or_else(|| "-".into(), show)
}

/// One line, and nothing in it that could steer a terminal.
fn show(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(show).collect::<Vec<_>>().join(","),
        Value::Object(fields) => {
            let set = fields.iter().filter(|(_, value)| !matches!(value, Value::Array(items) if items.is_empty()));
            set.map(|(name, value)| format!("{name}={}", show(value))).collect::<Vec<_>>().join(" ")
        }
        Value::Number(number) => number.to_string(),
    };
    let text: String = text
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    if text.is_empty() { "-".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_line_up_and_cannot_steer_a_terminal() {
        let answer = json!({"home": "fi-hel", "replica_count": 2, "state": "clean", "copies": [
            {"backend": "fi-hel", "home": true, "size": 5, "etag": "a", "verified_how": "etag", "verified_at": "t", "physical_bucket": "p"},
            {"backend": "de\u{1b}[2J", "home": false, "size": 123_456, "etag": "a", "verified_how": "etag", "verified_at": "t", "physical_bucket": "p"},
        ]});
        let text = render(Shape::Copies, &answer);
        assert!(!text.contains('\u{1b}'), "{text}");
        let column = |line: usize| text.lines().nth(line).and_then(|l| l.find("etag").or_else(|| l.find("VERIFIED")));
        assert_eq!((column(1), column(2)), (column(3), column(3)), "{text}");
        assert!(!text.contains("VERSIONS"), "{text}");
        let versions = json!({"copies": [], "versions": [{"backend": "de-fra", "held": 7}]});
        assert!(render(Shape::Copies, &versions).ends_with("de-fra   7\n"), "{}", render(Shape::Copies, &versions));
        assert_eq!(render(Shape::Keys, &json!({"keys": []})), "none\n");
        assert_eq!(render(Shape::Keys, &Value::Null), "none\n");
    }

    #[test]
    fn warnings_stand_apart_and_a_policy_alone() {
        let policy = json!({"allow": {"countries": []}, "deny": {"countries": ["UK"]}, "transit_outside": true});
        let answer = json!({"name": "acme", "policy": policy, "warnings": ["deny.countries: 'UK'\u{1b}[2J"]});
        assert_eq!(render_warnings(&answer), "warning: deny.countries: 'UK'\\u{1b}[2J\n");
        assert_eq!(render_warnings(&json!({"name": "acme"})), "");
        for shape in [Shape::Tenant, Shape::Bucket] {
            assert!(!render(shape, &answer).contains("warning"), "{shape:?}");
        }
        assert_eq!(
            render(Shape::Policy, &answer),
            "allow            -\ndeny             countries=UK\ntransit_outside  yes\n"
        );
        let shown: Value = serde_json::from_str(&render_json(Shape::Policy, &answer)).unwrap();
        assert_eq!(shown, policy);
    }
}
