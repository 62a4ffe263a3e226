"""Multipart uploads: create, upload parts, list, complete, abort.

Source: Amazon S3 API Reference, CreateMultipartUpload, UploadPart, ListParts, ListMultipartUploads, CompleteMultipartUpload,
AbortMultipartUpload; User Guide, "Amazon S3 multipart upload limits".
"""

from __future__ import annotations

import hashlib

from clients import MIB, md5, payload
from conformance.case import case, each, equal, one_of
from conformance.s3 import Bucket, Upload
from sigv4 import md5_base64

BIG = payload(5 * MIB, "multipart")


def two_parts(b: Bucket, key: str = "k", **headers: str) -> Upload:
    upload = Upload.begin(b, key, **headers)
    upload.part(1, BIG).is_(200)
    upload.part(2, b"end").is_(200)
    return upload


def etag_of(*parts: bytes) -> str:
    """The MD5 of the parts' MD5s, and how many they are."""
    return f'"{md5(b"".join(hashlib.md5(p).digest() for p in parts))}-{len(parts)}"'


@case
def CreateMultipartUpload_names_bucket_key_and_upload(b: Bucket):
    reply = b.post("a/k", "uploads").is_(200)
    reply.root("InitiateMultipartUploadResult")
    equal((reply.text("Bucket"), reply.text("Key"), bool(reply.text("UploadId"))), (b.name, "a/k", True))


@case
def CreateMultipartUpload_in_a_missing_bucket_is_NoSuchBucket(b: Bucket):
    b.named(f"{b.name}-none").post("k", "uploads").fails(404, "NoSuchBucket")


@case
def UploadPart_answers_the_MD5_of_the_part_as_ETag(b: Bucket):
    Upload.begin(b, "k").part(1, b"part").is_(200).has("etag", f'"{md5(b"part")}"')


@case
def The_object_is_its_parts_in_order(b: Bucket):
    two_parts(b).complete().is_(200)
    reply = b.get("k").is_(200).has("content-length", str(5 * MIB + 3))
    assert reply.body == BIG + b"end", "other bytes"


@case
def CompleteMultipartUpload_names_bucket_key_ETag_and_location(b: Bucket):
    reply = two_parts(b, "a k").complete().is_(200)
    reply.root("CompleteMultipartUploadResult")
    equal((reply.text("Bucket"), reply.text("Key"), reply.text("ETag")), (b.name, "a k", etag_of(BIG, b"end")))
    assert (reply.text("Location") or "").startswith("http"), reply.text("Location")


@case
def The_ETag_of_a_multipart_object_is_made_of_its_parts(b: Bucket):
    two_parts(b).complete().is_(200)
    b.head("k").is_(200).has("etag", etag_of(BIG, b"end"))


@case
def A_single_part_may_be_of_any_size(b: Bucket):
    upload = Upload.begin(b, "k")
    upload.part(1, b"x").is_(200)
    upload.complete().is_(200)
    b.get("k").is_(200).has("etag", etag_of(b"x"))


@case
def A_single_part_may_be_empty(b: Bucket):
    upload = Upload.begin(b, "k")
    upload.part(1, b"").is_(200)
    upload.complete().is_(200)
    equal(b.get("k").is_(200).body, b"")


@case
def Parts_may_be_uploaded_in_any_order(b: Bucket):
    upload = Upload.begin(b, "k")
    upload.part(2, b"end").is_(200)
    upload.part(1, BIG).is_(200)
    upload.complete().is_(200)
    assert b.get("k").body == BIG + b"end", "other bytes"


@case
def Part_numbers_need_not_be_consecutive(b: Bucket):
    upload = Upload.begin(b, "k")
    upload.part(3, BIG).is_(200)
    upload.part(10000, b"end").is_(200)
    upload.complete().is_(200)
    assert b.get("k").body == BIG + b"end", "other bytes"


@case
def A_part_that_is_uploaded_again_replaces_the_former(b: Bucket):
    upload = Upload.begin(b, "k")
    upload.part(1, b"former").is_(200)
    upload.part(1, b"latter").is_(200)
    equal(upload.listed().texts("Part/PartNumber"), ["1"])
    upload.complete().is_(200)
    equal(b.get("k").body, b"latter")


