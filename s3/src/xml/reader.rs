//! Pulls elements out of an XML text without building a tree.
//! Invariant: no recursion by the input's depth; document types, foreign entities and other encodings are refused.
use crate::{S3Code, S3Error};
use quick_xml::{Reader, events::Event};

/// Why a document could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Not well-formed, not UTF-8, or with a document type or entity.
    #[error("the XML is not well-formed")]
    Malformed,
    /// Another root element.
    #[error("the XML is another document than expected")]
    Root,
    /// An element is missing, repeated, not allowed here, or its text is not what it must be.
    #[error("the XML does not fit its schema")]
    Schema,
}

/// A document under way, positioned inside one element.
pub(super) struct Document<'a> {
    reader: Reader<&'a [u8]>,
    /// How many elements are open.
    depth: u32,
}

/// What stands next inside the current element.
enum Token<'a> {
    Open(quick_xml::events::BytesStart<'a>),
    Text(std::borrow::Cow<'a, str>),
    Close,
    End,
}

impl<'a> Document<'a> {
    /// Enters the root element; gives its name without prefix. Whitespace before the declaration is skipped, because
    /// servers that take long for an answer send it to keep the connection alive.
    pub(super) fn enter(xml: &'a [u8]) -> Result<(String, Self), XmlError> {
        let text = std::str::from_utf8(xml).map_err(|_| XmlError::Malformed)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_start_matches([' ', '\t', '\r', '\n']);
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut document = Self { reader, depth: 0 };
        loop {
            match document.next()? {
                Token::Open(start) => return Ok((start.local_name().into_inner().to_owned(), document)),
                Token::Text(text) if is_blank(&text) => {}
                Token::Text(_) | Token::Close | Token::End => return Err(XmlError::Malformed),
            }
        }
    }

    /// Enters the root element, which must have this name.
    pub(super) fn enter_as(xml: &'a [u8], root: &str) -> Result<Self, XmlError> {
        let (name, document) = Self::enter(xml)?;
        if name == root { Ok(document) } else { Err(XmlError::Root) }
    }

    /// Calls `child` inside each child of the current element, up to its end; `child` gets the name without prefix and
    /// must leave the child by [`Document::text`], [`Document::children`] or [`Document::skip`].
    pub(super) fn children<E: From<XmlError>>(
        &mut self,
        mut child: impl FnMut(&str, &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let inside = self.depth;
        loop {
            match self.next()? {
                Token::Open(start) => child(start.local_name().into_inner(), self)?,
                Token::Text(text) if is_blank(&text) => {}
                Token::Text(_) => return Err(XmlError::Schema.into()),
                Token::Close => return Ok(()),
                Token::End => return Err(XmlError::Malformed.into()),
            }
            debug_assert_eq!(self.depth, inside, "a child has not been left");
        }
    }

    /// As [`Document::children`] for the root: nothing but blanks and comments may follow it.
    pub(super) fn root_children<E: From<XmlError>>(
        mut self,
        child: impl FnMut(&str, &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.children(child)?;
        Ok(self.finish()?)
    }

    /// The text of the root element, which has no children.
    pub(super) fn root_text(mut self) -> Result<String, XmlError> {
        let text = self.text()?;
        self.finish()?;
        Ok(text)
    }

    /// The current element's text, up to its end; it may have no children.
    pub(super) fn text(&mut self) -> Result<String, XmlError> {
        let mut value = String::new();
        loop {
            match self.next()? {
                Token::Text(text) => value.push_str(&text),
                Token::Close => return Ok(value),
                Token::Open(_) => return Err(XmlError::Schema),
                Token::End => return Err(XmlError::Malformed),
            }
        }
    }

    /// The current element's text as a number or a truth value in its plain form.
    pub(super) fn parse<T: std::str::FromStr>(&mut self) -> Result<T, XmlError> {
        let text = self.text()?;
        // `FromStr` of integers takes a sign, the wire form does not.
        if text.starts_with('+') { Err(XmlError::Schema) } else { text.parse().map_err(|_| XmlError::Schema) }
    }

    /// The current element's text as a point in time.
    pub(super) fn timestamp(&mut self) -> Result<std::time::SystemTime, XmlError> {
        super::parse_timestamp(&self.text()?).ok_or(XmlError::Schema)
    }

    /// Leaves the current element unread.
    pub(super) fn skip(&mut self) -> Result<(), XmlError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            if let Token::End = self.next()? {
                return Err(XmlError::Malformed);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), XmlError> {
        loop {
            match self.next()? {
                Token::End => return Ok(()),
                Token::Text(text) if is_blank(&text) => {}
                _ => return Err(XmlError::Malformed),
            }
        }
    }

    fn next(&mut self) -> Result<Token<'a>, XmlError> {
        loop {
            return Ok(match self.reader.read_event().map_err(|_| XmlError::Malformed)? {
                Event::Start(start) => {
                    self.depth += 1;
                    Token::Open(start)
                }
                Event::End(_) => {
                    self.depth = self.depth.checked_sub(1).ok_or(XmlError::Malformed)?;
                    Token::Close
                }
                Event::Text(text) => Token::Text(text.xml10_content()),
                Event::CData(text) => Token::Text(text.xml10_content()),
                Event::GeneralRef(reference) => Token::Text(resolve(&reference)?.to_string().into()),
                Event::Decl(declaration) => {
                    check_encoding(&declaration)?;
                    continue;
                }
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Empty(_) | Event::DocType(_) => return Err(XmlError::Malformed),
                Event::Eof if self.depth > 0 => return Err(XmlError::Malformed),
                Event::Eof => Token::End,
            });
        }
    }
}

/// XML's own five entities and character references. References to characters that XML 1.0 excludes are taken: S3
/// writes them for keys that hold such characters.
fn resolve(reference: &str) -> Result<char, XmlError> {
    let code = match reference {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        other => other.strip_prefix('#').ok_or(XmlError::Malformed)?,
    };
    let (digits, radix) = code.strip_prefix('x').map_or((code, 10), |hex| (hex, 16));
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(XmlError::Malformed);
    }
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).ok_or(XmlError::Malformed)
}

fn check_encoding(declaration: &quick_xml::events::BytesDecl<'_>) -> Result<(), XmlError> {
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("utf-8") || encoding.eq_ignore_ascii_case("us-ascii") => {
            Ok(())
        }
        Some(_) => Err(XmlError::Malformed),
    }
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}

/// Puts a value where none may stand yet.
pub(super) fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), XmlError> {
    if slot.replace(value).is_some() { Err(XmlError::Schema) } else { Ok(()) }
}

/// A client's fault in S3's words.
pub(super) fn malformed(_: XmlError) -> S3Error {
    S3Code::MalformedXML.error()
}

/// Refuses a client's document of more than `limit` bytes, or of none.
pub(super) fn check_size(xml: &[u8], limit: usize) -> Result<(), S3Error> {
    match xml.len() {
        0 => Err(S3Code::MissingRequestBodyError.error()),
        n if n > limit => {
            Err(S3Code::MaxMessageLengthExceeded.error().with("MaxMessageLengthBytes", limit.to_string()))
        }
        _ => Ok(()),
    }
}
