"""Copies: CopyObject and UploadPartCopy, what they carry along, and their conditions.

Source: Amazon S3 API Reference, CopyObject and UploadPartCopy; User Guide, "Copying, moving, and renaming objects".
"""

from __future__ import annotations

from clients import MIB, md5, payload
from conformance.case import case, each, equal
from conformance.s3 import Bucket, Reply, Upload
from sigv4 import encode, encode_key

LONG_AGO = "Sat, 01 Jan 2000 00:00:00 GMT"
LATER = "Fri, 01 Jan 2038 00:00:00 GMT"
DATA = b"the source"
ETAG, OTHER = f'"{md5(DATA)}"', f'"{md5(b"other")}"'


def copy(b: Bucket, to: str = "copy", source: str = "source", **headers: str) -> Reply:
    return b.put(to, x_amz_copy_source=f"{b.name}/{encode_key(source)}", **headers)


def given(b: Bucket, **headers: str) -> Bucket:
    return b.given("source", body=DATA, **headers)


@case
def CopyObject_copies_the_bytes(b: Bucket):
    copy(given(b)).is_(200)
    equal((b.get("copy").is_(200).body, b.get("source").body), (DATA, DATA))


@case
def CopyObject_answers_ETag_and_time(b: Bucket):
    reply = copy(given(b)).is_(200)
    reply.root("CopyObjectResult")
    equal(reply.text("ETag"), ETAG)
    assert (reply.text("LastModified") or "").endswith("Z")


@case
def CopyObject_copies_between_buckets(b: Bucket):
    to = given(b).another()
    to.put("copy", x_amz_copy_source=f"{b.name}/source").is_(200)
    equal(to.get("copy").body, DATA)


@case
def The_copy_source_may_begin_with_a_slash(b: Bucket):
    given(b).put("copy", x_amz_copy_source=f"/{b.name}/source").is_(200)
    equal(b.get("copy").body, DATA)


@each({"with a space": "a b", "with a plus": "a+b", "with a percent sign": "a%20b", "in UTF-8": "ä/ü", "with a question mark": "a?b"})
def CopyObject_from_a_key(b: Bucket, key: str):
    copy(b.given(key, body=DATA), source=key).is_(200)
    equal(b.get("copy").body, DATA)


@case
def CopyObject_from_a_wholly_encoded_source(b: Bucket):
    b.given("a/b", body=DATA).put("copy", x_amz_copy_source=encode(f"{b.name}/a/b")).is_(200)
    equal(b.get("copy").body, DATA)


@case
def CopyObject_overwrites(b: Bucket):
    copy(given(b).given("copy", body=b"old")).is_(200)
    equal(b.get("copy").body, DATA)


@case
def CopyObject_of_an_empty_object(b: Bucket):
    copy(b.given("source", body=b"")).is_(200).root("CopyObjectResult")
    equal(b.get("copy").is_(200).body, b"")


@case
def CopyObject_copies_metadata_by_default(b: Bucket):
    copy(given(b, content_type="text/x-conf", x_amz_meta_a="1", cache_control="no-store")).is_(200)
    b.head("copy").is_(200).has("content-type", "text/x-conf").has("x-amz-meta-a", "1").has("cache-control", "no-store")


@case
def CopyObject_with_directive_COPY_ignores_metadata_of_the_request(b: Bucket):
    copy(given(b, x_amz_meta_a="1"), x_amz_metadata_directive="COPY", x_amz_meta_a="2", x_amz_meta_b="2").is_(200)
    b.head("copy").is_(200).has("x-amz-meta-a", "1").has("x-amz-meta-b", None)


@case
def CopyObject_with_directive_REPLACE_takes_metadata_of_the_request(b: Bucket):
    copy(given(b, content_type="text/x-conf", x_amz_meta_a="1"), x_amz_metadata_directive="REPLACE", content_type="text/x-new", x_amz_meta_b="2").is_(200)
    b.head("copy").is_(200).has("content-type", "text/x-new").has("x-amz-meta-a", None).has("x-amz-meta-b", "2")


@case
def CopyObject_with_another_metadata_directive_is_InvalidArgument(b: Bucket):
    copy(given(b), x_amz_metadata_directive="MERGE").fails(400, "InvalidArgument")


@case
def CopyObject_onto_itself_without_a_change_is_InvalidRequest(b: Bucket):
    copy(given(b), to="source").fails(400, "InvalidRequest")


