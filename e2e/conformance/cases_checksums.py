"""Checksums of objects, as header and as trailer, and of multipart uploads, composite and of the full object.

Source: User Guide, "Checking object integrity in Amazon S3"; Amazon S3 API Reference, PutObject, GetObject, UploadPart,
CreateMultipartUpload, CompleteMultipartUpload, GetObjectAttributes, Checksum.
"""

from __future__ import annotations

import base64
import functools

from clients import MIB, payload
from conformance.case import case, each, equal, one_of
from conformance.s3 import Bucket, Reply, Upload
from sigv4 import CHECKSUMS as ALGORITHMS
from sigv4 import STREAMING_TRAILER, STREAMING_UNSIGNED_TRAILER

COMPOSITE = [algorithm for algorithm in ALGORITHMS if algorithm != "crc64nvme"]
FULL_OBJECT = ["crc32", "crc32c", "crc64nvme"]
DATA = b"The checksum of this is verified before it is stored."
PARTS = [payload(5 * MIB, "checksums"), b"and the end"]


def header(algorithm: str) -> str:
    return f"x-amz-checksum-{algorithm}"


def keyword(algorithm: str) -> str:
    return f"x_amz_checksum_{algorithm}"


def element(algorithm: str) -> str:
    return f"Checksum{algorithm.upper()}"


@functools.cache
def of_part(algorithm: str, number: int) -> str:
    return ALGORITHMS[algorithm](PARTS[number - 1])


@functools.cache
def of_whole(algorithm: str) -> str:
    return ALGORITHMS[algorithm](b"".join(PARTS))


def composite(algorithm: str) -> str:
    """The checksum of the parts' checksums, and how many they are."""
    raw = b"".join(base64.b64decode(of_part(algorithm, n)) for n in (1, 2))
    return f"{ALGORITHMS[algorithm](raw)}-2"


def begin(b: Bucket, algorithm: str, kind: str | None = None) -> Upload:
    more = {"x_amz_checksum_type": kind} if kind else {}
    return Upload.begin(b, "k", x_amz_checksum_algorithm=algorithm.upper(), **more)


def send(upload: Upload, algorithm: str) -> Upload:
    for number in (1, 2):
        upload.part(number, PARTS[number - 1], **{keyword(algorithm): of_part(algorithm, number)}).is_(200)
    return upload


def shown(b: Bucket) -> Reply:
    return b.head("k", x_amz_checksum_mode="ENABLED").is_(200)


@each(ALGORITHMS.keys())
def PutObject_with_a_right_checksum_answers_it(b: Bucket, algorithm: str):
    right = ALGORITHMS[algorithm](DATA)
    b.put("k", DATA, **{keyword(algorithm): right}).is_(200).has(header(algorithm), right)
    equal(b.get("k").body, DATA)


@each(ALGORITHMS.keys())
def PutObject_with_a_wrong_checksum_is_BadDigest_and_stores_nothing(b: Bucket, algorithm: str):
    b.put("k", DATA, **{keyword(algorithm): ALGORITHMS[algorithm](b"other")}).fails(400, "BadDigest")
    b.get("k").fails(404, "NoSuchKey")


@each({"no base64": "!!", "of another length": "YWJj"})
def PutObject_with_a_malformed_checksum_is_InvalidRequest(b: Bucket, value: str):
    b.put("k", DATA, x_amz_checksum_sha256=value).fails(400, "InvalidRequest")
    b.get("k").fails(404, "NoSuchKey")


@each(ALGORITHMS.keys())
def Reads_in_checksum_mode_give_the_checksum(b: Bucket, algorithm: str):
    right = ALGORITHMS[algorithm](DATA)
    b.put("k", DATA, **{keyword(algorithm): right}).is_(200)
    b.get("k", x_amz_checksum_mode="ENABLED").is_(200).has(header(algorithm), right)
    shown(b).has(header(algorithm), right)


