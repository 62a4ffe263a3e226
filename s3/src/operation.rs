//! Every S3 operation by its name in the API reference, what it touches, and whether the gateway performs it.
use strum::{EnumIter, IntoStaticStr};

/// An S3 operation (Amazon S3 API Reference, "Actions"). `Into<&'static str>` gives its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, EnumIter)]
#[allow(missing_docs)] // the names are S3's own and documented there
pub enum Operation {
    ListBuckets,
    CreateBucket,
    DeleteBucket,
    HeadBucket,
    GetBucketLocation,
    ListObjects,
    ListObjectsV2,
    DeleteObjects,
    GetObject,
    HeadObject,
    PutObject,
    DeleteObject,
    CopyObject,
    GetObjectAttributes,
    GetObjectTagging,
    PutObjectTagging,
    DeleteObjectTagging,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
    ListMultipartUploads,
    GetBucketTagging,
    PutBucketTagging,
    DeleteBucketTagging,
    GetBucketVersioning,
    PutBucketVersioning,
    ListObjectVersions,
    // Known by name, answered NotImplemented.
    PostObject,
    RestoreObject,
    SelectObjectContent,
    WriteGetObjectResponse,
    RenameObject,
    GetObjectTorrent,
    GetObjectAcl,
    PutObjectAcl,
    GetObjectLegalHold,
    PutObjectLegalHold,
    GetObjectRetention,
    PutObjectRetention,
    GetObjectLockConfiguration,
    PutObjectLockConfiguration,
    GetBucketAccelerateConfiguration,
    PutBucketAccelerateConfiguration,
    GetBucketAcl,
    PutBucketAcl,
    GetBucketAnalyticsConfiguration,
    PutBucketAnalyticsConfiguration,
    DeleteBucketAnalyticsConfiguration,
    ListBucketAnalyticsConfigurations,
    GetBucketCors,
    PutBucketCors,
    DeleteBucketCors,
    GetBucketEncryption,
    PutBucketEncryption,
    DeleteBucketEncryption,
    GetBucketIntelligentTieringConfiguration,
    PutBucketIntelligentTieringConfiguration,
    DeleteBucketIntelligentTieringConfiguration,
    ListBucketIntelligentTieringConfigurations,
    GetBucketInventoryConfiguration,
    PutBucketInventoryConfiguration,
    DeleteBucketInventoryConfiguration,
    ListBucketInventoryConfigurations,
    GetBucketLifecycleConfiguration,
    PutBucketLifecycleConfiguration,
    DeleteBucketLifecycle,
    GetBucketLogging,
    PutBucketLogging,
    GetBucketMetadataConfiguration,
    CreateBucketMetadataConfiguration,
    DeleteBucketMetadataConfiguration,
    GetBucketMetadataTableConfiguration,
    CreateBucketMetadataTableConfiguration,
    DeleteBucketMetadataTableConfiguration,
    GetBucketMetricsConfiguration,
    PutBucketMetricsConfiguration,
    DeleteBucketMetricsConfiguration,
    ListBucketMetricsConfigurations,
    GetBucketNotificationConfiguration,
    PutBucketNotificationConfiguration,
    GetBucketOwnershipControls,
    PutBucketOwnershipControls,
    DeleteBucketOwnershipControls,
    GetBucketPolicy,
    PutBucketPolicy,
    DeleteBucketPolicy,
    GetBucketPolicyStatus,
    GetBucketReplication,
    PutBucketReplication,
    DeleteBucketReplication,
    GetBucketRequestPayment,
    PutBucketRequestPayment,
    GetBucketWebsite,
    PutBucketWebsite,
    DeleteBucketWebsite,
    GetPublicAccessBlock,
    PutPublicAccessBlock,
    DeletePublicAccessBlock,
    CreateSession,
    ListDirectoryBuckets,
    UpdateBucketMetadataAnnotationTableConfiguration,
    UpdateBucketMetadataInventoryTableConfiguration,
    UpdateBucketMetadataJournalTableConfiguration,
    GetBucketAbac,
    PutBucketAbac,
    UpdateObjectEncryption,
    GetObjectAnnotation,
    PutObjectAnnotation,
    DeleteObjectAnnotation,
    ListObjectAnnotations,
    /// CORS preflight.
    Options,
}

/// What an operation does to data: decides residency checks, marks and failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads; may be served by a clean replica.
    Read,
    /// Changes objects or uploads; goes to the home and is marked.
    Write,
}

impl Operation {
    /// The operation's name in the S3 API reference; safe as a metric label.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether the gateway performs it; the others are answered `NotImplemented`.
    pub fn is_implemented(self) -> bool {
        use Operation::*;
        matches!(
            self,
            ListBuckets
                | CreateBucket
                | DeleteBucket
                | HeadBucket
                | GetBucketLocation
                | ListObjects
                | ListObjectsV2
                | DeleteObjects
                | GetObject
                | HeadObject
                | PutObject
                | DeleteObject
                | CopyObject
                | GetObjectAttributes
                | GetObjectTagging
                | PutObjectTagging
                | DeleteObjectTagging
                | CreateMultipartUpload
                | UploadPart
                | UploadPartCopy
                | CompleteMultipartUpload
                | AbortMultipartUpload
                | ListParts
                | ListMultipartUploads
                | GetBucketTagging
                | PutBucketTagging
                | DeleteBucketTagging
                | GetBucketVersioning
                | PutBucketVersioning
                | ListObjectVersions
        )
    }

    /// Read or write, for operations that [`Operation::is_implemented`].
    pub fn access(self) -> Access {
        use Operation::*;
        match self {
            ListBuckets | HeadBucket | GetBucketLocation | ListObjects | ListObjectsV2 | GetObject | HeadObject
            | GetObjectAttributes | GetObjectTagging | ListParts | ListMultipartUploads | GetBucketTagging
            | GetBucketVersioning | ListObjectVersions => Access::Read,
            _ => Access::Write,
        }
    }
}
