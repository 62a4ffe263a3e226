//! `<Error>` as backends send it, also inside an answer of status 200.
use super::{XmlError, reader::Document};

/// A backend's error. Only code and message are kept: its other elements name physical buckets, hosts and owners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorDocument {
    /// S3's code, see [`crate::S3Code::from_name`].
    pub code: String,
    /// The backend's own words; they may hold physical names and must not reach a client.
    pub message: String,
    /// The backend's request id, for logs.
    pub request_id: Option<String>,
}

/// An answer of status 200 that may still be an error (Amazon S3 API Reference, "CompleteMultipartUpload", "CopyObject").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// What was asked for has been done.
    Done(T),
    /// It has not.
    Failed(ErrorDocument),
}

impl ErrorDocument {
    /// Parses an error's body.
    ///
    /// # Errors
    /// [`XmlError`] where it is no `<Error>` with a code.
    pub fn parse(xml: &[u8]) -> Result<Self, XmlError> {
        Self::read(Document::enter_as(xml, "Error")?)
    }

    fn read(document: Document<'_>) -> Result<Self, XmlError> {
        let mut error = Self::default();
        document.root_children(|name, document| {
            match name {
                "Code" => error.code = document.text()?,
                "Message" => error.message = document.text()?,
                "RequestId" => error.request_id = Some(document.text()?),
                _ => document.skip()?,
            }
            Ok::<_, XmlError>(())
        })?;
        if error.code.is_empty() { Err(XmlError::Schema) } else { Ok(error) }
    }
}

impl<T> Answer<T> {
    /// Reads the document if its root is `root`, an error if its root is `Error`.
    pub(super) fn read(
        xml: &[u8],
        root: &str,
        read: impl FnOnce(Document<'_>) -> Result<T, XmlError>,
    ) -> Result<Self, XmlError> {
        match Document::enter(xml)? {
            (name, document) if name == root => read(document).map(Self::Done),
            (name, document) if name == "Error" => ErrorDocument::read(document).map(Self::Failed),
            _ => Err(XmlError::Root),
        }
    }
}
