"""Metadata and headers: what is kept with an object and given back, and the overrides of GetObject.

Source: User Guide, "Working with object metadata"; Amazon S3 API Reference, PutObject and GetObject.
"""

from __future__ import annotations

from conformance.case import case, each, equal, one_of
from conformance.s3 import Bucket
from sigv4 import STREAMING

SYSTEM = {
    "Content-Type": "text/x-conf; charset=utf-8",
    "Cache-Control": "max-age=60, private",
    "Content-Disposition": 'attachment; filename="a b.txt"',
    "Content-Encoding": "gzip",
    "Content-Language": "de, en",
    "Expires": "Thu, 01 Dec 2033 16:00:00 GMT",
}
OVERRIDES = {
    "response-content-type": "content-type",
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
    "response-content-language": "content-language",
    "response-expires": "expires",
}


def keyword(header: str) -> str:
    return header.lower().replace("-", "_")


@each(SYSTEM.keys())
def PutObject_keeps_and_GetObject_gives_back(b: Bucket, header: str):
    b.put("k", b"x", **{keyword(header): SYSTEM[header]}).is_(200)
    b.get("k").is_(200).has(header, SYSTEM[header])
    b.head("k").is_(200).has(header, SYSTEM[header])


@case
def The_default_Content_Type_is_binary_octet_stream(b: Bucket):
    """User Guide, "System-defined object metadata"; PutObject without a type."""
    b.put("k", b"x").is_(200)
    b.get("k").is_(200).has("content-type", "binary/octet-stream")


@case
def GetObject_gives_no_header_that_was_not_put(b: Bucket):
    reply = b.given("k").get("k").is_(200)
    equal(reply.body, b"x")
    for header in SYSTEM.keys() - {"Content-Type"}:
        reply.has(header, None)


@case
def Overwriting_replaces_all_metadata(b: Bucket):
    b.put("k", b"1", x_amz_meta_a="1", cache_control="no-store").is_(200)
    b.put("k", b"2", x_amz_meta_b="2").is_(200)
    b.head("k").is_(200).has("x-amz-meta-a", None).has("x-amz-meta-b", "2").has("cache-control", None)


@case
def User_metadata_is_given_back_by_get_and_head(b: Bucket):
    b.put("k", b"x", x_amz_meta_colour="blue", x_amz_meta_note="two words").is_(200)
    for reply in (b.get("k"), b.head("k")):
        reply.is_(200).has("x-amz-meta-colour", "blue").has("x-amz-meta-note", "two words")


@case
def Names_of_user_metadata_are_kept_in_lower_case(b: Bucket):
    """"Amazon S3 stores user-defined metadata keys in lowercase."."""
    request = b.request("PUT", "k", body=b"x").add("X-Amz-Meta-MiXed", "Value")
    b.exchange(b.signed(request)).is_(200)
    names = [n for n, _ in b.head("k").is_(200).headers if n.lower() == "x-amz-meta-mixed"]
    equal(names, ["x-amz-meta-mixed"])


@case
def User_metadata_of_2_KB_is_kept(b: Bucket):
    """The limit is 2 KB, the sum of the bytes of each key and value."""
    value = "v" * 2000
    b.put("k", b"x", x_amz_meta_long=value).is_(200)
    b.head("k").is_(200).has("x-amz-meta-long", value)


@case
def User_metadata_of_more_than_2_KB_is_MetadataTooLarge(b: Bucket):
    b.put("k", b"x", x_amz_meta_long="v" * 2100).fails(400, "MetadataTooLarge")
    b.get("k").fails(404, "NoSuchKey")


@case
def Many_user_metadata_together_above_2_KB_are_MetadataTooLarge(b: Bucket):
    b.put("k", b"x", **{f"x_amz_meta_m{n}": "v" * 100 for n in range(25)}).fails(400, "MetadataTooLarge")


@case
def Two_headers_of_the_same_metadata_name_become_one_list(b: Bucket):
    """"If multiple headers have the same name, Amazon S3 combines them into a single comma-delimited list"."""
    request = b.request("PUT", "k", body=b"x").add("x-amz-meta-multi", "one").add("x-amz-meta-multi", "two")
    b.exchange(b.signed(request)).is_(200)
    one_of(b.head("k").is_(200).get("x-amz-meta-multi"), "one,two", "one, two")


@case
def Metadata_is_read_only_by_replacing_the_object(b: Bucket):
    b.put("k", b"x", x_amz_meta_a="1").is_(200)
    b.get("k", x_amz_meta_a="2").is_(200).has("x-amz-meta-a", "1")


@case
def Content_Encoding_aws_chunked_is_not_kept(b: Bucket):
    """"Amazon S3 stores the resulting object without the aws-chunked value in the content-encoding header."."""
    b.put_chunked("k", [b"data"], STREAMING).is_(200)
    equal(b.get("k").is_(200).has("content-encoding", None).body, b"data")


@case
def Content_Encoding_aws_chunked_gzip_is_kept_as_gzip(b: Bucket):
    b.put_chunked("k", [b"data"], STREAMING, content_encoding="aws-chunked,gzip").is_(200)
    b.get("k").is_(200).has("content-encoding", "gzip")


@case
def Reads_of_an_object_accept_ranges(b: Bucket):
    b.given("k").get("k").is_(200).has("accept-ranges", "bytes")
    b.head("k").is_(200).has("accept-ranges", "bytes")


@each(OVERRIDES.keys())
def GetObject_overrides_a_header_by(b: Bucket, parameter: str):
    b.put("k", b"x", **{keyword(h): v for h, v in SYSTEM.items()}).is_(200)
    value = "Wed, 01 Jan 2031 00:00:00 GMT" if parameter == "response-expires" else "x-conf"
    b.get("k", f"{parameter}={value.replace(' ', '%20')}").is_(200).has(OVERRIDES[parameter], value)


@case
def HeadObject_overrides_headers_too(b: Bucket):
    b.given("k").head("k", "response-content-type=text/x-conf&response-cache-control=no-store").is_(200).has("content-type", "text/x-conf").has("cache-control", "no-store")


@case
def An_override_sets_a_header_that_the_object_does_not_have(b: Bucket):
    b.given("k").get("k", "response-content-disposition=attachment%3B%20filename%3Da.txt").is_(200).has("content-disposition", "attachment; filename=a.txt")


@case
def An_override_does_not_change_the_object(b: Bucket):
    b.put("k", b"x", content_type="text/x-conf").is_(200)
    b.get("k", "response-content-type=text/plain").is_(200)
    b.get("k").is_(200).has("content-type", "text/x-conf")


@case
def An_override_holds_for_a_range_too(b: Bucket):
    b.given("k", body=b"0123456789")
    reply = b.get("k", "response-content-type=text/x-part", range="bytes=2-4").is_(206).has("content-type", "text/x-part")
    equal(reply.body, b"234")


@case
def Overrides_need_a_signed_request(b: Bucket):
    """"You must sign the request … when using these parameters. They cannot be used with an unsigned (anonymous) request."."""
    request = b.given("k").request("GET", "k", "response-content-type=text/plain").put("Host", b.host())
    b.exchange(request).is_(400, 403)