@case
def The_checksum_of_an_object_put_at_once_is_of_type_FULL_OBJECT(b: Bucket):
    """"For PutObject uploads, the checksum type is always FULL_OBJECT."."""
    b.put("k", DATA, **{keyword("sha256"): ALGORITHMS["sha256"](DATA)}).is_(200)
    shown(b).has("x-amz-checksum-type", "FULL_OBJECT")


@case
def Without_checksum_mode_no_checksum_is_given(b: Bucket):
    """"To retrieve the checksum, this mode must be enabled."."""
    b.put("k", DATA, **{keyword("sha256"): ALGORITHMS["sha256"](DATA)}).is_(200)
    equal(b.get("k").is_(200).has(header("sha256"), None).body, DATA)
    b.head("k").is_(200).has(header("sha256"), None)


@case
def An_object_put_without_a_checksum_gets_one_of_CRC64NVME(b: Bucket):
    """"Amazon S3 added the default checksum, CRC64NVME, to the uploaded object"."""
    b.put("k", DATA).is_(200)
    shown(b).has(header("crc64nvme"), ALGORITHMS["crc64nvme"](DATA))


@case
def Overwriting_drops_the_old_checksum(b: Bucket):
    b.put("k", DATA, **{keyword("sha1"): ALGORITHMS["sha1"](DATA)}).is_(200)
    b.put("k", b"other", **{keyword("crc32"): ALGORITHMS["crc32"](b"other")}).is_(200)
    shown(b).has(header("sha1"), None).has(header("crc32"), ALGORITHMS["crc32"](b"other"))


@case
def Two_checksums_at_once_are_InvalidRequest(b: Bucket):
    b.put("k", DATA, **{keyword(a): ALGORITHMS[a](DATA) for a in ("crc32", "sha256")}).fails(400, "InvalidRequest")


@case
def An_algorithm_without_its_checksum_is_400(b: Bucket):
    """x-amz-sdk-checksum-algorithm: "there must be a corresponding x-amz-checksum-algorithm or x-amz-trailer header sent. Otherwise, … 400 Bad Request"."""
    b.put("k", DATA, x_amz_sdk_checksum_algorithm="SHA256").is_(400)


@each(ALGORITHMS.keys())
def A_right_checksum_as_unsigned_trailer_is_stored(b: Bucket, algorithm: str):
    right = ALGORITHMS[algorithm](DATA)
    b.put_chunked("k", [DATA], STREAMING_UNSIGNED_TRAILER, {header(algorithm): right}).is_(200)
    equal(b.get("k").body, DATA)
    shown(b).has(header(algorithm), right)


@each(ALGORITHMS.keys())
def A_wrong_checksum_as_unsigned_trailer_is_BadDigest(b: Bucket, algorithm: str):
    wrong = {header(algorithm): ALGORITHMS[algorithm](b"other")}
    b.put_chunked("k", [DATA], STREAMING_UNSIGNED_TRAILER, wrong).fails(400, "BadDigest")
    b.get("k").fails(404, "NoSuchKey")


@each(ALGORITHMS.keys())
def A_right_checksum_as_signed_trailer_is_stored(b: Bucket, algorithm: str):
    right = ALGORITHMS[algorithm](DATA)
    b.put_chunked("k", [DATA], STREAMING_TRAILER, {header(algorithm): right}).is_(200)
    equal(b.get("k").body, DATA)
    shown(b).has(header(algorithm), right)


@each(ALGORITHMS.keys())
def A_wrong_checksum_as_signed_trailer_is_BadDigest(b: Bucket, algorithm: str):
    wrong = {header(algorithm): ALGORITHMS[algorithm](b"other")}
    b.put_chunked("k", [DATA], STREAMING_TRAILER, wrong).fails(400, "BadDigest")
    b.get("k").fails(404, "NoSuchKey")


@case
def A_trailer_that_was_not_announced_is_refused(b: Bucket):
    trailer = {header("crc32"): ALGORITHMS["crc32"](DATA)}
    b.put_chunked("k", [DATA], STREAMING_UNSIGNED_TRAILER, trailer, announce="").is_refused()
    b.get("k").fails(404, "NoSuchKey")


