//! The checksum that a multipart upload is begun with, and what of it is kept while the upload is open.
//! Source: Amazon S3 API Reference, CreateMultipartUpload; Amazon S3 User Guide, "Checking object integrity in Amazon S3".
use super::checksums::parse_algorithm;
use crate::gateway::Gateway;
use s3gateway_s3::{
    S3Code, S3Error, S3Request,
    checksum::{Algorithm, ChecksumType},
};
use s3gateway_store::{Route, UploadedPart};
use std::collections::HashMap;

/// How an upload's checksum is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UploadChecksum {
    pub(crate) algorithm: Algorithm,
    pub(crate) kind: ChecksumType,
}

impl UploadChecksum {
    /// That of an upload which asks for none.
    pub(crate) const DEFAULT: Self = Self { algorithm: Algorithm::DEFAULT, kind: ChecksumType::FullObject };

    /// Parses `x-amz-checksum-algorithm` and `x-amz-checksum-type`.
    ///
    /// # Errors
    /// `InvalidRequest` for what is not known, and for an algorithm whose checksums cannot make one of that type.
    pub(super) fn parse(request: &S3Request) -> Result<Option<Self>, S3Error> {
        let kind =
            match request.header("x-amz-checksum-type") {
                None => None,
                Some(name) => Some(ChecksumType::from_name(name.trim()).ok_or_else(|| {
                    S3Code::InvalidRequest.because("Value for x-amz-checksum-type header is invalid.")
                })?),
            };
        let Some(algorithm) = parse_algorithm(request)? else {
            return match kind {
                None => Ok(None),
                Some(_) => Err(S3Code::InvalidRequest.because(
                    "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
                )),
            };
        };
        let kind = kind.unwrap_or(match algorithm {
            Algorithm::Crc64Nvme => ChecksumType::FullObject,
            _ => ChecksumType::Composite,
        });
        let fits = match algorithm {
            Algorithm::Crc64Nvme => kind == ChecksumType::FullObject,
            Algorithm::Crc32 | Algorithm::Crc32c => true,
            // Only a CRC of the whole can be made from those of its parts.
            _ => kind == ChecksumType::Composite,
        };
        match fits {
            true => Ok(Some(Self { algorithm, kind })),
            false => Err(S3Code::InvalidRequest.because(format!(
                "The {} checksum type cannot be used with the {} checksum algorithm.",
                kind.name(),
                algorithm.name().to_ascii_lowercase(),
            ))),
        }
    }

    /// As it stands in an upload id.
    pub(super) fn render(self) -> String {
        format!("{}:{}", self.algorithm.name(), self.kind.name())
    }

    /// From an upload id.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (algorithm, kind) = text.split_once(':')?;
        Some(Self { algorithm: Algorithm::from_name(algorithm)?, kind: ChecksumType::from_name(kind)? })
    }
}

impl Gateway {
    /// Notes what an upload was asked for, so that a listing can name it.
    pub(super) async fn keep_upload_checksum(&self, route: &Route, upload_id: &str, asked: UploadChecksum) {
        let put = self.metadata.put_upload_checksum(&route.bucket, upload_id, asked.algorithm, asked.kind);
        self.checksum_writes.ask("keep", put).await;
    }

    /// What the bucket's open uploads were asked for, by the backend's upload id.
    pub(super) async fn kept_upload_checksums(&self, route: &Route) -> HashMap<String, UploadChecksum> {
        let kept =
            self.checksum_reads.ask("list", self.metadata.upload_checksums(&route.bucket)).await.unwrap_or_default();
        kept.into_iter().map(|(id, (algorithm, kind))| (id, UploadChecksum { algorithm, kind })).collect()
    }

    /// Keeps the checksum of a part that has just been written, for the completion.
    pub(crate) async fn keep_part(&self, route: &Route, upload_id: &str, part: &UploadedPart) {
        self.checksum_writes.ask("keep", self.metadata.put_upload_part(&route.bucket, upload_id, part)).await;
    }

    /// The parts of an open upload whose checksums are kept, by number.
    pub(super) async fn kept_parts(&self, route: &Route, upload_id: &str) -> HashMap<u32, UploadedPart> {
        let kept = self
            .checksum_reads
            .ask("read", self.metadata.upload_parts(&route.bucket, upload_id))
            .await
            .unwrap_or_default();
        kept.into_iter().map(|part| (part.number, part)).collect()
    }

    /// Forgets what was kept of an upload that has ended.
    pub(super) async fn forget_upload_checksums(&self, route: &Route, upload_id: &str) {
        self.checksum_writes.ask("forget", self.metadata.delete_upload_checksums(&route.bucket, upload_id)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue, Method};

    #[test]
    fn what_an_upload_can_ask_for() {
        use Algorithm::*;
        use ChecksumType::*;
        for (algorithm, kind, want) in [
            (None, None, Ok(None)),
            (None, Some("COMPOSITE"), Err(())),
            (Some("CRC32"), None, Ok(Some((Crc32, Composite)))),
            (Some("crc32c"), Some("FULL_OBJECT"), Ok(Some((Crc32c, FullObject)))),
            (Some("CRC64NVME"), None, Ok(Some((Crc64Nvme, FullObject)))),
            (Some("CRC64NVME"), Some("COMPOSITE"), Err(())),
            (Some("SHA256"), None, Ok(Some((Sha256, Composite)))),
            (Some("SHA1"), Some("FULL_OBJECT"), Err(())),
            (Some("CRC7"), None, Err(())),
            (Some("CRC32"), Some("whole"), Err(())),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("localhost"));
            if let Some(algorithm) = algorithm {
                headers.insert("x-amz-checksum-algorithm", HeaderValue::from_static(algorithm));
            }
            if let Some(kind) = kind {
                headers.insert("x-amz-checksum-type", HeaderValue::from_static(kind));
            }
            let request = S3Request::parse(&Method::POST, "/mine/k?uploads", headers, &[]).expect("a request");
            let got = UploadChecksum::parse(&request);
            if let Ok(Some(asked)) = got {
                assert_eq!(UploadChecksum::read(&asked.render()), Some(asked));
            }
            let got = got.map(|asked| asked.map(|a| (a.algorithm, a.kind)));
            assert_eq!(got.map_err(|e| assert_eq!(e.code, S3Code::InvalidRequest)), want, "{algorithm:?} {kind:?}");
        }
    }
}
