"""Versions: enabling and suspending, reading, deleting and listing by version, delete markers, the null version.

Source: User Guide, "Using versioning in S3 buckets" and its pages on delete markers and on suspended buckets; Amazon S3 API Reference,
PutBucketVersioning, GetBucketVersioning, ListObjectVersions, GetObject, DeleteObject, DeleteObjects.
"""

from __future__ import annotations

from clients import md5
from conformance.case import case, each, equal, one_of
from conformance.s3 import Bucket, Reply, Upload
from sigv4 import encode, md5_base64

VERSIONING = "<VersioningConfiguration><Status>{}</Status></VersioningConfiguration>"


def put(b: Bucket, body: bytes, key: str = "k", **headers: str) -> str:
    return b.put(key, body, **headers).is_(200).get("x-amz-version-id") or ""


def at(version: str) -> str:
    return f"versionId={encode(version)}"


def two(b: Bucket) -> tuple[str, str]:
    b.versioned()
    return put(b, b"one"), put(b, b"two")


def deleted(b: Bucket, key: str = "k") -> str:
    reply = b.delete(key).is_(204).has("x-amz-delete-marker", "true")
    return reply.get("x-amz-version-id") or ""


def listed(b: Bucket, query: str = "") -> Reply:
    reply = b.get(query="versions" + (f"&{query}" if query else "")).is_(200)
    reply.root("ListVersionsResult")
    return reply


def entries(reply: Reply) -> list[tuple[str, str, str, str]]:
    """Kind, key, version and IsLatest of each entry, in order."""
    found = [e for e in reply.root("ListVersionsResult") if e.tag in ("Version", "DeleteMarker")]
    return [(e.tag, e.findtext("Key") or "", e.findtext("VersionId") or "", e.findtext("IsLatest") or "") for e in found]


def delete_versions(b: Bucket, *pairs: tuple[str, str]) -> Reply:
    objects = "".join(f"<Object><Key>{k}</Key>{f'<VersionId>{v}</VersionId>' if v else ''}</Object>" for k, v in pairs)
    document = f"<Delete>{objects}</Delete>".encode()
    return b.post(query="delete", body=document, content_md5=md5_base64(document)).is_(200)


@case
def A_new_bucket_has_no_versioning_state(b: Bucket):
    reply = b.get(query="versioning").is_(200)
    reply.root("VersioningConfiguration")
    equal(reply.text("Status"), None)


@each({"Enabled": "Enabled", "Suspended": "Suspended"})
def PutBucketVersioning_sets_the_state(b: Bucket, status: str):
    equal(b.versioned(status).get(query="versioning").is_(200).text("Status"), status)


@case
def PutBucketVersioning_with_another_state_is_refused(b: Bucket):
    b.put_xml("", "versioning", VERSIONING.format("Sometimes")).fails(400, "MalformedXML", "IllegalVersioningConfigurationException")


@case
def PutBucketVersioning_of_a_missing_bucket_is_NoSuchBucket(b: Bucket):
    b.named(f"{b.name}-none").put_xml("", "versioning", VERSIONING.format("Enabled")).fails(404, "NoSuchBucket")


@case
def Without_versioning_no_version_id_is_answered(b: Bucket):
    b.put("k", b"x").is_(200).has("x-amz-version-id", None)
    b.get("k").is_(200).has("x-amz-version-id", None)
    b.delete("k").is_(204).has("x-amz-delete-marker", None)


@case
def Each_put_makes_a_new_version(b: Bucket):
    one, two_ = two(b)
    assert one and two_ and one != two_ and "null" not in (one, two_), (one, two_)


@case
def A_read_gives_the_current_version_and_names_it(b: Bucket):
    _, second = two(b)
    equal(b.get("k").is_(200).has("x-amz-version-id", second).body, b"two")
    b.head("k").is_(200).has("x-amz-version-id", second)


@case
def GetObject_by_version_gives_that_version(b: Bucket):
    first, second = two(b)
    equal(b.get("k", at(first)).is_(200).has("x-amz-version-id", first).body, b"one")
    equal(b.get("k", at(second)).is_(200).has("x-amz-version-id", second).body, b"two")


@case
def HeadObject_by_version_describes_that_version(b: Bucket):
    first, _ = two(b)
    b.head("k", at(first)).is_(200).has("etag", f'"{md5(b"one")}"').has("x-amz-version-id", first)


@case
def A_range_of_a_version(b: Bucket):
    first, _ = two(b)
    equal(b.get("k", at(first), range="bytes=1-").is_(206).body, b"ne")