@case
def A_trailer_that_was_announced_and_does_not_come_is_refused(b: Bucket):
    b.put_chunked("k", [DATA], STREAMING_UNSIGNED_TRAILER, {}, announce=header("crc32")).is_refused()
    b.get("k").fails(404, "NoSuchKey")


@case
def A_trailer_that_is_no_checksum_is_refused(b: Bucket):
    b.put_chunked("k", [DATA], STREAMING_UNSIGNED_TRAILER, {"x-amz-meta-late": "1"}).is_refused()
    b.get("k").fails(404, "NoSuchKey")


@case
def A_body_in_many_chunks_is_checked_as_a_whole(b: Bucket):
    data = payload(200_000, "chunks")
    chunks = [data[n : n + 65536] for n in range(0, len(data), 65536)]
    b.put_chunked("k", chunks, STREAMING_UNSIGNED_TRAILER, {header("crc32"): ALGORITHMS["crc32"](data)}).is_(200)
    assert b.get("k").body == data, "other bytes"


@case
def An_empty_body_has_a_checksum_too(b: Bucket):
    b.put("k", b"", **{keyword("crc32"): "AAAAAA=="}).is_(200)
    shown(b).has(header("crc32"), "AAAAAA==")


@case
def GetObjectAttributes_gives_the_checksum(b: Bucket):
    right = ALGORITHMS["crc32"](DATA)
    b.put("k", DATA, x_amz_checksum_crc32=right).is_(200)
    reply = b.get("k", "attributes", x_amz_object_attributes="Checksum").is_(200)
    equal((reply.text("Checksum/ChecksumCRC32"), reply.text("Checksum/ChecksumType")), (right, "FULL_OBJECT"))


@each({"ListObjects": "", "ListObjectsV2": "list-type=2"})
def Listings_name_the_algorithm(b: Bucket, query: str):
    b.put("k", DATA, **{keyword("sha256"): ALGORITHMS["sha256"](DATA)}).is_(200)
    reply = b.get(query=query).is_(200)
    equal((reply.text("Contents/ChecksumAlgorithm"), reply.text("Contents/ChecksumType")), ("SHA256", "FULL_OBJECT"))


@case
def CopyObject_copies_the_checksum(b: Bucket):
    """"If the source object has a checksum, that checksum value will be copied to the new object by default."."""
    right = ALGORITHMS["sha256"](DATA)
    b.put("source", DATA, **{keyword("sha256"): right}).is_(200)
    equal(b.put("k", x_amz_copy_source=f"{b.name}/source").is_(200).text(element("sha256")), right)
    shown(b).has(header("sha256"), right)


@case
def CopyObject_makes_the_checksum_that_is_asked_for(b: Bucket):
    b.put("source", DATA).is_(200)
    b.put("k", x_amz_copy_source=f"{b.name}/source", x_amz_checksum_algorithm="SHA1").is_(200)
    shown(b).has(header("sha1"), ALGORITHMS["sha1"](DATA))


@case
def CopyObject_with_an_unknown_algorithm_is_400(b: Bucket):
    b.put("source", DATA).is_(200)
    b.put("k", x_amz_copy_source=f"{b.name}/source", x_amz_checksum_algorithm="CRC7").is_(400)


@each(ALGORITHMS.keys())
def CreateMultipartUpload_answers_the_algorithm(b: Bucket, algorithm: str):
    b.post("k", "uploads", x_amz_checksum_algorithm=algorithm.upper()).is_(200).has("x-amz-checksum-algorithm", algorithm.upper())


@case
def CreateMultipartUpload_answers_the_type(b: Bucket):
    b.post("k", "uploads", x_amz_checksum_algorithm="CRC32", x_amz_checksum_type="FULL_OBJECT").is_(200).has("x-amz-checksum-type", "FULL_OBJECT")