@case
def CopyObject_onto_itself_replaces_metadata(b: Bucket):
    copy(given(b, x_amz_meta_a="1"), to="source", x_amz_metadata_directive="REPLACE", x_amz_meta_a="2").is_(200)
    equal(b.get("source").is_(200).has("x-amz-meta-a", "2").body, DATA)


@case
def CopyObject_copies_tags_by_default(b: Bucket):
    copy(given(b, x_amz_tagging="a=1")).is_(200)
    equal(b.get("copy", "tagging").is_(200).texts("TagSet/Tag/Key"), ["a"])


@case
def CopyObject_with_tagging_directive_REPLACE_takes_tags_of_the_request(b: Bucket):
    copy(given(b, x_amz_tagging="a=1"), x_amz_tagging_directive="REPLACE", x_amz_tagging="b=2").is_(200)
    equal(b.get("copy", "tagging").is_(200).texts("TagSet/Tag/Key"), ["b"])


@case
def CopyObject_with_tagging_directive_REPLACE_and_no_tags_drops_them(b: Bucket):
    copy(given(b, x_amz_tagging="a=1"), x_amz_tagging_directive="REPLACE").is_(200)
    equal(b.get("copy", "tagging").is_(200).texts("TagSet/Tag/Key"), [])


@case
def CopyObject_of_a_missing_key_is_NoSuchKey(b: Bucket):
    copy(b, source="missing").fails(404, "NoSuchKey")
    b.get("copy").fails(404, "NoSuchKey")


@case
def CopyObject_from_a_missing_bucket_is_NoSuchBucket(b: Bucket):
    b.put("copy", x_amz_copy_source=f"{b.name}-none/source").fails(404, "NoSuchBucket")


@case
def CopyObject_to_a_missing_bucket_is_NoSuchBucket(b: Bucket):
    given(b).named(f"{b.name}-none").put("copy", x_amz_copy_source=f"{b.name}/source").fails(404, "NoSuchBucket")


@case
def CopyObject_from_a_source_without_a_key_is_refused(b: Bucket):
    b.put("copy", x_amz_copy_source=b.name).is_refused()
    b.get("copy").fails(404, "NoSuchKey")


@case
def CopyObject_makes_one_part_of_a_multipart_object(b: Bucket):
    """"The object copy will be a single part object after the source object is copied to the destination bucket."."""
    parts = [payload(5 * MIB, "copy"), b"end"]
    upload = Upload.begin(b, "source")
    for number, part in enumerate(parts, 1):
        upload.part(number, part).is_(200)
    upload.complete().is_(200)
    copy(b).is_(200)
    b.head("copy").is_(200).has("content-length", str(5 * MIB + 3)).has("etag", f'"{md5(b"".join(parts))}"')


@case
def CopyObject_gives_the_copy_its_own_time(b: Bucket):
    """Last-Modified of a copy is that of the copy, not of the source."""
    result = copy(given(b)).is_(200).text("LastModified") or ""
    listed = dict(zip(*(b.get(query="list-type=2").is_(200).texts(f"Contents/{e}") for e in ("Key", "LastModified"))))
    equal(listed["copy"][:19], result[:19])


CONDITIONS = {
    "if-match with the ETag": ({"x_amz_copy_source_if_match": ETAG}, 200),
    "if-match with another ETag": ({"x_amz_copy_source_if_match": OTHER}, 412),
    "if-none-match with another ETag": ({"x_amz_copy_source_if_none_match": OTHER}, 200),
    "if-none-match with the ETag": ({"x_amz_copy_source_if_none_match": ETAG}, 412),
    "if-modified-since an earlier time": ({"x_amz_copy_source_if_modified_since": LONG_AGO}, 200),
    "if-unmodified-since a later time": ({"x_amz_copy_source_if_unmodified_since": LATER}, 200),
    "if-unmodified-since an earlier time": ({"x_amz_copy_source_if_unmodified_since": LONG_AGO}, 412),
    "true if-match with false if-unmodified-since": ({"x_amz_copy_source_if_match": ETAG, "x_amz_copy_source_if_unmodified_since": LONG_AGO}, 200),
    "false if-none-match with true if-modified-since": ({"x_amz_copy_source_if_none_match": ETAG, "x_amz_copy_source_if_modified_since": LONG_AGO}, 412),
}


@each(CONDITIONS)
def CopyObject_under_copy_source(b: Bucket, row: tuple[dict[str, str], int]):
    headers, status = row
    reply = copy(given(b), **headers).is_(status)
    if status == 412:
        reply.fails(412, "PreconditionFailed")
        b.get("copy").fails(404, "NoSuchKey")
    else:
        equal(b.get("copy").body, DATA)


