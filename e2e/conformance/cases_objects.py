"""Objects: put, get, head, delete, their keys, and what GetObjectAttributes says of them.

Source: Amazon S3 API Reference, PutObject, GetObject, HeadObject, DeleteObject, DeleteObjects, GetObjectAttributes; User Guide, "Naming
Amazon S3 objects".
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from urllib.parse import unquote_plus

from clients import MIB, md5, payload
from conformance.case import case, each, equal, one_of
from conformance.s3 import Bucket, Upload
from sigv4 import STREAMING, UNSIGNED, authorise, crc32_base64, encode, md5_base64, signed_chunks

ATTRIBUTES = "ETag,Checksum,ObjectParts,StorageClass,ObjectSize"


def delete_document(*keys: str, quiet: bool = False) -> bytes:
    objects = "".join(f"<Object><Key>{k}</Key></Object>" for k in keys)
    return f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{"<Quiet>true</Quiet>" if quiet else ""}{objects}</Delete>'.encode()


def delete_many(b: Bucket, document: bytes):
    return b.post(query="delete", body=document, content_md5=md5_base64(document))


@case
def PutObject_answers_200_with_the_MD5_of_the_data_as_quoted_ETag(b: Bucket):
    reply = b.put("k", b"hello").is_(200).has("etag", f'"{md5(b"hello")}"')
    equal(reply.body, b"")


@each({"empty": 0, "of one byte": 1, "of 64 KiB": 65536, "of 3 MiB": 3 * MIB})
def GetObject_gives_back_an_object(b: Bucket, size: int):
    data = payload(size)
    b.put("k", data).is_(200)
    reply = b.get("k").is_(200).has("content-length", str(size)).has("etag", f'"{md5(data)}"')
    assert reply.body == data, "other bytes"


@case
def GetObject_tells_when_the_object_was_last_modified(b: Bucket):
    date = b.given("k").get("k").get("last-modified") or ""
    assert date.endswith(" GMT"), date
    parsedate_to_datetime(date)


@case
def HeadObject_has_the_headers_of_GetObject_and_no_body(b: Bucket):
    b.put("k", b"hello", content_type="text/x-conf", x_amz_meta_a="1").is_(200)
    get, head = b.get("k").is_(200), b.head("k").is_(200).has("content-length", "5")
    for name in ("content-length", "content-type", "etag", "last-modified", "x-amz-meta-a"):
        equal(head.get(name), get.get(name), name)


@case
def GetObject_of_a_missing_key_is_NoSuchKey(b: Bucket):
    b.get("missing").fails(404, "NoSuchKey")


@case
def HeadObject_of_a_missing_key_is_404_without_a_body(b: Bucket):
    b.head("missing").is_(404)


@case
def PutObject_overwrites_the_whole_object(b: Bucket):
    b.given("k", body=b"a much longer first content").given("k", body=b"second")
    reply = b.get("k").is_(200).has("etag", f'"{md5(b"second")}"')
    equal(reply.body, b"second")


@case
def An_object_can_be_read_at_once_after_it_was_written(b: Bucket):
    """Strong read-after-write consistency: User Guide, "What is Amazon S3?"."""
    for n in range(5):
        b.put("k", str(n).encode()).is_(200)
        equal(b.get("k").body, str(n).encode())


@case
def DeleteObject_is_204_and_the_object_is_gone(b: Bucket):
    b.given("k").delete("k").is_(204)
    b.get("k").fails(404, "NoSuchKey")
    equal(b.get(query="list-type=2").texts("Contents/Key"), [])


@case
def DeleteObject_of_a_missing_key_is_204_too(b: Bucket):
    b.delete("missing").is_(204)


@each({
    "with a space": "a b",
    "with a plus": "a+b",
    "with a percent sign": "100%",
    "with what looks like an escape": "a%20b",
    "with all safe punctuation": "a!-_.*'()b",
    "with characters that need encoding": "a&$@=;:,?b",
    "with a hash and brackets": "a#[b]{c}^~|`",
    "with a backslash and quotes": 'a\\b"c',
    "with angle brackets": "a<b>c",
    "with umlauts": "Grüße/Öl",
    "with characters beyond the basic plane": "🪣/🗝",
    "with two slashes in a row": "a//b",
    "that begins with a slash": "/a",
    "that ends with a slash": "folder/",
    "that is a slash": "/",
    "with a dot segment": "a/./b",
    "with a segment that begins with dots": "a/..b",
    "with a tab": "a\tb",
    "with a line feed": "a\nb",
    "of 1024 bytes": "k" * 1024,
    "of 1024 bytes of UTF-8": "ü" * 512,
    "in decomposed Unicode": "e\u0301",
})
def A_key_is_kept_to_the_byte(b: Bucket, key: str):
    """"The name is a sequence of Unicode characters whose UTF-8 encoding is at most 1,024 bytes long"; case and bytes matter."""
    b.put(key, b"data").is_(200)
    equal(b.get(key).is_(200).body, b"data")
    b.head(key).is_(200)
    equal(b.get(query="list-type=2&encoding-type=url").texts("Contents/Key"), [_url(key)], "the listed key")
    b.delete(key).is_(204)
    b.get(key).fails(404, "NoSuchKey")


class _url(str):
    """A key compared in its decoded form: which safe characters a listing encodes is not documented."""

    def __eq__(self, other: object) -> bool:
        return unquote_plus(str(other)) == str(self)

    __hash__ = str.__hash__


@case
def A_key_of_more_than_1024_bytes_is_KeyTooLongError(b: Bucket):
    b.put("k" * 1025, b"data").fails(400, "KeyTooLongError")


@case
def Keys_are_case_sensitive(b: Bucket):
    b.given("Key", body=b"upper").given("key", body=b"lower")
    equal((b.get("Key").body, b.get("key").body), (b"upper", b"lower"))


@case
def A_key_may_be_the_folder_of_another_key(b: Bucket):
    """The namespace is flat: slashes mean nothing to it."""
    b.given("a/b", body=b"below").given("a", body=b"above").given("a/", body=b"folder")
    equal([b.get(k).body for k in ("a", "a/", "a/b")], [b"above", b"folder", b"below"])
    b.delete("a").is_(204)
    equal(b.get("a/b").is_(200).body, b"below")


@case
def A_key_in_decomposed_Unicode_is_not_the_composed_one(b: Bucket):
    b.given("e\u0301")
    b.get("\u00e9").fails(404, "NoSuchKey")


@case
def PutObject_without_a_length_is_MissingContentLength(b: Bucket):
    request = b.signed(b.request("PUT", "k"))
    request.length = None
    b.exchange(request).fails(411, "MissingContentLength")


@case
def PutObject_with_the_right_Content_MD5_is_stored(b: Bucket):
    b.put("k", b"hello", content_md5=md5_base64(b"hello")).is_(200)
    equal(b.get("k").body, b"hello")


@case
def PutObject_with_a_wrong_Content_MD5_is_BadDigest_and_stores_nothing(b: Bucket):
    b.put("k", b"hello", content_md5=md5_base64(b"other")).fails(400, "BadDigest")
    b.get("k").fails(404, "NoSuchKey")


@case
def PutObject_with_a_wrong_Content_MD5_leaves_the_old_object(b: Bucket):
    b.given("k", body=b"old").put("k", b"new", content_md5=md5_base64(b"other")).fails(400, "BadDigest")
    equal(b.get("k").body, b"old")


@case
def PutObject_with_a_malformed_Content_MD5_is_InvalidDigest(b: Bucket):
    b.put("k", b"hello", content_md5="not base64").fails(400, "InvalidDigest")


@case
def PutObject_with_a_Content_MD5_of_the_wrong_length_is_InvalidDigest(b: Bucket):
    b.put("k", b"hello", content_md5="YWJj").fails(400, "InvalidDigest")


@case
def PutObject_of_other_bytes_than_were_signed_is_XAmzContentSHA256Mismatch(b: Bucket):
    request = b.signed(b.request("PUT", "k", body=b"hello"))
    request.body = b"other"
    b.exchange(request).fails(400, "XAmzContentSHA256Mismatch")
    b.get("k").fails(404, "NoSuchKey")


@case
def PutObject_takes_an_unsigned_payload(b: Bucket):
    b.exchange(b.signed(b.request("PUT", "k", body=b"hello"), UNSIGNED)).is_(200)
    equal(b.get("k").body, b"hello")


@case
def PutObject_takes_signed_chunks(b: Bucket):
    """"Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks"."""
    data = payload(150_000)
    b.put_chunked("k", [data[:65536], data[65536:131072], data[131072:]], STREAMING).is_(200).has("etag", f'"{md5(data)}"')
    assert b.get("k").body == data, "other bytes"


@case
def PutObject_with_a_tampered_chunk_stores_nothing(b: Bucket):
    data = payload(100_000)
    request = b.request("PUT", "k", content_encoding="aws-chunked", x_amz_decoded_content_length="100000")
    seed = authorise(request, b.signer(), b.host(), STREAMING)
    request.body = b"".join(signed_chunks(seed, [data[:65536], data[65536:]])).replace(data[70000:70010], b"0123456789")
    b.exchange(request).fails(403, "SignatureDoesNotMatch")
    b.get("k").fails(404, "NoSuchKey")


@case
def PutObject_with_fewer_bytes_than_announced_stores_nothing(b: Bucket):
    """IncompleteBody: "You did not provide the number of bytes specified by the Content-Length HTTP header."."""
    request = b.signed(b.request("PUT", "k", body=b"hello"), UNSIGNED)
    request.length = "500"
    with b.connect() as connection:
        connection.send(request.to_bytes())
        connection.end()
        reply = b.answer(connection, "PUT")
    one_of((reply.status, reply.code), (400, "IncompleteBody"), (400, "RequestTimeout"), (0, None))
    b.get("k").fails(404, "NoSuchKey")


@case
def PutObject_of_more_than_5_GiB_is_EntityTooLarge(b: Bucket):
    request = b.request("PUT", "k", expect="100-continue", content_length=str(5 * 1024 * MIB + 1))
    request.length = None
    b.exchange(b.signed(request, UNSIGNED)).fails(400, "EntityTooLarge")


@case
def PutObject_in_an_unknown_storage_class_is_InvalidStorageClass(b: Bucket):
    b.put("k", b"x", x_amz_storage_class="SHELF").fails(400, "InvalidStorageClass")


@case
def An_object_of_storage_class_STANDARD_has_no_x_amz_storage_class(b: Bucket):
    """"Amazon S3 returns this header for all objects except for S3 Standard storage class objects."."""
    b.put("k", b"x", x_amz_storage_class="STANDARD").is_(200)
    equal(b.get("k").is_(200).has("x-amz-storage-class", None).body, b"x")
    b.head("k").is_(200).has("x-amz-storage-class", None)


@case
def DeleteObjects_reports_each_key_as_Deleted(b: Bucket):
    b.given("a", "b", "c")
    reply = delete_many(b, delete_document("a", "b")).is_(200)
    reply.root("DeleteResult")
    equal(sorted(reply.texts("Deleted/Key")), ["a", "b"])
    equal(b.get(query="list-type=2").texts("Contents/Key"), ["c"])


@case
def DeleteObjects_reports_a_missing_key_as_Deleted(b: Bucket):
    equal(delete_many(b, delete_document("missing")).is_(200).texts("Deleted/Key"), ["missing"])


@case
def DeleteObjects_in_quiet_mode_reports_no_success(b: Bucket):
    reply = delete_many(b.given("a"), delete_document("a", quiet=True)).is_(200)
    equal(len(list(reply.root("DeleteResult"))), 0, "elements of the result")
    b.get("a").fails(404, "NoSuchKey")


@case
def DeleteObjects_takes_1000_keys(b: Bucket):
    keys = [f"k{n:04}" for n in range(1000)]
    b.given("k0999")
    equal(len(delete_many(b, delete_document(*keys)).is_(200).texts("Deleted/Key")), 1000)
    b.get("k0999").fails(404, "NoSuchKey")


@case
def DeleteObjects_of_more_than_1000_keys_is_MalformedXML(b: Bucket):
    b.given("k0")
    delete_many(b, delete_document(*[f"k{n}" for n in range(1001)])).fails(400, "MalformedXML")
    b.get("k0").is_(200)


@case
def DeleteObjects_without_a_key_is_MalformedXML(b: Bucket):
    delete_many(b, delete_document()).fails(400, "MalformedXML")


@case
def DeleteObjects_with_no_XML_is_MalformedXML(b: Bucket):
    delete_many(b, b"<Delete><Object>").fails(400, "MalformedXML")


@case
def DeleteObjects_unescapes_and_escapes_keys(b: Bucket):
    b.given("a&b<c>")
    reply = delete_many(b, delete_document("a&amp;b&lt;c&gt;")).is_(200)
    equal(reply.texts("Deleted/Key"), ["a&b<c>"])
    b.get("a&b<c>").fails(404, "NoSuchKey")


@case
def DeleteObjects_with_a_wrong_Content_MD5_is_BadDigest_and_deletes_nothing(b: Bucket):
    b.given("a").post(query="delete", body=delete_document("a"), content_md5=md5_base64(b"other")).fails(400, "BadDigest")
    b.get("a").is_(200)


@case
def DeleteObjects_takes_a_checksum_in_place_of_Content_MD5(b: Bucket):
    document = delete_document("a")
    b.given("a").post(query="delete", body=document, x_amz_checksum_crc32=crc32_base64(document), x_amz_sdk_checksum_algorithm="CRC32").is_(200)
    b.get("a").fails(404, "NoSuchKey")


@case
def DeleteObjects_with_a_wrong_checksum_deletes_nothing(b: Bucket):
    b.given("a").post(query="delete", body=delete_document("a"), x_amz_checksum_crc32=crc32_base64(b"other")).fails(400, "BadDigest")
    b.get("a").is_(200)


@case
def DeleteObjects_of_a_key_named_twice_deletes_it(b: Bucket):
    delete_many(b.given("a"), delete_document("a", "a")).is_(200)
    b.get("a").fails(404, "NoSuchKey")


@case
def GetObjectAttributes_tells_ETag_and_size(b: Bucket):
    """The ETag stands without quotes, as in the reference's example."""
    reply = b.given("k", body=b"hello").get("k", "attributes", x_amz_object_attributes="ETag,ObjectSize").is_(200)
    reply.root("GetObjectAttributesResponse")
    equal((reply.text("ETag"), reply.text("ObjectSize")), (md5(b"hello"), "5"))