@each({"SHA256 of the full object": ("SHA256", "FULL_OBJECT"), "SHA1 of the full object": ("SHA1", "FULL_OBJECT"), "composite CRC64NVME": ("CRC64NVME", "COMPOSITE")})
def CreateMultipartUpload_refuses_what_cannot_be_combined(b: Bucket, pair: tuple[str, str]):
    b.post("k", "uploads", x_amz_checksum_algorithm=pair[0], x_amz_checksum_type=pair[1]).fails(400, "InvalidRequest")


@case
def CreateMultipartUpload_with_an_unknown_algorithm_is_InvalidRequest(b: Bucket):
    b.post("k", "uploads", x_amz_checksum_algorithm="CRC7").fails(400, "InvalidRequest")


@each(ALGORITHMS.keys())
def UploadPart_answers_the_checksum_of_the_part(b: Bucket, algorithm: str):
    right = ALGORITHMS[algorithm](DATA)
    begin(b, algorithm).part(1, DATA, **{keyword(algorithm): right}).is_(200).has(header(algorithm), right)


@each(ALGORITHMS.keys())
def UploadPart_with_a_wrong_checksum_is_BadDigest(b: Bucket, algorithm: str):
    upload = begin(b, algorithm)
    upload.part(1, DATA, **{keyword(algorithm): ALGORITHMS[algorithm](b"other")}).fails(400, "BadDigest")
    equal(upload.listed().is_(200).texts("Part/PartNumber"), [])


@case
def UploadPart_takes_its_checksum_as_a_trailer(b: Bucket):
    upload = begin(b, "crc32")
    right = {header("crc32"): ALGORITHMS["crc32"](DATA)}
    b.put_chunked("k", [DATA], STREAMING_UNSIGNED_TRAILER, right, query=upload.query(1)).is_(200).has(header("crc32"), right[header("crc32")])


@case
def UploadPart_with_a_wrong_trailer_is_BadDigest(b: Bucket):
    upload = begin(b, "crc32")
    b.put_chunked("k", [DATA], STREAMING_UNSIGNED_TRAILER, {header("crc32"): "AAAAAA=="}, query=upload.query(1)).fails(400, "BadDigest")
    equal(upload.listed().is_(200).texts("Part/PartNumber"), [])


@case
def UploadPart_with_another_algorithm_than_the_upload_s_is_InvalidRequest(b: Bucket):
    begin(b, "sha256").part(1, DATA, **{keyword("crc32"): ALGORITHMS["crc32"](DATA)}).fails(400, "InvalidRequest")


@each(COMPOSITE)
def CompleteMultipartUpload_makes_a_composite_checksum(b: Bucket, algorithm: str):
    reply = send(begin(b, algorithm), algorithm).complete().is_(200)
    equal((reply.text(element(algorithm)), reply.text("ChecksumType")), (composite(algorithm), "COMPOSITE"))
    shown(b).has(header(algorithm), composite(algorithm)).has("x-amz-checksum-type", "COMPOSITE")


@each(FULL_OBJECT)
def CompleteMultipartUpload_makes_a_checksum_of_the_full_object(b: Bucket, algorithm: str):
    reply = send(begin(b, algorithm, "FULL_OBJECT"), algorithm).complete(x_amz_checksum_type="FULL_OBJECT", **{keyword(algorithm): of_whole(algorithm)}).is_(200)
    equal((reply.text(element(algorithm)), reply.text("ChecksumType")), (of_whole(algorithm), "FULL_OBJECT"))
    shown(b).has(header(algorithm), of_whole(algorithm)).has("x-amz-checksum-type", "FULL_OBJECT")


@each(FULL_OBJECT)
def CompleteMultipartUpload_with_a_wrong_checksum_of_the_full_object_is_BadDigest(b: Bucket, algorithm: str):
    wrong = {keyword(algorithm): ALGORITHMS[algorithm](b"other")}
    send(begin(b, algorithm, "FULL_OBJECT"), algorithm).complete(x_amz_checksum_type="FULL_OBJECT", **wrong).fails(400, "BadDigest")
    b.get("k").fails(404, "NoSuchKey")


