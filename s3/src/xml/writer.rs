//! Writes XML text. Values survive byte for byte: what XML 1.0 would normalise is written as a character reference.
use std::fmt::Write as _;

/// The namespace of S3's documents.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// What every document begins with.
pub const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// A document in the making. Element names come from this crate, values from anywhere.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
}

impl Writer {
    /// Begins with the XML declaration.
    pub fn document() -> Self {
        let mut out = String::with_capacity(512);
        out.push_str(DECLARATION);
        Self { out }
    }

    /// Opens an element.
    pub fn open(&mut self, element: &str) {
        self.out.push('<');
        self.out.push_str(element);
        self.out.push('>');
    }

    /// Opens the root element in S3's namespace.
    pub fn open_root(&mut self, element: &str) {
        let _ = write!(self.out, "<{element} xmlns=\"{NAMESPACE}\">");
    }

    /// Closes an element.
    pub fn close(&mut self, element: &str) {
        self.out.push_str("</");
        self.out.push_str(element);
        self.out.push('>');
    }

    /// An element that holds a text, byte for byte. A character that XML 1.0 cannot hold at all becomes a character
    /// reference, as S3 does it; listings avoid that by `encoding-type=url`.
    pub fn text(&mut self, element: &str, value: &str) {
        self.open(element);
        self.value(value);
        self.close(element);
    }

    /// A root element that holds a text and nothing else.
    pub fn root_text(&mut self, element: &str, value: &str) {
        self.open_root(element);
        self.value(value);
        self.close(element);
    }

    /// As [`Writer::text`], if there is a value.
    pub fn optional(&mut self, element: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(element, value);
        }
    }

    /// An element that holds a text for people: a character that XML 1.0 cannot hold is percent-encoded.
    pub fn text_lossy(&mut self, element: &str, value: &str) {
        self.open(element);
        escape_into(&mut self.out, value, |out, c| {
            out.push_str(&crate::uri::encode(c.encode_utf8(&mut [0; 4]).as_bytes()))
        });
        self.close(element);
    }

    /// An element that holds a number or a truth value.
    pub fn display(&mut self, element: &str, value: impl std::fmt::Display) {
        let _ = write!(self.out, "<{element}>{value}</{element}>");
    }

    fn value(&mut self, value: &str) {
        escape_into(&mut self.out, value, |out, c| {
            let _ = write!(out, "&#x{:X};", u32::from(c));
        });
    }

    /// The document.
    pub fn finish(self) -> String {
        self.out
    }
}

/// Whether XML 1.0 can hold every character of a text, escaped or not (XML 1.0, production 2).
pub(super) fn is_representable(text: &str) -> bool {
    text.chars().all(is_xml_char)
}

fn is_xml_char(c: char) -> bool {
    !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

fn escape_into(out: &mut String, text: &str, illegal: fn(&mut String, char)) {
    // 0xEF begins U+FFFE and U+FFFF in UTF-8.
    let plain = |b: u8| b >= 0x20 && !matches!(b, b'&' | b'<' | b'>' | b'"' | b'\'' | 0xef);
    if text.bytes().all(plain) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            c if is_xml_char(c) => out.push(c),
            c => illegal(out, c),
        }
    }
}
