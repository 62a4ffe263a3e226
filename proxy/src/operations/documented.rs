//! docs/PROTOCOL.md's table of operations against the code: none is missing, and each is answered as it says.
//! Who asks a backend, and which capability of it decides, is read from the source: from the function that the dispatch
//! names through every function that it calls.
use s3gateway_s3::Operation;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use strum::IntoEnumIterator as _;

/// Capabilities whose absence the gateway makes up for; the others are about what is sent, or refuse.
const LENT: [&str; 6] =
    ["exact_listing", "gone_markers", "list_uploads", "server_side_copy", "tagging", "trailing_checksums"];

/// Operations that are streamed, which the dispatch does not name, with a function on their way that lends.
const STREAMED: [(Operation, Option<&str>); 4] = [
    (Operation::GetObject, Some("with_kept_checksum")),
    (Operation::HeadObject, Some("with_kept_checksum")),
    (Operation::PutObject, Some("succeed")),
    (Operation::UploadPart, None),
];

#[test]
fn the_table_of_operations_is_what_the_code_does() {
    let documented = documented();
    let (functions, handlers) = (functions(), handlers());
    let expected: BTreeMap<String, String> = Operation::iter()
        .map(|operation| (operation.name().to_owned(), answered(operation, &functions, &handlers)))
        .collect();
    assert_eq!(documented, expected);
}

fn answered(operation: Operation, functions: &Functions, handlers: &HashMap<String, String>) -> String {
    if !operation.is_implemented() {
        return "refused".to_owned();
    }
    let streamed = STREAMED.iter().find(|(streamed, _)| *streamed == operation);
    let root = match streamed {
        Some((_, root)) => *root,
        None => {
            Some(handlers.get(operation.name()).unwrap_or_else(|| panic!("{operation:?} is not dispatched")).as_str())
        }
    };
    let reached = root.map(|root| reached(root, functions)).unwrap_or_default();
    let decides =
        |capability: &str| reached.iter().any(|name| functions[name].iter().any(|body| reads(body, capability)));
    // What is looked up where a backend shows none, whatever it is said to keep.
    let looks_up = |capability: &str| capability == "trailing_checksums" && reached.contains("kept_checksum");
    let lent: Vec<String> = LENT.iter().filter(|c| decides(c) || looks_up(c)).map(|c| format!("`{c}`")).collect();
    match (lent.is_empty(), streamed.is_some() || reached.contains("send")) {
        (false, _) => format!("lent: {}", lent.join(", ")),
        (true, true) => "passed on".to_owned(),
        (true, false) => "supported".to_owned(),
    }
}

/// Operation and second column of each row.
fn documented() -> BTreeMap<String, String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROTOCOL.md")).expect("the page");
    let section = page.split("## Operations").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [operation, answered, why] = cells[..] else { panic!("three columns: {line}") };
        assert!(!why.is_empty(), "{line}");
        assert!(rows.insert(operation.to_owned(), answered.to_owned()).is_none(), "{operation} twice");
    }
    rows
}

/// Bodies of the crate's functions by name.
type Functions = HashMap<String, Vec<String>>;

fn functions() -> Functions {
    let mut functions = Functions::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() && !["admin", "probe"].contains(&name.as_str()) {
                folders.push(path);
            } else if name.ends_with(".rs") && !["documented.rs", "tests.rs"].contains(&name.as_str()) {
                let text = fs::read_to_string(path).expect("a file");
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                for (name, body) in bodies(code) {
                    functions.entry(name.to_owned()).or_default().push(body.to_owned());
                }
            }
        }
    }
    functions
}

fn bodies(code: &str) -> impl Iterator<Item = (&str, &str)> {
    code.match_indices("fn ").filter_map(move |(at, _)| {
        let name = identifier(&code[at + 3..]);
        let begin = at + code[at..].find('{')?;
        let mut open = 0;
        let end = code[begin..].find(|c| {
            open += i32::from(c == '{') - i32::from(c == '}');
            open == 0
        })?;
        (!name.is_empty()).then(|| (name, &code[begin..begin + end]))
    })
}

fn identifier(text: &str) -> &str {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
}

/// Every function that `root` comes to; a name that several functions have leads nowhere.
fn reached(root: &str, functions: &Functions) -> BTreeSet<String> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![root.to_owned()]);
    while let Some(name) = open.pop() {
        let Some([body]) = functions.get(&name).map(Vec::as_slice) else { continue };
        if reached.insert(name) {
            let words = body.split(|c: char| !(c.is_alphanumeric() || "_(".contains(c)));
            open.extend(words.filter_map(|word| word.split_once('(')).map(|(called, _)| called.to_owned()));
        }
    }
    reached
}

fn reads(body: &str, capability: &str) -> bool {
    ["capabilities().", "capabilities."]
        .iter()
        .any(|prefix| body.match_indices(prefix).any(|(at, _)| identifier(&body[at + prefix.len()..]) == capability))
}

/// The function that carries out each operation, from the dispatch.
fn handlers() -> HashMap<String, String> {
    let arms = include_str!("mod.rs").lines().filter_map(|line| line.split_once(" => "));
    let arms = arms.filter(|(operations, _)| operations.trim().starts_with("Operation::"));
    arms.flat_map(|(operations, call)| {
        let method = call.split(['(', '.', ':']).find(|word| is_method(word)).expect("a method").to_owned();
        let names = operations.split('|').map(|name| name.trim().trim_start_matches("Operation::").to_owned());
        names.map(move |name| (name, method.clone())).collect::<Vec<_>>()
    })
    .collect()
}

/// Whether a word of a call is the handler's name rather than what stands around it.
fn is_method(word: &str) -> bool {
    !["", "in_time", "self", "Self"].contains(&word)
}