@case
def Conditions_hold_for_the_version_that_is_asked_for(b: Bucket):
    first, _ = two(b)
    b.get("k", at(first), if_match=f'"{md5(b"one")}"').is_(200)
    b.get("k", at(first), if_match=f'"{md5(b"two")}"').fails(412, "PreconditionFailed")


@case
def Each_version_keeps_its_own_metadata(b: Bucket):
    b.versioned()
    first = put(b, b"one", x_amz_meta_n="1")
    put(b, b"two", x_amz_meta_n="2")
    b.head("k", at(first)).is_(200).has("x-amz-meta-n", "1")


@case
def A_version_that_is_gone_is_NoSuchVersion(b: Bucket):
    first, _ = two(b)
    b.delete("k", at(first)).is_(204)
    b.get("k", at(first)).fails(404, "NoSuchVersion")
    b.head("k", at(first)).is_(404)


@case
def A_version_id_of_nobody_s_is_refused(b: Bucket):
    two(b)
    reply = b.get("k", "versionId=nobodysversion")
    one_of((reply.status, reply.code), (400, "InvalidArgument"), (404, "NoSuchVersion"))


@case
def DeleteObject_makes_a_delete_marker(b: Bucket):
    two(b)
    assert deleted(b) not in ("", "null")


@case
def Behind_a_delete_marker_the_key_is_NoSuchKey(b: Bucket):
    two(b)
    marker = deleted(b)
    b.get("k").fails(404, "NoSuchKey").has("x-amz-delete-marker", "true").has("x-amz-version-id", marker)
    b.head("k").is_(404).has("x-amz-delete-marker", "true")


@case
def Behind_a_delete_marker_the_key_is_not_listed(b: Bucket):
    two(b)
    deleted(b)
    equal(b.get(query="list-type=2").is_(200).texts("Contents/Key"), [])


@case
def Behind_a_delete_marker_old_versions_can_be_read(b: Bucket):
    first, _ = two(b)
    deleted(b)
    equal(b.get("k", at(first)).is_(200).body, b"one")


@case
def GetObject_of_a_delete_marker_is_MethodNotAllowed(b: Bucket):
    two(b)
    marker = deleted(b)
    reply = b.get("k", at(marker)).fails(405, "MethodNotAllowed").has("x-amz-delete-marker", "true")
    assert reply.get("last-modified"), "no Last-Modified"


@case
def HeadObject_of_a_delete_marker_is_405(b: Bucket):
    two(b)
    b.head("k", at(deleted(b))).is_(405).has("x-amz-delete-marker", "true")


@case
def DeleteObject_of_a_delete_marker_brings_the_object_back(b: Bucket):
    two(b)
    marker = deleted(b)
    b.delete("k", at(marker)).is_(204).has("x-amz-delete-marker", "true").has("x-amz-version-id", marker)
    equal(b.get("k").is_(200).body, b"two")


@case
def DeleteObject_upon_a_delete_marker_makes_another(b: Bucket):
    two(b)
    assert deleted(b) != deleted(b)
    equal([kind for kind, *_ in entries(listed(b))], ["DeleteMarker", "DeleteMarker", "Version", "Version"])


@case
def DeleteObject_of_a_missing_key_makes_a_delete_marker(b: Bucket):
    deleted(b.versioned(), "never")
    equal([(kind, key) for kind, key, *_ in entries(listed(b))], [("DeleteMarker", "never")])


@case
def DeleteObject_by_version_removes_it_for_good(b: Bucket):
    first, second = two(b)
    b.delete("k", at(first)).is_(204).has("x-amz-version-id", first).has("x-amz-delete-marker", None)
    equal(entries(listed(b)), [("Version", "k", second, "true")])


@case
def DeleteObject_of_the_current_version_makes_the_former_current(b: Bucket):
    first, second = two(b)
    b.delete("k", at(second)).is_(204)
    equal(b.get("k").is_(200).has("x-amz-version-id", first).body, b"one")


@case
def A_put_upon_a_delete_marker_is_the_current_version(b: Bucket):
    two(b)
    deleted(b)
    put(b, b"three")
    equal(b.get("k").is_(200).body, b"three")
    equal([kind for kind, *_ in entries(listed(b))], ["Version", "DeleteMarker", "Version", "Version"])


@case
def DeleteObjects_makes_delete_markers(b: Bucket):
    two(b)
    reply = delete_versions(b, ("k", ""))
    equal((reply.text("Deleted/Key"), reply.text("Deleted/DeleteMarker"), bool(reply.text("Deleted/DeleteMarkerVersionId"))), ("k", "true", True))
    b.get("k").fails(404, "NoSuchKey")


@case
def DeleteObjects_by_version_removes_them(b: Bucket):
    first, second = two(b)
    reply = delete_versions(b, ("k", first), ("k", second))
    equal(sorted(reply.texts("Deleted/VersionId")), sorted([first, second]))
    equal(entries(listed(b)), [])


