"""Operations that a server may lack: each is served as S3 documents it, or is NotImplemented by name; never taken for another operation.

Source: Amazon S3 API Reference, the pages of the operations that the cases name; "Error responses", NotImplemented.
"""

from __future__ import annotations

from conformance.case import Differs, case, each, equal
from conformance.s3 import Bucket, Reply

READS = {
    "GetBucketAcl": ("", "acl", "AccessControlPolicy"),
    "GetBucketPolicy": ("", "policy", "NoSuchBucketPolicy"),
    "GetBucketPolicyStatus": ("", "policyStatus", "PolicyStatus", "NoSuchBucketPolicy"),
    "GetBucketCors": ("", "cors", "NoSuchCORSConfiguration"),
    "GetBucketLifecycleConfiguration": ("", "lifecycle", "NoSuchLifecycleConfiguration"),
    "GetBucketEncryption": ("", "encryption", "ServerSideEncryptionConfiguration", "ServerSideEncryptionConfigurationNotFoundError"),
    "GetBucketWebsite": ("", "website", "NoSuchWebsiteConfiguration"),
    "GetBucketReplication": ("", "replication", "ReplicationConfigurationNotFoundError"),
    "GetBucketLogging": ("", "logging", "BucketLoggingStatus"),
    "GetBucketNotificationConfiguration": ("", "notification", "NotificationConfiguration"),
    "GetBucketRequestPayment": ("", "requestPayment", "RequestPaymentConfiguration"),
    "GetBucketAccelerateConfiguration": ("", "accelerate", "AccelerateConfiguration"),
    "GetBucketOwnershipControls": ("", "ownershipControls", "OwnershipControls", "OwnershipControlsNotFoundError"),
    "GetPublicAccessBlock": ("", "publicAccessBlock", "PublicAccessBlockConfiguration", "NoSuchPublicAccessBlockConfiguration"),
    "GetObjectLockConfiguration": ("", "object-lock", "ObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"),
    "ListBucketAnalyticsConfigurations": ("", "analytics", "ListBucketAnalyticsConfigurationResult"),
    "ListBucketMetricsConfigurations": ("", "metrics", "ListMetricsConfigurationsResult"),
    "ListBucketInventoryConfigurations": ("", "inventory", "ListInventoryConfigurationsResult"),
    "ListBucketIntelligentTieringConfigurations": ("", "intelligent-tiering", "ListBucketIntelligentTieringConfigurationsOutput"),
    "GetObjectAcl": ("k", "acl", "AccessControlPolicy"),
    "GetObjectRetention": ("k", "retention", "NoSuchObjectLockConfiguration", "InvalidRequest"),
    "GetObjectLegalHold": ("k", "legal-hold", "NoSuchObjectLockConfiguration", "InvalidRequest"),
}


def served_or_not_implemented(reply: Reply, *answers: str):
    """`answers`: the document's root or the error's code that S3 has for it."""
    if reply.status == 501:
        reply.fails(501, "NotImplemented")
        return
    root = reply.xml()
    what = (reply.code or root.tag) if root is not None else reply.brief()
    if what not in answers:
        raise Differs(f"S3 says {' or '.join(answers)}, or NotImplemented; got {reply.brief()}")


@each(READS)
def Read_by(b: Bucket, row: tuple[str, ...]):
    key, query, *answers = row
    served_or_not_implemented(b.given("k", body=b"data").get(key, query), *answers)


@each({
    "DeleteBucketPolicy": "policy", "DeleteBucketCors": "cors", "DeleteBucketLifecycle": "lifecycle", "DeleteBucketWebsite": "website",
    "DeleteBucketEncryption": "encryption", "DeleteBucketReplication": "replication", "DeletePublicAccessBlock": "publicAccessBlock",
    "DeleteBucketOwnershipControls": "ownershipControls", "DeleteBucketAnalyticsConfiguration": "analytics&id=1", "DeleteBucketInventoryConfiguration": "inventory&id=1",
})
def The_bucket_stays_under(b: Bucket, query: str):
    """A server that took the operation for DeleteBucket would drop it, or say that it is not empty."""
    b.given("k", body=b"data")
    reply = b.delete(query=query)
    if reply.status not in (200, 204):
        reply.is_refused()
    assert reply.code != "BucketNotEmpty", "taken for DeleteBucket"
    equal(b.get("k").is_(200).body, b"data")


