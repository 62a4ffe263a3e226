//! Documents about buckets: creating one, where it is, and which there are.
use super::{
    Owner, Writer, XmlError,
    listing::present,
    reader::{Document, check_size, malformed, set_once},
    render_timestamp,
};
use crate::{S3Code, S3Error};
use std::time::SystemTime;

/// The body of CreateBucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateBucketConfiguration {
    /// Where the bucket is to be, as written; `None` where the client leaves it open.
    pub location_constraint: Option<String>,
}

impl CreateBucketConfiguration {
    /// Most bytes that a client may send.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Parses a client's document; no body at all leaves the location open.
    ///
    /// # Errors
    /// `MalformedXML`, `MaxMessageLengthExceeded`; `NotImplemented` for a directory bucket or for bucket tags, because
    /// a bucket without them would be another than the one asked for.
    pub fn parse(xml: &[u8]) -> Result<Self, S3Error> {
        if xml.is_empty() {
            return Ok(Self::default());
        }
        check_size(xml, Self::MAX_BYTES)?;
        let (mut location_constraint, mut unsupported) = (None, None);
        let document = Document::enter_as(xml, "CreateBucketConfiguration").map_err(malformed)?;
        let read = document.root_children(|name, document| match name {
            "LocationConstraint" => set_once(&mut location_constraint, document.text()?),
            "Location" | "Bucket" | "Tags" => {
                unsupported = Some(format!("The element {name} of CreateBucketConfiguration is not implemented."));
                document.skip()
            }
            _ => Err(XmlError::Schema),
        });
        read.map_err(malformed)?;
        match unsupported {
            Some(message) => Err(S3Code::NotImplemented.because(message)),
            None => Ok(Self { location_constraint }),
        }
    }

    /// The document as a backend gets it.
    pub fn render(&self) -> String {
        let mut out = Writer::document();
        out.open_root("CreateBucketConfiguration");
        out.optional("LocationConstraint", self.location_constraint.as_deref());
        out.close("CreateBucketConfiguration");
        out.finish()
    }
}

/// The answer of GetBucketLocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocationConstraint(pub String);

impl LocationConstraint {
    /// Parses a backend's answer.
    ///
    /// # Errors
    /// [`XmlError`] where it is none.
    pub fn parse(xml: &[u8]) -> Result<Self, XmlError> {
        Document::enter_as(xml, "LocationConstraint")?.root_text().map(Self)
    }

    /// The document.
    pub fn render(&self) -> String {
        let mut out = Writer::document();
        out.root_text("LocationConstraint", &self.0);
        out.finish()
    }
}

/// A bucket in the answer of ListBuckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketEntry {
    /// The logical name, or a backend's own.
    pub name: String,
    /// When it was created.
    pub creation_date: SystemTime,
    /// Where it is, for clients that filter by it.
    pub region: Option<String>,
}

impl BucketEntry {
    /// Parses a backend's answer to ListBuckets, of which nothing but the buckets is read.
    ///
    /// # Errors
    /// [`XmlError`] where it is none.
    pub fn parse_all(xml: &[u8]) -> Result<Vec<Self>, XmlError> {
        let mut all = Vec::new();
        Document::enter_as(xml, "ListAllMyBucketsResult")?.root_children(|name, document| match name {
            "Buckets" => document.children(|name, document| match name {
                "Bucket" => Self::read(document).map(|bucket| all.push(bucket)),
                _ => document.skip(),
            }),
            _ => document.skip(),
        })?;
        Ok(all)
    }

    fn read(document: &mut Document<'_>) -> Result<Self, XmlError> {
        let (mut name, mut creation_date, mut region) = (String::new(), None, None);
        document.children(|element, document| {
            match element {
                "Name" => name = document.text()?,
                "CreationDate" => creation_date = Some(document.timestamp()?),
                "BucketRegion" => region = present(document.text()?),
                _ => document.skip()?,
            }
            Ok::<_, XmlError>(())
        })?;
        let creation_date = creation_date.filter(|_| !name.is_empty()).ok_or(XmlError::Schema)?;
        Ok(Self { name, creation_date, region })
    }
}

/// The answer of ListBuckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAllMyBucketsResult {
    /// The tenant.
    pub owner: Owner,
    /// The buckets in order of their names.
    pub buckets: Vec<BucketEntry>,
    /// The prefix asked for.
    pub prefix: Option<String>,
    /// Where the next page begins.
    pub continuation_token: Option<String>,
}

impl ListAllMyBucketsResult {
    /// The document.
    pub fn render(&self) -> String {
        let mut out = Writer::document();
        out.open_root("ListAllMyBucketsResult");
        self.owner.write(&mut out);
        out.open("Buckets");
        for bucket in &self.buckets {
            out.open("Bucket");
            out.text("Name", &bucket.name);
            out.display("CreationDate", render_timestamp(bucket.creation_date));
            out.optional("BucketRegion", bucket.region.as_deref());
            out.close("Bucket");
        }
        out.close("Buckets");
        out.optional("Prefix", self.prefix.as_deref());
        out.optional("ContinuationToken", self.continuation_token.as_deref());
        out.close("ListAllMyBucketsResult");
        out.finish()
    }
}