@case
def DeleteObjects_of_a_delete_marker_brings_the_object_back(b: Bucket):
    two(b)
    marker = deleted(b)
    reply = delete_versions(b, ("k", marker))
    equal((reply.text("Deleted/DeleteMarker"), reply.text("Deleted/DeleteMarkerVersionId")), ("true", marker))
    equal(b.get("k").is_(200).body, b"two")


@case
def CompleteMultipartUpload_names_the_new_version(b: Bucket):
    upload = Upload.begin(b.versioned(), "k")
    upload.part(1, b"part").is_(200)
    version = upload.complete().is_(200).get("x-amz-version-id")
    b.get("k").is_(200).has("x-amz-version-id", version)
    assert version, "no version"


@case
def PutObject_If_None_Match_asterisk_creates_upon_a_delete_marker(b: Bucket):
    two(b)
    deleted(b)
    b.put("k", b"three", if_none_match="*").is_(200)


@case
def PutObject_If_Match_upon_a_delete_marker_is_404(b: Bucket):
    two(b)
    deleted(b)
    b.put("k", b"three", if_match=f'"{md5(b"two")}"').is_(404)


@case
def GetObjectAttributes_by_version(b: Bucket):
    first, _ = two(b)
    reply = b.get("k", f"attributes&{at(first)}", x_amz_object_attributes="ETag").is_(200).has("x-amz-version-id", first)
    equal(reply.text("ETag"), md5(b"one"))


@case
def ListObjectVersions_lists_the_newest_of_a_key_first(b: Bucket):
    first, second = two(b)
    equal(entries(listed(b)), [("Version", "k", second, "true"), ("Version", "k", first, "false")])


@case
def ListObjectVersions_lists_delete_markers_in_their_place(b: Bucket):
    first, second = two(b)
    marker = deleted(b)
    equal(entries(listed(b)), [("DeleteMarker", "k", marker, "true"), ("Version", "k", second, "false"), ("Version", "k", first, "false")])


@case
def ListObjectVersions_describes_each_version(b: Bucket):
    b.versioned()
    put(b, b"hello")
    reply = listed(b)
    equal([reply.text(f"Version/{e}") for e in ("ETag", "Size", "StorageClass")], [f'"{md5(b"hello")}"', "5", "STANDARD"])
    assert reply.text("Version/LastModified") and reply.text("Version/Owner/ID")
    equal((reply.text("Name"), reply.text("MaxKeys"), reply.text("IsTruncated")), (b.name, "1000", "false"))


@case
def ListObjectVersions_is_in_the_order_of_keys(b: Bucket):
    b.versioned().given("b", "a", "b", "c/d")
    equal([key for _, key, *_ in entries(listed(b))], ["a", "b", "b", "c/d"])


@case
def ListObjectVersions_by_prefix(b: Bucket):
    b.versioned().given("a/1", "b/1")
    equal([key for _, key, *_ in entries(listed(b, "prefix=a/"))], ["a/1"])


@case
def ListObjectVersions_groups_by_delimiter(b: Bucket):
    reply = listed(b.versioned().given("a", "b/1", "b/2", "b/2"), "delimiter=/")
    equal(([key for _, key, *_ in entries(reply)], reply.texts("CommonPrefixes/Prefix")), (["a"], ["b/"]))


@case
def ListObjectVersions_pages_through_the_versions_of_a_key(b: Bucket):
    b.versioned()
    made = [put(b, str(n).encode()) for n in range(4)]
    marker = deleted(b)
    seen, query = [], "max-keys=2"
    for _ in range(4):
        reply = listed(b, query)
        seen += [version for *_, version, _ in entries(reply)]
        if reply.text("IsTruncated") == "false":
            break
        query = f"max-keys=2&key-marker={encode(reply.text('NextKeyMarker') or '')}&version-id-marker={encode(reply.text('NextVersionIdMarker') or '')}"
    equal(seen, [marker, *made[::-1]])


@case
def ListObjectVersions_by_key_marker_begins_behind_the_key(b: Bucket):
    b.versioned().given("a", "a", "b")
    reply = listed(b, "key-marker=a")
    equal(([key for _, key, *_ in entries(reply)], reply.text("KeyMarker")), (["b"], "a"))


@case
def ListObjectVersions_encodes_keys_when_asked(b: Bucket):
    reply = listed(b.versioned().given("a b+c"), "encoding-type=url")
    one_of(reply.text("Version/Key"), "a+b%2Bc", "a%20b%2Bc")
    equal(reply.text("EncodingType"), "url")