@case
def CompleteMultipartUpload_with_another_type_than_the_upload_s_is_BadDigest(b: Bucket):
    """"If the checksum type doesn't match the checksum type that was specified … it'll result in a BadDigest error."."""
    send(begin(b, "crc32", "FULL_OBJECT"), "crc32").complete(x_amz_checksum_type="COMPOSITE").fails(400, "BadDigest")


@case
def CompleteMultipartUpload_with_a_wrong_checksum_of_a_part_is_refused(b: Bucket):
    upload = send(begin(b, "sha256"), "sha256")
    wrong = f"<ChecksumSHA256>{ALGORITHMS['sha256'](b'other')}</ChecksumSHA256>"
    upload.complete([(n, etag, wrong) for n, etag, _ in upload.parts]).is_(400)
    b.get("k").fails(404, "NoSuchKey")


@case
def An_upload_without_an_algorithm_gets_CRC64NVME_of_the_full_object(b: Bucket):
    upload = Upload.begin(b, "k")
    for number, part in enumerate(PARTS, 1):
        upload.part(number, part).is_(200)
    upload.complete().is_(200)
    shown(b).has(header("crc64nvme"), of_whole("crc64nvme")).has("x-amz-checksum-type", "FULL_OBJECT")


@case
def ListParts_gives_the_checksum_of_each_part(b: Bucket):
    upload = send(begin(b, "sha256"), "sha256")
    equal(upload.listed().is_(200).texts("Part/ChecksumSHA256"), [of_part("sha256", 1), of_part("sha256", 2)])


@case
def ListParts_names_algorithm_and_type(b: Bucket):
    reply = begin(b, "sha256").listed().is_(200)
    equal((reply.text("ChecksumAlgorithm"), reply.text("ChecksumType")), ("SHA256", "COMPOSITE"))


@case
def ListMultipartUploads_names_the_algorithm(b: Bucket):
    begin(b, "sha256")
    equal(b.get(query="uploads").is_(200).text("Upload/ChecksumAlgorithm"), "SHA256")


@case
def GetObjectAttributes_gives_the_checksums_of_the_parts(b: Bucket):
    send(begin(b, "sha256"), "sha256").complete().is_(200)
    reply = b.get("k", "attributes", x_amz_object_attributes="Checksum,ObjectParts").is_(200)
    equal(reply.texts("ObjectParts/Part/ChecksumSHA256"), [of_part("sha256", 1), of_part("sha256", 2)])
    equal(reply.texts("ObjectParts/Part/Size"), [str(len(p)) for p in PARTS])
    one_of(reply.text("Checksum/ChecksumSHA256"), composite("sha256"), composite("sha256").rpartition("-")[0])


@case
def GetObjectAttributes_pages_the_parts(b: Bucket):
    send(begin(b, "sha256"), "sha256").complete().is_(200)
    first = b.get("k", "attributes", x_amz_object_attributes="ObjectParts", x_amz_max_parts="1").is_(200)
    equal((first.text("ObjectParts/IsTruncated"), first.texts("ObjectParts/Part/PartNumber")), ("true", ["1"]))
    second = b.get("k", "attributes", x_amz_object_attributes="ObjectParts", x_amz_part_number_marker=first.text("ObjectParts/NextPartNumberMarker") or "").is_(200)
    equal((second.text("ObjectParts/IsTruncated"), second.texts("ObjectParts/Part/PartNumber")), ("false", ["2"]))


@case
def GetObject_by_part_number_gives_the_checksum_of_the_part(b: Bucket):
    send(begin(b, "sha256"), "sha256").complete().is_(200)
    b.get("k", "partNumber=2", x_amz_checksum_mode="ENABLED").is_(206).has(header("sha256"), of_part("sha256", 2))
