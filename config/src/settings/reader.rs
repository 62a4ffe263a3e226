//! Reads typed values out of a TOML document and notes every fault with its line, instead of stopping at the first.
//! Invariant: a key that nobody asked for by the time its section is finished is a fault.
use super::fault::{Fault, nearest};
use std::{cell::RefCell, collections::BTreeSet, ops::Range, path::PathBuf, time::Duration};
use toml::de::{DeTable, DeValue};

/// Keys that are looked for in one place and stand in another.
const ELSEWHERE: [(&str, &str); 1] = [("admin.allow_backend_networks", "backends.allow_networks")];

/// The document and the faults found so far.
pub(super) struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    faults: RefCell<Vec<Fault>>,
}

/// A table of the document, or the place where one could stand.
pub(super) struct Section<'r, 'i> {
    reader: &'r Reader<'r>,
    table: Option<&'r DeTable<'i>>,
    path: String,
    span: Range<usize>,
    asked: RefCell<BTreeSet<&'static str>>,
}

/// A value with the place that it came from.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, faults: RefCell::default() }
    }
    pub(super) fn fault(&self, span: &Range<usize>, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let before = self.text.as_bytes().get(..span.start).unwrap_or(self.text.as_bytes());
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        self.push(Fault {
            file: self.file.into(),
            line: Some(line),
            key: key.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }
    pub(super) fn push(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }
    /// All faults: those of the file by line, then those of the environment.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|f| f.line.unwrap_or(usize::MAX));
        faults
    }
}