@case
def GetObjectAttributes_gives_only_what_is_asked_for(b: Bucket):
    reply = b.given("k", body=b"hello").get("k", "attributes", x_amz_object_attributes="ObjectSize").is_(200)
    equal([e.tag for e in reply.root("GetObjectAttributesResponse")], ["ObjectSize"])


@case
def GetObjectAttributes_tells_the_storage_class(b: Bucket):
    equal(b.given("k").get("k", "attributes", x_amz_object_attributes="StorageClass").is_(200).text("StorageClass"), "STANDARD")


@case
def GetObjectAttributes_tells_when_the_object_was_last_modified(b: Bucket):
    reply = b.given("k").get("k", "attributes", x_amz_object_attributes="ETag").is_(200)
    reply.has("last-modified", b.head("k").get("last-modified")).root("GetObjectAttributesResponse")


@case
def GetObjectAttributes_of_a_multipart_object_counts_its_parts(b: Bucket):
    upload = Upload.begin(b, "k")
    upload.part(1, payload(5 * MIB)).is_(200)
    upload.part(2, b"end").is_(200)
    upload.complete().is_(200)
    reply = b.get("k", "attributes", x_amz_object_attributes=ATTRIBUTES).is_(200)
    equal((reply.text("ObjectParts/PartsCount"), reply.text("ObjectSize")), ("2", str(5 * MIB + 3)))


@case
def GetObjectAttributes_of_a_missing_key_is_NoSuchKey(b: Bucket):
    b.get("missing", "attributes", x_amz_object_attributes="ETag").fails(404, "NoSuchKey")


@case
def GetObjectAttributes_with_an_unknown_attribute_is_InvalidArgument(b: Bucket):
    b.given("k").get("k", "attributes", x_amz_object_attributes="Colour").fails(400, "InvalidArgument")


@case
def A_query_parameter_that_S3_does_not_know_is_ignored(b: Bucket):
    """SDKs add x-id to name the operation."""
    b.put("k", b"data", f"x-id={encode('PutObject')}").is_(200)
    equal(b.get("k", "x-id=GetObject").is_(200).body, b"data")
