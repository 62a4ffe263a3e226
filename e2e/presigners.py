"""Every presigner behind one call: an operation and its parameters in S3's names become a URL, and the headers that it says must go with it."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

from minio import Minio

from clients import Target
from raw import host_of
from toolchains import Presigner

METHODS = {
    "PutObject": "PUT", "GetObject": "GET", "HeadObject": "HEAD", "DeleteObject": "DELETE", "HeadBucket": "HEAD", "ListObjects": "GET", "ListObjectsV2": "GET",
    "ListObjectVersions": "GET", "ListMultipartUploads": "GET", "ListBuckets": "GET", "GetBucketLocation": "GET", "GetBucketVersioning": "GET",
    "CreateMultipartUpload": "POST", "UploadPart": "PUT", "UploadPartCopy": "PUT", "ListParts": "GET", "CompleteMultipartUpload": "POST", "AbortMultipartUpload": "DELETE",
    "GetObjectTagging": "GET", "PutObjectTagging": "PUT", "DeleteObjectTagging": "DELETE", "GetObjectAttributes": "GET", "CopyObject": "PUT", "DeleteObjects": "POST",
}
NEEDS_A_BODY = {"PutObjectTagging", "DeleteObjects"}

HEADERS = {
    "ContentType": "content-type", "Tagging": "x-amz-tagging", "ACL": "x-amz-acl", "StorageClass": "x-amz-storage-class", "IfNoneMatch": "if-none-match", "IfMatch": "if-match",
    "Range": "range", "CopySource": "x-amz-copy-source", "CopySourceRange": "x-amz-copy-source-range", "ObjectAttributes": "x-amz-object-attributes",
    "MetadataDirective": "x-amz-metadata-directive", "ServerSideEncryption": "x-amz-server-side-encryption", "ChecksumMode": "x-amz-checksum-mode",
}


def headers_of(url: str, parameters: dict[str, object]) -> dict[str, str]:
    """The headers that a URL's own list of signed ones names, with the values that were signed."""
    known = {HEADERS[name]: ",".join(value) if isinstance(value, list) else value for name, value in parameters.items() if name in HEADERS and isinstance(value, (str, list))}
    known |= {f"x-amz-meta-{name}": value for name, value in parameters.get("Metadata", {}).items()}
    signed = dict(parse_qsl(urlsplit(url).query)).get("X-Amz-SignedHeaders", "host").split(";")
    return {name: known[name] for name in signed if name not in ("host", "content-length")}


class Boto3:
    """boto3 with version 4; what it sends a body with it cannot presign."""

    operations = METHODS.keys() - NEEDS_A_BODY

    def __init__(self, target: Target, **config):
        self.s3 = target.s3(**config)

    def sign(self, operation: str, parameters: dict[str, object]) -> tuple[str, dict[str, str]]:
        url = self.s3.generate_presigned_url(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).lower(), Params=parameters, ExpiresIn=300)
        return url, headers_of(url, parameters)

    def close(self):
        self.s3.close()


class JavaScript:
    """It moves most headers into the query."""

    operations = METHODS.keys()

    def __init__(self, target: Target):
        self.child = Presigner("js", target)

    def sign(self, operation: str, parameters: dict[str, object]) -> tuple[str, dict[str, str]]:
        url, _ = self.child.sign(operation, parameters)
        return url, headers_of(url, parameters)

    def close(self):
        self.child.close()


class Go:
    """It says which headers have to be sent."""

    operations = {"PutObject", "GetObject", "HeadObject", "DeleteObject", "HeadBucket", "UploadPart"}

    def __init__(self, target: Target):
        self.child = Presigner("go", target)
        self.sign, self.close = self.child.sign, self.child.close


class Java(Go):
    """As Go's, and whole multipart uploads."""

    operations = Go.operations | {"CreateMultipartUpload", "CompleteMultipartUpload", "AbortMultipartUpload"}

    def __init__(self, target: Target):
        self.child = Presigner("java", target)
        self.sign, self.close = self.child.sign, self.child.close


class MinioPy:
    """Any method and query on an object; no headers."""

    operations = {"PutObject", "GetObject", "HeadObject", "DeleteObject", "CreateMultipartUpload", "UploadPart", "ListParts", "CompleteMultipartUpload", "AbortMultipartUpload", "GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging"}
    sub_resources = {"CreateMultipartUpload": {"uploads": ""}, "GetObjectTagging": {"tagging": ""}, "PutObjectTagging": {"tagging": ""}, "DeleteObjectTagging": {"tagging": ""}}

    def __init__(self, target: Target):
        self.client = Minio(host_of(target.endpoint), target.access_key, target.secret_key, secure=False, region=target.region)

    def sign(self, operation: str, parameters: dict[str, object]) -> tuple[str, dict[str, str]]:
        query = dict(self.sub_resources.get(operation, {}))
        query |= {name: str(parameters[key]) for key, name in (("UploadId", "uploadId"), ("PartNumber", "partNumber")) if key in parameters}
        overrides = {"response-content-type": "ResponseContentType", "response-content-disposition": "ResponseContentDisposition", "response-cache-control": "ResponseCacheControl"}
        url = self.client.get_presigned_url(
            METHODS[operation], parameters["Bucket"], parameters["Key"], timedelta(minutes=5), version_id=parameters.get("VersionId"),
            response_headers={header: parameters[name] for header, name in overrides.items() if name in parameters}, extra_query_params=query,
        )
        return url, {}

    def close(self):
        pass


PRESIGNERS = {"boto3": Boto3, "js": JavaScript, "go": Go, "java": Java, "minio": MinioPy}