@case
def ListObjectVersions_of_a_bucket_without_versioning_lists_null_versions(b: Bucket):
    equal(entries(listed(b.given("k"))), [("Version", "k", "null", "true")])


@case
def An_object_from_before_versioning_is_the_null_version(b: Bucket):
    b.given("k", body=b"before").versioned()
    second = put(b, b"after")
    equal(b.get("k", "versionId=null").is_(200).body, b"before")
    equal(entries(listed(b)), [("Version", "k", second, "true"), ("Version", "k", "null", "false")])


@case
def An_object_without_versioning_can_be_read_as_its_null_version(b: Bucket):
    equal(b.given("k", body=b"x").get("k", "versionId=null").is_(200).body, b"x")


def suspended(b: Bucket) -> str:
    b.versioned()
    kept = put(b, b"kept")
    b.versioned("Suspended")
    return kept


@case
def Suspended_versioning_puts_the_null_version(b: Bucket):
    kept = suspended(b)
    one_of(b.put("k", b"null one").is_(200).get("x-amz-version-id"), None, "null")
    equal(entries(listed(b)), [("Version", "k", "null", "true"), ("Version", "k", kept, "false")])


@case
def Suspended_versioning_overwrites_only_the_null_version(b: Bucket):
    kept = suspended(b)
    put(b, b"null one")
    put(b, b"null two")
    equal([version for *_, version, _ in entries(listed(b))], ["null", kept])
    equal((b.get("k").body, b.get("k", at(kept)).body), (b"null two", b"kept"))


@case
def Suspended_versioning_deletes_by_a_null_delete_marker(b: Bucket):
    kept = suspended(b)
    put(b, b"null one")
    b.delete("k").is_(204).has("x-amz-delete-marker", "true")
    equal(entries(listed(b)), [("DeleteMarker", "k", "null", "true"), ("Version", "k", kept, "false")])


@case
def Suspended_versioning_can_be_enabled_again(b: Bucket):
    suspended(b)
    put(b, b"null one")
    b.versioned()
    assert put(b, b"new") not in ("", "null")
    equal(b.get("k", "versionId=null").is_(200).body, b"null one")


@case
def Tags_belong_to_a_version(b: Bucket):
    first, second = two(b)
    tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    b.put_xml("k", f"tagging&{at(first)}", tagging).is_(200).has("x-amz-version-id", first)
    equal(b.get("k", f"tagging&{at(first)}").is_(200).texts("TagSet/Tag/Key"), ["a"])
    equal(b.get("k", "tagging").is_(200).has("x-amz-version-id", second).texts("TagSet/Tag/Key"), [])


@case
def DeleteObjectTagging_by_version(b: Bucket):
    b.versioned()
    first = put(b, b"one", x_amz_tagging="a=1")
    put(b, b"two", x_amz_tagging="a=2")
    b.delete("k", f"tagging&{at(first)}").is_(204)
    equal((b.get("k", f"tagging&{at(first)}").texts("TagSet/Tag/Key"), b.get("k", "tagging").texts("TagSet/Tag/Value")), ([], ["2"]))


@case
def CopyObject_from_a_version(b: Bucket):
    first, _ = two(b)
    reply = b.put("copy", x_amz_copy_source=f"{b.name}/k?{at(first)}").is_(200).has("x-amz-copy-source-version-id", first)
    assert reply.get("x-amz-version-id"), "the copy has no version"
    equal(b.get("copy").body, b"one")


@case
def CopyObject_of_an_old_version_onto_its_key_restores_it(b: Bucket):
    first, _ = two(b)
    b.put("k", x_amz_copy_source=f"{b.name}/k?{at(first)}").is_(200)
    equal((b.get("k").body, len(entries(listed(b)))), (b"one", 3))


@case
def CopyObject_from_a_key_behind_a_delete_marker_is_NoSuchKey(b: Bucket):
    two(b)
    deleted(b)
    b.put("copy", x_amz_copy_source=f"{b.name}/k").fails(404, "NoSuchKey")


@case
def CopyObject_from_a_delete_marker_is_InvalidRequest(b: Bucket):
    two(b)
    b.put("copy", x_amz_copy_source=f"{b.name}/k?{at(deleted(b))}").fails(400, "InvalidRequest")


@case
def UploadPartCopy_from_a_version(b: Bucket):
    first, _ = two(b)
    upload = Upload.begin(b, "copy")
    reply = b.put("copy", query=upload.query(1), x_amz_copy_source=f"{b.name}/k?{at(first)}").is_(200).has("x-amz-copy-source-version-id", first)
    upload.note(1, reply.text("ETag") or "")
    upload.complete().is_(200)
    equal(b.get("copy").body, b"one")