@case
def Only_the_parts_that_are_named_become_the_object(b: Bucket):
    """"The CompleteMultipartUpload API operation concatenates the parts that you provide in the list."."""
    upload = two_parts(b)
    upload.complete(upload.parts[1:]).is_(200)
    equal(b.get("k").body, b"end")


@case
def The_object_is_not_there_before_completion(b: Bucket):
    two_parts(b)
    b.get("k").fails(404, "NoSuchKey")


@case
def An_old_object_stays_until_completion(b: Bucket):
    upload = two_parts(b.given("k", body=b"old"))
    equal(b.get("k").body, b"old")
    upload.complete().is_(200)
    b.head("k").has("content-length", str(5 * MIB + 3))


@case
def Metadata_of_CreateMultipartUpload_is_the_object_s(b: Bucket):
    two_parts(b, content_type="text/x-multi", x_amz_meta_a="1", cache_control="no-store").complete().is_(200)
    b.head("k").is_(200).has("content-type", "text/x-multi").has("x-amz-meta-a", "1").has("cache-control", "no-store")


@case
def Tags_of_CreateMultipartUpload_are_the_object_s(b: Bucket):
    two_parts(b, x_amz_tagging="a=1").complete().is_(200)
    equal(b.get("k", "tagging").is_(200).texts("TagSet/Tag/Key"), ["a"])


@case
def Parts_in_the_wrong_order_are_InvalidPartOrder(b: Bucket):
    upload = two_parts(b)
    upload.complete(upload.parts[::-1]).fails(400, "InvalidPartOrder")


@case
def A_part_with_another_ETag_is_InvalidPart(b: Bucket):
    upload = two_parts(b)
    upload.complete([upload.parts[0], (2, f'"{md5(b"other")}"', "")]).fails(400, "InvalidPart")


@case
def A_part_that_was_not_uploaded_is_InvalidPart(b: Bucket):
    upload = Upload.begin(b, "k")
    upload.part(1, BIG).is_(200)
    upload.complete([*upload.parts, (2, upload.parts[0][1], "")]).fails(400, "InvalidPart")


@case
def A_part_below_5_MiB_that_is_not_the_last_is_EntityTooSmall(b: Bucket):
    upload = Upload.begin(b, "k")
    upload.part(1, BIG[:-1]).is_(200)
    upload.part(2, b"end").is_(200)
    upload.complete().fails(400, "EntityTooSmall")
    b.get("k").fails(404, "NoSuchKey")


@case
def A_failed_completion_can_be_mended(b: Bucket):
    upload = two_parts(b)
    upload.complete(upload.parts[::-1]).is_(400)
    upload.complete().is_(200)
    b.head("k").is_(200)


@case
def Completion_without_a_part_is_MalformedXML(b: Bucket):
    two_parts(b).complete([]).fails(400, "MalformedXML")


@case
def Completion_with_no_XML_is_MalformedXML(b: Bucket):
    upload = two_parts(b)
    b.post("k", upload.query(), b"<CompleteMultipartUpload><Part>").fails(400, "MalformedXML")


@case
def Completion_with_another_size_than_announced_is_InvalidRequest(b: Bucket):
    """x-amz-mp-object-size: "If there's a mismatch … it results in an HTTP 400 InvalidRequest error."."""
    two_parts(b).complete(x_amz_mp_object_size="7").fails(400, "InvalidRequest")
    b.get("k").fails(404, "NoSuchKey")


@case
def Completion_with_the_announced_size_succeeds(b: Bucket):
    two_parts(b).complete(x_amz_mp_object_size=str(5 * MIB + 3)).is_(200)


@each({"0": "0", "10001": "10001", "a negative one": "-1", "a word": "one"})
def UploadPart_with_a_number_outside_1_to_10000_is_InvalidArgument(b: Bucket, number: str):
    b.put("k", b"x", Upload.begin(b, "k").query(number)).fails(400, "InvalidArgument")


@case
def UploadPart_with_a_wrong_Content_MD5_is_BadDigest(b: Bucket):
    upload = Upload.begin(b, "k")
    upload.part(1, b"part", content_md5=md5_base64(b"other")).fails(400, "BadDigest")
    equal(upload.listed().is_(200).texts("Part/PartNumber"), [])


