"""Ranges and part numbers of GetObject and HeadObject.

Source: Amazon S3 API Reference, GetObject and HeadObject (Range, partNumber, x-amz-mp-parts-count), which refer to RFC 9110, section 14.
"""

from __future__ import annotations

from clients import MIB, payload
from conformance.case import case, each, equal
from conformance.s3 import Bucket, Reply, Upload

DATA = b"0123456789"


def ten(b: Bucket, range: str) -> Reply:
    return b.given("k", body=DATA).get("k", range=range)


def multipart(b: Bucket) -> list[bytes]:
    parts = [payload(5 * MIB, 1), payload(5 * MIB, 2), b"the end"]
    upload = Upload.begin(b, "k", content_type="text/x-parts")
    for number, part in enumerate(parts, 1):
        upload.part(number, part).is_(200)
    upload.complete().is_(200)
    return parts


@each({
    "the first bytes": ("bytes=0-3", b"0123", "bytes 0-3/10"),
    "one byte": ("bytes=4-4", b"4", "bytes 4-4/10"),
    "from an offset to the end": ("bytes=7-", b"789", "bytes 7-9/10"),
    "the last bytes": ("bytes=-3", b"789", "bytes 7-9/10"),
    "an end beyond the object": ("bytes=8-100", b"89", "bytes 8-9/10"),
    "a suffix longer than the object": ("bytes=-100", DATA, "bytes 0-9/10"),
    "everything": ("bytes=0-", DATA, "bytes 0-9/10"),
})
def GetObject_gives_a_range(b: Bucket, row: tuple[str, bytes, str]):
    asked, want, content_range = row
    reply = ten(b, asked).is_(206).has("content-range", content_range).has("content-length", str(len(want)))
    equal(reply.body, want)


@case
def A_range_has_the_ETag_and_type_of_the_whole_object(b: Bucket):
    etag = b.put("k", DATA, content_type="text/x-conf").get("etag")
    b.get("k", range="bytes=0-1").is_(206).has("etag", etag).has("content-type", "text/x-conf")


@each({"beginning at the end": "bytes=10-", "beginning beyond it": "bytes=50-60", "an empty suffix": "bytes=-0"})
def A_range_that_holds_no_byte_is_InvalidRange(b: Bucket, asked: str):
    ten(b, asked).fails(416, "InvalidRange")


@case
def Any_range_of_an_empty_object_is_InvalidRange(b: Bucket):
    b.given("k", body=b"").get("k", range="bytes=0-0").fails(416, "InvalidRange")


@each({"of another unit": "items=0-1", "without numbers": "bytes=-", "that ends before it begins": "bytes=5-2", "of letters": "bytes=a-b", "without a unit": "0-3"})
def A_range_that_is_none_is_ignored(b: Bucket, asked: str):
    """RFC 9110, 14.2: a server ignores a Range that it does not understand or that is invalid."""
    equal(ten(b, asked).is_(200).body, DATA)


@case
def Several_ranges_are_never_answered_in_parts(b: Bucket):
    """"Amazon S3 doesn't support retrieving multiple ranges of data per GET request."."""
    reply = ten(b, "bytes=0-1,4-5").is_(200)
    equal(reply.body, DATA)
    assert "multipart" not in (reply.get("content-type") or "")


@case
def HeadObject_with_a_range_tells_its_length(b: Bucket):
    """"If the Range is satisfiable, only the ContentLength is affected in the response."."""
    b.given("k", body=DATA).head("k", range="bytes=2-4").is_(200, 206).has("content-length", "3")


@case
def HeadObject_with_a_range_that_holds_no_byte_is_416(b: Bucket):
    b.given("k", body=DATA).head("k", range="bytes=10-").is_(416)


@case
def A_range_across_parts_of_a_multipart_object_is_whole(b: Bucket):
    parts = multipart(b)
    at = 5 * MIB - 3
    equal(b.get("k", range=f"bytes={at}-{at + 5}").is_(206).body, parts[0][-3:] + parts[1][:3])


@case
def A_range_and_a_true_condition_give_the_range(b: Bucket):
    etag = b.put("k", DATA).get("etag") or ""
    equal(b.get("k", range="bytes=1-2", if_match=etag).is_(206).body, b"12")


@case
def A_range_and_a_false_condition_are_412(b: Bucket):
    b.given("k", body=DATA).get("k", range="bytes=1-2", if_match='"other"').fails(412, "PreconditionFailed")


@case
def GetObject_by_part_number_gives_that_part(b: Bucket):
    parts = multipart(b)
    for number, part in enumerate(parts, 1):
        reply = b.get("k", f"partNumber={number}").is_(206)
        assert reply.body == part, f"part {number} is other bytes"


@case
def GetObject_by_part_number_tells_the_count_of_parts_and_the_range(b: Bucket):
    multipart(b)
    reply = b.get("k", "partNumber=3").is_(206).has("x-amz-mp-parts-count", "3")
    reply.has("content-range", f"bytes {10 * MIB}-{10 * MIB + 6}/{10 * MIB + 7}").has("content-length", "7")


@case
def HeadObject_by_part_number_tells_the_size_of_the_part(b: Bucket):
    multipart(b)
    b.head("k", "partNumber=2").is_(206).has("content-length", str(5 * MIB)).has("x-amz-mp-parts-count", "3")


@case
def Without_part_number_no_count_of_parts_is_told(b: Bucket):
    multipart(b)
    b.head("k").is_(200).has("x-amz-mp-parts-count", None)


@case
def Part_1_of_an_object_that_was_put_at_once_is_the_whole_object(b: Bucket):
    equal(b.given("k", body=DATA).get("k", "partNumber=1").is_(206).body, DATA)


@case
def A_part_that_the_object_does_not_have_is_refused(b: Bucket):
    multipart(b)
    b.get("k", "partNumber=4").is_(400, 416)


@each({"0": "0", "10001": "10001", "a word": "one"})
def A_part_number_outside_1_to_10000_is_InvalidArgument(b: Bucket, number: str):
    b.given("k").get("k", f"partNumber={number}").fails(400, "InvalidArgument")
