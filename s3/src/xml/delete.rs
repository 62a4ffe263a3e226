//! DeleteObjects: which objects, and what became of each.
use super::{
    Writer, XmlError,
    reader::{Document, check_size, malformed, set_once},
};
use crate::{ObjectKey, S3Error};

/// One object to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectToDelete {
    /// Its key.
    pub key: ObjectKey,
    /// The version to delete, where one is named.
    pub version_id: Option<String>,
    /// Delete only if this is its ETag; whoever cannot keep to that must refuse.
    pub etag: Option<String>,
    /// Delete only if it was last modified then, as written; likewise.
    pub last_modified_time: Option<String>,
    /// Delete only if it has this size, as written; likewise.
    pub size: Option<String>,
}

impl ObjectToDelete {
    /// A deletion without version or condition.
    pub fn new(key: ObjectKey) -> Self {
        Self { key, version_id: None, etag: None, last_modified_time: None, size: None }
    }
}

/// The body of DeleteObjects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delete {
    /// 1 to [`Delete::MAX_OBJECTS`] objects.
    pub objects: Vec<ObjectToDelete>,
    /// Whether only failures are to be reported.
    pub quiet: bool,
}

impl Delete {
    /// Most objects in one request.
    pub const MAX_OBJECTS: usize = 1000;
    /// Most bytes that a client may send.
    pub const MAX_BYTES: usize = 2 * 1024 * 1024;

    /// Parses a client's document.
    ///
    /// # Errors
    /// `MalformedXML` (also for no or too many objects or an empty key), `KeyTooLongError`, `MissingRequestBodyError`,
    /// `MaxMessageLengthExceeded`.
    pub fn parse(xml: &[u8]) -> Result<Self, S3Error> {
        check_size(xml, Self::MAX_BYTES)?;
        let mut delete = Self::default();
        let mut quiet = None;
        Document::enter_as(xml, "Delete").map_err(malformed)?.root_children(|name, document| match name {
            "Quiet" => Ok(set_once(&mut quiet, read_bool(document)?)?),
            "Object" if delete.objects.len() < Self::MAX_OBJECTS => {
                delete.objects.push(read_object(document)?);
                Ok(())
            }
            _ => Err(ClientFault::Xml(XmlError::Schema)),
        })?;
        if delete.objects.is_empty() {
            return Err(malformed(XmlError::Schema));
        }
        delete.quiet = quiet.unwrap_or(false);
        Ok(delete)
    }

    /// The document as a backend gets it.
    pub fn render(&self) -> String {
        let mut out = Writer::document();
        out.open_root("Delete");
        for object in &self.objects {
            out.open("Object");
            out.text("Key", object.key.as_str());
            out.optional("VersionId", object.version_id.as_deref());
            out.optional("ETag", object.etag.as_deref());
            out.optional("LastModifiedTime", object.last_modified_time.as_deref());
            out.optional("Size", object.size.as_deref());
            out.close("Object");
        }
        if self.quiet {
            out.display("Quiet", true);
        }
        out.close("Delete");
        out.finish()
    }
}

/// A fault of the document or of a key in it.
enum ClientFault {
    Xml(XmlError),
    Key(crate::KeyError),
}

impl From<XmlError> for ClientFault {
    fn from(fault: XmlError) -> Self {
        Self::Xml(fault)
    }
}

impl From<ClientFault> for S3Error {
    fn from(fault: ClientFault) -> Self {
        match fault {
            ClientFault::Xml(fault) => malformed(fault),
            ClientFault::Key(crate::KeyError::Empty) => malformed(XmlError::Schema),
            ClientFault::Key(fault) => fault.into(),
        }
    }
}

fn read_bool(document: &mut Document<'_>) -> Result<bool, XmlError> {
    match document.text()?.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(XmlError::Schema),
    }
}