OPERATIONS = {
    "UploadPart": lambda u: u.part(1, b"x"),
    "ListParts": lambda u: u.listed(),
    "CompleteMultipartUpload": lambda u: u.complete([(1, f'"{md5(b"x")}"', "")]),
    "AbortMultipartUpload": lambda u: u.abort(),
}


@each(OPERATIONS)
def An_upload_that_never_was_is_NoSuchUpload(b: Bucket, operation):
    operation(Upload(b, "k", "bm8tc3VjaC11cGxvYWQ", [])).fails(404, "NoSuchUpload")


@each({name: OPERATIONS[name] for name in ("UploadPart", "ListParts", "CompleteMultipartUpload")})
def An_aborted_upload_is_NoSuchUpload(b: Bucket, operation):
    upload = Upload.begin(b, "k")
    upload.part(1, b"x").is_(200)
    upload.abort().is_(204)
    operation(upload).fails(404, "NoSuchUpload")


@each({name: OPERATIONS[name] for name in ("UploadPart", "ListParts")})
def A_completed_upload_is_NoSuchUpload(b: Bucket, operation):
    upload = Upload.begin(b, "k")
    upload.part(1, b"x").is_(200)
    upload.complete().is_(200)
    operation(upload).fails(404, "NoSuchUpload")


@each({name: OPERATIONS[name] for name in ("UploadPart", "ListParts", "AbortMultipartUpload")})
def An_upload_of_another_key_is_NoSuchUpload(b: Bucket, operation):
    operation(Upload(b, "other", Upload.begin(b, "k").id, [])).fails(404, "NoSuchUpload")


@case
def AbortMultipartUpload_is_204_and_leaves_no_object(b: Bucket):
    upload = two_parts(b)
    equal(upload.abort().is_(204).body, b"")
    b.get("k").fails(404, "NoSuchKey")


@case
def AbortMultipartUpload_leaves_the_old_object(b: Bucket):
    two_parts(b.given("k", body=b"old")).abort().is_(204)
    equal(b.get("k").body, b"old")


@case
def ListParts_describes_each_part(b: Bucket):
    reply = two_parts(b).listed().is_(200)
    reply.root("ListPartsResult")
    equal(reply.texts("Part/PartNumber"), ["1", "2"])
    equal(reply.texts("Part/ETag"), [f'"{md5(BIG)}"', f'"{md5(b"end")}"'])
    equal(reply.texts("Part/Size"), [str(5 * MIB), "3"])
    equal(len(reply.texts("Part/LastModified")), 2)


@case
def ListParts_names_upload_and_storage_class(b: Bucket):
    upload = Upload.begin(b, "k")
    reply = upload.listed().is_(200)
    equal((reply.text("Bucket"), reply.text("Key"), reply.text("UploadId"), reply.text("StorageClass")), (b.name, "k", upload.id, "STANDARD"))
    equal((reply.text("MaxParts"), reply.text("IsTruncated")), ("1000", "false"))


@case
def ListParts_names_owner_and_initiator(b: Bucket):
    reply = Upload.begin(b, "k").listed().is_(200)
    assert reply.text("Owner/ID") and reply.text("Initiator/ID")


def five(b: Bucket) -> Upload:
    upload = Upload.begin(b, "k")
    for number in (1, 2, 3, 5, 8):
        upload.part(number, b"x").is_(200)
    return upload


@case
def ListParts_pages_by_max_parts_and_marker(b: Bucket):
    upload = five(b)
    first = upload.listed("max-parts=2").is_(200)
    equal((first.texts("Part/PartNumber"), first.text("IsTruncated"), first.text("NextPartNumberMarker"), first.text("MaxParts")), (["1", "2"], "true", "2", "2"))
    second = upload.listed("max-parts=2&part-number-marker=2").is_(200)
    equal((second.texts("Part/PartNumber"), second.text("IsTruncated"), second.text("PartNumberMarker")), (["3", "5"], "true", "2"))
    last = upload.listed("max-parts=2&part-number-marker=5").is_(200)
    equal((last.texts("Part/PartNumber"), last.text("IsTruncated")), (["8"], "false"))


