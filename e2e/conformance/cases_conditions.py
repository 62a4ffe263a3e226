"""Conditional requests: reads, writes, deletes and their precedence.

Source: Amazon S3 API Reference, GetObject, HeadObject, PutObject, CompleteMultipartUpload, DeleteObject, DeleteObjects; User Guide, "Add
preconditions to S3 operations with conditional requests"; RFC 9110, section 13, to which these refer. Conditions of copies stand with copies.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from clients import md5
from conformance.case import Differs, case, each, equal, one_of
from conformance.s3 import Bucket, Reply, Upload
from sigv4 import md5_base64

LONG_AGO = "Sat, 01 Jan 2000 00:00:00 GMT"
TODAY_LATER = "Fri, 01 Jan 2038 00:00:00 GMT"
ETAG = f'"{md5(b"old")}"'
OTHER = f'"{md5(b"other")}"'
READS = {"GET": "GET", "HEAD": "HEAD"}


def read(b: Bucket, method: str, **headers: str):
    b.given("k", body=b"old")
    return b.call(method, "k", **headers)


def gives(reply: Reply, method: str):
    """The whole object, or for HEAD its length."""
    reply.is_(200).has("content-length", "3")
    equal(reply.body, b"old" if method == "GET" else b"", "body")


def same_time(b: Bucket, method: str, header: str):
    b.given("k", body=b"old")
    return b.call(method, "k", **{header: b.head("k").get("last-modified") or ""})


@each(READS)
def If_Match_with_the_ETag_reads(b: Bucket, method: str):
    gives(read(b, method, if_match=ETAG), method)


@each(READS)
def If_Match_with_an_asterisk_reads_what_exists(b: Bucket, method: str):
    gives(read(b, method, if_match="*"), method)


@each(READS)
def If_Match_with_another_ETag_is_412(b: Bucket, method: str):
    reply = read(b, method, if_match=OTHER).is_(412)
    if method == "GET":
        reply.fails(412, "PreconditionFailed")


@each(READS)
def If_None_Match_with_another_ETag_reads(b: Bucket, method: str):
    gives(read(b, method, if_none_match=OTHER), method)


@each(READS)
def If_None_Match_with_the_ETag_is_304_without_a_body(b: Bucket, method: str):
    equal(read(b, method, if_none_match=ETAG).is_(304).body, b"")


@each(READS)
def If_None_Match_with_an_asterisk_is_304_for_what_exists(b: Bucket, method: str):
    read(b, method, if_none_match="*").is_(304)


@case
def A_304_carries_the_ETag(b: Bucket):
    """RFC 9110, 15.4.5."""
    read(b, "GET", if_none_match=ETAG).is_(304).has("etag", ETAG)


@case
def A_304_leaves_the_connection_usable(b: Bucket):
    b.given("k", body=b"old")
    with b.connect() as connection:
        connection.send(b.signed(b.request("GET", "k", if_none_match=ETAG)).to_bytes())
        b.answer(connection).is_(304)
        connection.send(b.signed(b.request("GET", "k")).to_bytes())
        equal(b.answer(connection).is_(200).body, b"old")


@each(READS)
def If_Modified_Since_an_earlier_time_reads(b: Bucket, method: str):
    gives(read(b, method, if_modified_since=LONG_AGO), method)


@each(READS)
def If_Modified_Since_the_time_of_the_write_is_304(b: Bucket, method: str):
    same_time(b, method, "if_modified_since").is_(304)


@each(READS)
def If_Unmodified_Since_an_earlier_time_is_412(b: Bucket, method: str):
    read(b, method, if_unmodified_since=LONG_AGO).is_(412)


@each(READS)
def If_Unmodified_Since_the_time_of_the_write_reads(b: Bucket, method: str):
    gives(same_time(b, method, "if_unmodified_since"), method)


@each(READS)
def If_Unmodified_Since_a_later_time_reads(b: Bucket, method: str):
    gives(read(b, method, if_unmodified_since=TODAY_LATER), method)


@each(READS)
def A_true_If_Match_wins_over_a_false_If_Unmodified_Since(b: Bucket, method: str):
    gives(read(b, method, if_match=ETAG, if_unmodified_since=LONG_AGO), method)


@each(READS)
def A_false_If_None_Match_wins_over_a_true_If_Modified_Since(b: Bucket, method: str):
    read(b, method, if_none_match=ETAG, if_modified_since=LONG_AGO).is_(304)


@each(READS)
def A_true_If_None_Match_wins_over_a_false_If_Modified_Since(b: Bucket, method: str):
    """RFC 9110, 13.1.3: If-Modified-Since is ignored beside If-None-Match."""
    gives(read(b, method, if_none_match=OTHER, if_modified_since=TODAY_LATER), method)


@each(READS)
def A_false_If_Match_is_412_also_where_If_None_Match_would_be_304(b: Bucket, method: str):
    """RFC 9110, 13.2.2: If-Match is evaluated first."""
    read(b, method, if_match=OTHER, if_none_match=ETAG).is_(412)


@each(READS)
def True_If_Match_and_false_If_None_Match_are_304(b: Bucket, method: str):
    read(b, method, if_match=ETAG, if_none_match=ETAG).is_(304)


@each(READS)
def A_condition_on_a_missing_key_is_404(b: Bucket, method: str):
    b.call(method, "missing", if_match=ETAG).is_(404)


@case
def PutObject_If_None_Match_asterisk_creates(b: Bucket):
    b.put("k", b"new", if_none_match="*").is_(200)
    equal(b.get("k").body, b"new")


@case
def PutObject_If_None_Match_asterisk_on_an_existing_key_is_412_and_changes_nothing(b: Bucket):
    b.given("k", body=b"old").put("k", b"new", if_none_match="*").fails(412, "PreconditionFailed")
    equal(b.get("k").body, b"old")


@case
def PutObject_If_None_Match_asterisk_creates_again_after_a_delete(b: Bucket):
    b.given("k").delete("k").is_(204)
    b.put("k", b"new", if_none_match="*").is_(200)


@case
def PutObject_If_None_Match_with_anything_else_is_never_ignored(b: Bucket):
    """"Expects the '*' (asterisk) character."."""
    b.given("k", body=b"old").put("k", b"new", if_none_match=ETAG).is_refused()
    equal(b.get("k").body, b"old")


@case
def PutObject_If_Match_with_the_ETag_overwrites(b: Bucket):
    b.given("k", body=b"old").put("k", b"new", if_match=ETAG).is_(200)
    equal(b.get("k").body, b"new")


@case
def PutObject_If_Match_with_another_ETag_is_412_and_changes_nothing(b: Bucket):
    b.given("k", body=b"old").put("k", b"new", if_match=OTHER).fails(412, "PreconditionFailed")
    equal(b.get("k").body, b"old")


@case
def PutObject_If_Match_on_a_missing_key_is_404(b: Bucket):
    """"If there's no current object version with the same name, or if the current object version is a delete marker, the operation fails with a 404 Not Found error."."""
    b.put("k", b"new", if_match=ETAG).is_(404)
    b.get("k").fails(404, "NoSuchKey")


@case
def PutObject_If_None_Match_asterisk_lets_exactly_one_of_many_writers_win(b: Bucket):
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(lambda n: b.put("k", str(n).encode(), if_none_match="*").status, range(8)))
    equal(statuses[0], 200, "the winner")
    if not set(statuses[1:]) <= {409, 412}:
        raise Differs(f"S3 lets one writer win, the others get 412 or 409; got {statuses}")


@case
def PutObject_If_Match_lets_exactly_one_of_many_writers_win(b: Bucket):
    b.given("k", body=b"old")
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(lambda n: b.put("k", str(n).encode(), if_match=ETAG).status, range(8)))
    equal(statuses[0], 200, "the winner")
    if not set(statuses[1:]) <= {409, 412}:
        raise Differs(f"S3 lets one writer win, the others get 412 or 409; got {statuses}")


def one_part(b: Bucket, **headers: str):
    upload = Upload.begin(b, "k")
    upload.part(1, b"new").is_(200)
    return upload.complete(**headers)


@case
def CompleteMultipartUpload_If_None_Match_asterisk_creates(b: Bucket):
    one_part(b, if_none_match="*").is_(200)
    equal(b.get("k").body, b"new")


@case
def CompleteMultipartUpload_If_None_Match_asterisk_on_an_existing_key_is_412(b: Bucket):
    one_part(b.given("k", body=b"old"), if_none_match="*").fails(412, "PreconditionFailed")
    equal(b.get("k").body, b"old")


@case
def CompleteMultipartUpload_If_Match_with_the_ETag_overwrites(b: Bucket):
    one_part(b.given("k", body=b"old"), if_match=ETAG).is_(200)
    equal(b.get("k").body, b"new")


@case
def CompleteMultipartUpload_If_Match_with_another_ETag_is_412(b: Bucket):
    one_part(b.given("k", body=b"old"), if_match=OTHER).fails(412, "PreconditionFailed")
    equal(b.get("k").body, b"old")


@case
def CompleteMultipartUpload_If_Match_on_a_missing_key_is_404(b: Bucket):
    one_part(b, if_match=ETAG).is_(404)


@case
def DeleteObject_If_Match_with_the_ETag_deletes(b: Bucket):
    b.given("k", body=b"old").delete("k", if_match=ETAG).is_(204)
    b.get("k").fails(404, "NoSuchKey")


@case
def DeleteObject_If_Match_with_an_asterisk_deletes_what_exists(b: Bucket):
    b.given("k", body=b"old").delete("k", if_match="*").is_(204)
    b.get("k").fails(404, "NoSuchKey")


@case
def DeleteObject_If_Match_with_another_ETag_is_412_and_deletes_nothing(b: Bucket):
    b.given("k", body=b"old").delete("k", if_match=OTHER).fails(412, "PreconditionFailed")
    equal(b.get("k").body, b"old")


@case
def DeleteObject_If_Match_on_a_missing_key_fails(b: Bucket):
    b.delete("k", if_match="*").is_(404, 412)


def delete_if(b: Bucket, etag: str):
    document = f"<Delete><Object><Key>k</Key><ETag>{etag}</ETag></Object></Delete>".encode()
    return b.post(query="delete", body=document, content_md5=md5_base64(document)).is_(200)


@case
def DeleteObjects_with_the_ETag_deletes(b: Bucket):
    equal(delete_if(b.given("k", body=b"old"), ETAG).texts("Deleted/Key"), ["k"])
    b.get("k").fails(404, "NoSuchKey")


@case
def DeleteObjects_with_another_ETag_is_PreconditionFailed_for_that_key(b: Bucket):
    reply = delete_if(b.given("k", body=b"old"), OTHER)
    equal((reply.text("Error/Key"), reply.text("Error/Code")), ("k", "PreconditionFailed"))
    one_of(b.get("k").body, b"old")