fn read_object(document: &mut Document<'_>) -> Result<ObjectToDelete, ClientFault> {
    let (mut key, mut version_id, mut etag, mut last_modified_time, mut size) = (None, None, None, None, None);
    document.children(|name, document| match name {
        "Key" => set_once(&mut key, document.text()?),
        "VersionId" => set_once(&mut version_id, document.text()?),
        "ETag" => set_once(&mut etag, document.text()?),
        "LastModifiedTime" => set_once(&mut last_modified_time, document.text()?),
        "Size" => set_once(&mut size, document.text()?),
        _ => Err(XmlError::Schema),
    })?;
    let key = ObjectKey::parse(&key.ok_or(XmlError::Schema)?).map_err(ClientFault::Key)?;
    // An empty VersionId is what some clients write for none.
    let version_id = version_id.filter(|v| !v.is_empty());
    Ok(ObjectToDelete { key, version_id, etag, last_modified_time, size })
}

/// An object that has been deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletedObject {
    /// Its key.
    pub key: String,
    /// The version that was named or removed.
    pub version_id: Option<String>,
    /// Whether a delete marker was made or removed.
    pub delete_marker: Option<bool>,
    /// The delete marker's version.
    pub delete_marker_version_id: Option<String>,
}

/// An object that has not been deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteError {
    /// Its key.
    pub key: String,
    /// The version that was named.
    pub version_id: Option<String>,
    /// S3's code.
    pub code: String,
    /// For people; a backend's own words must be replaced before they go to a client.
    pub message: String,
}

/// The answer of DeleteObjects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteResult {
    /// What has been deleted.
    pub deleted: Vec<DeletedObject>,
    /// What has not.
    pub errors: Vec<DeleteError>,
}

impl DeleteResult {
    /// Parses a backend's answer.
    ///
    /// # Errors
    /// [`XmlError`] where it is none.
    pub fn parse(xml: &[u8]) -> Result<Self, XmlError> {
        let mut result = Self::default();
        Document::enter_as(xml, "DeleteResult")?.root_children(|name, document| {
            match name {
                "Deleted" => result.deleted.push(read_deleted(document)?),
                "Error" => result.errors.push(read_error(document)?),
                _ => document.skip()?,
            }
            Ok::<_, XmlError>(())
        })?;
        Ok(result)
    }

    /// The document.
    pub fn render(&self) -> String {
        let mut out = Writer::document();
        out.open_root("DeleteResult");
        for deleted in &self.deleted {
            out.open("Deleted");
            out.text("Key", &deleted.key);
            out.optional("VersionId", deleted.version_id.as_deref());
            if let Some(marker) = deleted.delete_marker {
                out.display("DeleteMarker", marker);
            }
            out.optional("DeleteMarkerVersionId", deleted.delete_marker_version_id.as_deref());
            out.close("Deleted");
        }
        for error in &self.errors {
            out.open("Error");
            out.text("Key", &error.key);
            out.optional("VersionId", error.version_id.as_deref());
            out.text("Code", &error.code);
            out.text_lossy("Message", &error.message);
            out.close("Error");
        }
        out.close("DeleteResult");
        out.finish()
    }
}

fn read_deleted(document: &mut Document<'_>) -> Result<DeletedObject, XmlError> {
    let mut deleted = DeletedObject::default();
    document.children(|name, document| {
        match name {
            "Key" => deleted.key = document.text()?,
            "VersionId" => deleted.version_id = Some(document.text()?).filter(|v| !v.is_empty()),
            "DeleteMarker" => deleted.delete_marker = Some(read_bool(document)?),
            "DeleteMarkerVersionId" => {
                deleted.delete_marker_version_id = Some(document.text()?).filter(|v| !v.is_empty())
            }
            _ => document.skip()?,
        }
        Ok::<_, XmlError>(())
    })?;
    Ok(deleted)
}

fn read_error(document: &mut Document<'_>) -> Result<DeleteError, XmlError> {
    let mut error = DeleteError::default();
    document.children(|name, document| {
        match name {
            "Key" => error.key = document.text()?,
            "VersionId" => error.version_id = Some(document.text()?).filter(|v| !v.is_empty()),
            "Code" => error.code = document.text()?,
            "Message" => error.message = document.text()?,
            _ => document.skip()?,
        }
        Ok::<_, XmlError>(())
    })?;
    Ok(error)
}