@case
def ListParts_from_a_number_without_a_part_gives_the_higher_ones(b: Bucket):
    equal(five(b).listed("part-number-marker=4").is_(200).texts("Part/PartNumber"), ["5", "8"])


@case
def ListMultipartUploads_describes_each_upload(b: Bucket):
    upload = Upload.begin(b, "k")
    reply = b.get(query="uploads").is_(200)
    reply.root("ListMultipartUploadsResult")
    equal((reply.text("Bucket"), reply.texts("Upload/Key"), reply.texts("Upload/UploadId")), (b.name, ["k"], [upload.id]))
    equal((reply.text("Upload/StorageClass"), reply.text("MaxUploads"), reply.text("IsTruncated")), ("STANDARD", "1000", "false"))
    assert reply.text("Upload/Initiated") and reply.text("Upload/Owner/ID") and reply.text("Upload/Initiator/ID")


@case
def ListMultipartUploads_is_in_the_order_of_keys(b: Bucket):
    for key in ("b", "a", "c/d", "B"):
        Upload.begin(b, key)
    equal(b.get(query="uploads").is_(200).texts("Upload/Key"), ["B", "a", "b", "c/d"])


@case
def ListMultipartUploads_lists_every_upload_of_a_key(b: Bucket):
    ids = {Upload.begin(b, "k").id for _ in range(3)}
    equal(set(b.get(query="uploads").is_(200).texts("Upload/UploadId")), ids)


@case
def ListMultipartUploads_by_prefix(b: Bucket):
    for key in ("a/1", "a/2", "b/1"):
        Upload.begin(b, key)
    reply = b.get(query="uploads&prefix=a/").is_(200)
    equal((reply.texts("Upload/Key"), reply.text("Prefix")), (["a/1", "a/2"], "a/"))


@case
def ListMultipartUploads_groups_by_delimiter(b: Bucket):
    for key in ("a/1", "a/2", "b", "c/1"):
        Upload.begin(b, key)
    reply = b.get(query="uploads&delimiter=/").is_(200)
    equal((reply.texts("Upload/Key"), reply.texts("CommonPrefixes/Prefix"), reply.text("Delimiter")), (["b"], ["a/", "c/"], "/"))


@case
def ListMultipartUploads_pages_by_markers(b: Bucket):
    wanted = [("a", Upload.begin(b, "a").id), ("a", Upload.begin(b, "a").id), ("b", Upload.begin(b, "b").id)]
    seen, query = [], "uploads&max-uploads=1"
    for _ in range(4):
        reply = b.get(query=query).is_(200)
        seen += zip(reply.texts("Upload/Key"), reply.texts("Upload/UploadId"))
        if reply.text("IsTruncated") == "false":
            break
        query = f"uploads&max-uploads=1&key-marker={reply.text('NextKeyMarker')}&upload-id-marker={reply.text('NextUploadIdMarker')}"
    equal(sorted(seen), sorted(wanted))


@case
def ListMultipartUploads_by_key_marker_alone_begins_behind_the_key(b: Bucket):
    for key in ("a", "a", "b"):
        Upload.begin(b, key)
    equal(b.get(query="uploads&key-marker=a").is_(200).texts("Upload/Key"), ["b"])


@case
def ListMultipartUploads_encodes_keys_when_asked(b: Bucket):
    Upload.begin(b, "a b+c")
    reply = b.get(query="uploads&encoding-type=url").is_(200)
    one_of(reply.text("Upload/Key"), "a+b%2Bc", "a%20b%2Bc")
    equal(reply.text("EncodingType"), "url")


@case
def ListMultipartUploads_forgets_completed_and_aborted_uploads(b: Bucket):
    two_parts(b, "done").complete().is_(200)
    Upload.begin(b, "gone").abort().is_(204)
    equal(b.get(query="uploads").is_(200).texts("Upload/Key"), [])


@case
def Two_uploads_of_a_key_do_not_mix(b: Bucket):
    one, two = Upload.begin(b, "k"), Upload.begin(b, "k")
    one.part(1, b"one").is_(200)
    two.part(1, b"two").is_(200)
    one.complete().is_(200)
    equal(b.get("k").body, b"one")
    two.complete().is_(200)
    equal(b.get("k").body, b"two")