ACL = '<AccessControlPolicy><Owner><ID>{id}</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>'
WRITES = {
    "PutObjectAcl": ("PUT", "acl", ACL),
    "PutObjectRetention": ("PUT", "retention", "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2038-01-01T00:00:00Z</RetainUntilDate></Retention>"),
    "PutObjectLegalHold": ("PUT", "legal-hold", "<LegalHold><Status>ON</Status></LegalHold>"),
    "RestoreObject": ("POST", "restore", "<RestoreRequest><Days>1</Days></RestoreRequest>"),
    "SelectObjectContent": ("POST", "select&select-type=2", "<SelectObjectContentRequest><Expression>select * from S3Object</Expression><ExpressionType>SQL</ExpressionType><InputSerialization><CSV/></InputSerialization><OutputSerialization><CSV/></OutputSerialization></SelectObjectContentRequest>"),
}


@each(WRITES)
def The_object_stays_under(b: Bucket, row: tuple[str, str, str]):
    """A server that took the operation for PutObject would overwrite it with the document."""
    method, query, document = row
    reply = b.given("k", body=b"data").call(method, "k", query, document.format(id="x").encode())
    if reply.status not in (200, 202):
        reply.is_refused()
    equal(b.get("k").is_(200).body, b"data")


CORS = "<CORSConfiguration><CORSRule><AllowedOrigin>https://example.com</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>"
LIFECYCLE = "<LifecycleConfiguration><Rule><ID>r</ID><Filter><Prefix>old/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>365</Days></Expiration></Rule></LifecycleConfiguration>"
ENCRYPTION = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
BLOCK = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>"
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:DeleteBucket","Resource":"arn:aws:s3:::%s"}]}'
CONFIGURATIONS = {
    "PutBucketCors": ("cors", CORS, b"https://example.com"),
    "PutBucketLifecycleConfiguration": ("lifecycle", LIFECYCLE, b"old/"),
    "PutBucketEncryption": ("encryption", ENCRYPTION, b"AES256"),
    "PutPublicAccessBlock": ("publicAccessBlock", BLOCK, b"true"),
    "PutBucketPolicy": ("policy", POLICY, b"s3:DeleteBucket"),
    "PutBucketWebsite": ("website", "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument></WebsiteConfiguration>", b"index.html"),
}


@each(CONFIGURATIONS)
def Kept_or_refused(b: Bucket, row: tuple[str, str, bytes]):
    """What was accepted must be given back."""
    query, document, mark = row
    reply = b.put_xml("", query, document.replace("%s", b.name))
    if reply.status in (200, 204):
        assert mark in b.get(query=query).is_(200).body, "accepted, but not kept"
    else:
        reply.is_refused()


@case
def A_form_upload_is_served_or_refused(b: Bucket):
    """PostObject without a policy is an anonymous write, which a bucket of one's own does not allow."""
    body = b"--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\ndata\r\n--x--\r\n"
    b.exchange(b.request("POST", body=body, content_type="multipart/form-data; boundary=x").put("Host", b.host())).is_refused()
    b.get("k").fails(404, "NoSuchKey")


@case
def A_CORS_preflight_without_a_configuration_is_refused(b: Bucket):
    """"CORSResponse: CORS is not enabled for this bucket.", 403; a server without CORS may say NotImplemented."""
    request = b.request("OPTIONS", "k", origin="https://example.com", access_control_request_method="GET").put("Host", b.host())
    b.exchange(request).is_(403, 501)