impl<'r, 'i> Section<'r, 'i> {
    pub(super) fn root(reader: &'r Reader<'r>, table: &'r DeTable<'i>) -> Self {
        Self { reader, table: Some(table), path: String::new(), span: 0..0, asked: RefCell::default() }
    }
    /// Whether the file has this section.
    pub(super) fn exists(&self) -> bool {
        self.table.is_some()
    }
    /// Dotted name of a key of this section.
    pub(super) fn name_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) }
    }
    /// Notes a fault of a value of this section.
    pub(super) fn fault(&self, span: &Range<usize>, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        self.reader.fault(span, &self.name_of(key), problem, remedy);
    }
    /// Notes that a key is missing; the line is the section's own.
    pub(super) fn missing(&self, key: &str, remedy: impl Into<String>) {
        self.reader.fault(&self.span, &self.name_of(key), "is missing", remedy);
    }

    /// Notes that a value does not go with another one of this section.
    pub(super) fn conflict(&self, key: &'static str, problem: &str, remedy: &str) {
        let span = self.value(key).map_or_else(|| self.span.clone(), |found| found.span);
        self.fault(&span, key, problem, remedy);
    }
    /// Notes a fault of the environment.
    pub(super) fn push(&self, fault: Fault) {
        self.reader.push(fault);
    }

    fn value(&self, key: &'static str) -> Option<Found<&'r DeValue<'i>>> {
        self.asked.borrow_mut().insert(key);
        let found = self.table?.get(key)?;
        Some(Found { value: found.get_ref(), span: found.span() })
    }
    fn wrong_type(&self, key: &str, found: &Found<&DeValue<'_>>, wanted: &str) {
        let kind = found.value.type_str();
        self.fault(&found.span, key, format!("is of type {kind}"), format!("write {wanted}"));
    }

    /// A table inside this one; absent where the file has none.
    pub(super) fn section(&self, key: &'static str) -> Section<'r, 'i> {
        let path = self.name_of(key);
        let (table, span) = match self.value(key) {
            Some(Found { value: DeValue::Table(table), span }) => (Some(table), span),
            Some(found) => {
                self.wrong_type(key, &found, &format!("a section, [{path}]"));
                (None, found.span)
            }
            None => (None, self.span.clone()),
        };
        Section { reader: self.reader, table, path, span, asked: RefCell::default() }
    }
    /// An array of tables inside this one.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'r, 'i>> {
        let path = self.name_of(key);
        let Some(found) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = found.value else {
            self.wrong_type(key, &found, &format!("sections, [[{path}]]"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items.iter() {
            let here = Found { value: item.get_ref(), span: item.span() };
            match here.value {
                DeValue::Table(table) => sections.push(Section {
                    reader: self.reader,
                    table: Some(table),
                    path: path.clone(),
                    span: here.span,
                    asked: RefCell::default(),
                }),
                _ => self.wrong_type(key, &here, &format!("sections, [[{path}]]")),
            }
        }
        sections
    }

    pub(super) fn string(&self, key: &'static str) -> Option<Found<String>> {
        let found = self.value(key)?;
        match found.value {
            DeValue::String(text) => Some(Found { value: text.to_string(), span: found.span }),
            _ => {
                self.wrong_type(key, &found, "a string in double quotes");
                None
            }
        }
    }
    /// A list of strings; `None` where the key is absent, so that an empty list can mean «none».
    pub(super) fn strings(&self, key: &'static str) -> Option<Vec<Found<String>>> {
        let found = self.value(key)?;
        let DeValue::Array(items) = found.value else {
            self.wrong_type(key, &found, "a list of strings, [\"…\"]");
            return None;
        };
        let mut strings = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) => strings.push(Found { value: text.to_string(), span: item.span() }),
                other => self.wrong_type(key, &Found { value: other, span: item.span() }, "a list of strings, [\"…\"]"),
            }
        }
        Some(strings)
    }
    /// Parses a string with `parse`, whose error is the problem.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &self,
        key: &'static str,
        remedy: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Found<T>> {
        let found = self.string(key)?;
        match parse(&found.value) {
            Ok(value) => Some(Found { value, span: found.span }),
            Err(error) => {
                self.fault(&found.span, key, format!("{:?} is not valid: {error}", found.value), remedy);
                None
            }
        }
    }
    pub(super) fn path(&self, key: &'static str) -> Option<Found<PathBuf>> {
        self.string(key).map(|found| Found { value: PathBuf::from(found.value), span: found.span })
    }
    /// A whole number between `least` and `most`, else `default`.
    pub(super) fn number(&self, key: &'static str, default: u32, least: u32, most: u32) -> u32 {
        let Some(found) = self.value(key) else { return default };
        let DeValue::Integer(number) = found.value else {
            self.wrong_type(key, &found, "a whole number without quotes");
            return default;
        };
        match u32::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) if (least..=most).contains(&value) => value,
            _ => {
                self.fault(&found.span, key, format!("{number} is out of range"), format!("write {least} to {most}"));
                default
            }
        }
    }
    /// A duration with its unit between `least` and `most`, else `default`.
    pub(super) fn duration(&self, key: &'static str, default: Duration, least: Duration, most: Duration) -> Duration {
        let Some(found) = self.value(key) else { return default };
        let example = humantime::format_duration(default);
        let range = || format!("write {} to {}", humantime::format_duration(least), humantime::format_duration(most));
        match found.value {
            DeValue::String(text) => match humantime::parse_duration(text) {
                Ok(value) if (least..=most).contains(&value) => return value,
                Ok(_) => self.fault(&found.span, key, format!("{text:?} is out of range"), range()),
                Err(error) => self.fault(
                    &found.span,
                    key,
                    format!("{text:?} is no duration: {error}"),
                    format!("write a number with its unit, such as \"{example}\""),
                ),
            },
            DeValue::Integer(number) => self.fault(
                &found.span,
                key,
                format!("{number} has no unit"),
                format!("write a number with its unit in quotes, such as \"{example}\""),
            ),
            _ => self.wrong_type(key, &found, &format!("a duration such as \"{example}\"")),
        }
        default
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        let asked = self.asked.borrow();
        for (key, value) in table.iter().filter(|(key, _)| !asked.contains(key.get_ref().as_ref())) {
            let word = key.get_ref().as_ref();
            // A section's value spans its header; a plain key has a span of its own.
            let span = if matches!(value.get_ref(), DeValue::Table(_)) { value.span() } else { key.span() };
            let elsewhere = ELSEWHERE.iter().find(|(key, _)| *key == self.name_of(word));
            let remedy = match (elsewhere, nearest(word, asked.iter().copied())) {
                (Some((_, place)), _) => format!("write it as {place}"),
                (None, Some(meant)) => format!("did you mean {meant}?"),
                (None, None) if asked.is_empty() => "remove it".into(),
                (None, None) => {
                    format!("remove it; known here: {}", asked.iter().copied().collect::<Vec<_>>().join(", "))
                }
            };
            self.fault(&span, word, "is no key of the configuration", remedy);
        }
    }
}