@case
def CopyObject_under_copy_source_if_modified_since_the_write_is_412(b: Bucket):
    time = given(b).head("source").get("last-modified") or ""
    copy(b, x_amz_copy_source_if_modified_since=time).fails(412, "PreconditionFailed")


@case
def CopyObject_If_None_Match_asterisk_creates(b: Bucket):
    copy(given(b), if_none_match="*").is_(200)
    equal(b.get("copy").body, DATA)


@case
def CopyObject_If_None_Match_asterisk_on_an_existing_key_is_412(b: Bucket):
    copy(given(b).given("copy", body=b"old"), if_none_match="*").fails(412, "PreconditionFailed")
    equal(b.get("copy").body, b"old")


@case
def CopyObject_If_Match_with_the_destination_s_ETag_overwrites(b: Bucket):
    copy(given(b).given("copy", body=b"old"), if_match=f'"{md5(b"old")}"').is_(200)
    equal(b.get("copy").body, DATA)


@case
def CopyObject_If_Match_with_another_ETag_is_412(b: Bucket):
    copy(given(b).given("copy", body=b"old"), if_match=OTHER).fails(412, "PreconditionFailed")
    equal(b.get("copy").body, b"old")


BIG = payload(6 * MIB, "part copy")


def part_copy(b: Bucket, **headers: str) -> tuple[Upload, Reply]:
    b.given("source", body=BIG)
    upload = Upload.begin(b, "copy")
    return upload, b.put("copy", query=upload.query(1), x_amz_copy_source=f"{b.name}/source", **headers)


@case
def UploadPartCopy_makes_a_part_of_an_object(b: Bucket):
    upload, reply = part_copy(b)
    reply.is_(200).root("CopyPartResult")
    equal(reply.text("ETag"), f'"{md5(BIG)}"')
    assert (reply.text("LastModified") or "").endswith("Z")
    upload.note(1, reply.text("ETag") or "")
    upload.complete().is_(200)
    assert b.get("copy").body == BIG, "other bytes"


@case
def UploadPartCopy_takes_a_range(b: Bucket):
    upload, reply = part_copy(b, x_amz_copy_source_range="bytes=10-109")
    equal(reply.is_(200).text("ETag"), f'"{md5(BIG[10:110])}"')
    upload.note(1, reply.text("ETag") or "")
    upload.complete().is_(200)
    equal(b.get("copy").body, BIG[10:110])


@each({"beyond the end": f"bytes=0-{6 * MIB}", "without an end": "bytes=5-", "of another form": "0-9"})
def UploadPartCopy_of_a_range_that_is_none_is_refused(b: Bucket, range: str):
    """"The range value must use the form bytes=first-last"."""
    upload, reply = part_copy(b, x_amz_copy_source_range=range)
    reply.is_(400, 416)
    equal(upload.listed().texts("Part/PartNumber"), [])


@case
def UploadPartCopy_and_UploadPart_mix(b: Bucket):
    upload, reply = part_copy(b)
    upload.note(1, reply.is_(200).text("ETag") or "")
    upload.part(2, b"end").is_(200)
    upload.complete().is_(200)
    assert b.get("copy").body == BIG + b"end", "other bytes"


@case
def UploadPartCopy_is_listed_as_a_part(b: Bucket):
    upload, _ = part_copy(b)
    reply = upload.listed().is_(200)
    equal((reply.texts("Part/PartNumber"), reply.texts("Part/Size")), (["1"], [str(6 * MIB)]))


@case
def UploadPartCopy_of_a_missing_key_is_NoSuchKey(b: Bucket):
    upload = Upload.begin(b, "copy")
    b.put("copy", query=upload.query(1), x_amz_copy_source=f"{b.name}/missing").fails(404, "NoSuchKey")


@case
def UploadPartCopy_to_a_missing_upload_is_NoSuchUpload(b: Bucket):
    given(b).put("copy", query="partNumber=1&uploadId=bm8tc3VjaC11cGxvYWQ", x_amz_copy_source=f"{b.name}/source").fails(404, "NoSuchUpload")


@each({name: CONDITIONS[name] for name in ("if-match with another ETag", "if-none-match with another ETag", "if-unmodified-since an earlier time", "true if-match with false if-unmodified-since")})
def UploadPartCopy_under_copy_source(b: Bucket, row: tuple[dict[str, str], int]):
    headers, status = row
    upload = Upload.begin(given(b), "copy")
    reply = b.put("copy", query=upload.query(1), x_amz_copy_source=f"{b.name}/source", **headers).is_(status)
    if status == 412:
        reply.fails(412, "PreconditionFailed")
