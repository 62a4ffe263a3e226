"""Listings of objects, versions 1 and 2: order, prefix, delimiter, pages, markers, encoding.

Source: Amazon S3 API Reference, ListObjects and ListObjectsV2; User Guide, "Organizing objects using prefixes", "Listing object keys
programmatically" (keys come in the order of their UTF-8 bytes).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote_plus

from clients import md5
from conformance.case import case, each, equal
from conformance.s3 import Bucket, Reply
from sigv4 import encode

BOTH = {"ListObjects": "", "ListObjectsV2": "list-type=2&"}
TREE = ("a", "b/1", "b/2", "b/c/3", "d", "e/4")


def ls(b: Bucket, version: str, query: str = "") -> Reply:
    reply = b.get(query=(version + query).rstrip("&")).is_(200)
    reply.root("ListBucketResult")
    return reply


def keys(reply: Reply) -> list[str]:
    return reply.texts("Contents/Key")


def groups(reply: Reply) -> list[str]:
    return reply.texts("CommonPrefixes/Prefix")


def pages(b: Bucket, version: str, query: str) -> list[Reply]:
    """All pages, following what each version has for it."""
    replies, more = [], ""
    while True:
        reply = ls(b, version, query + more)
        replies.append(reply)
        if reply.text("IsTruncated") != "true":
            return replies
        assert len(replies) < 30, "the listing does not end"
        if version:
            more = f"&continuation-token={encode(reply.text('NextContinuationToken') or '')}"
        else:
            more = f"&marker={encode(reply.text('NextMarker') or keys(reply)[-1])}"


@each(BOTH)
def An_empty_bucket_lists_nothing(b: Bucket, v: str):
    reply = ls(b, v)
    equal((keys(reply), groups(reply), reply.text("IsTruncated")), ([], [], "false"))


@each(BOTH)
def The_listing_names_the_bucket_and_its_limit(b: Bucket, v: str):
    reply = ls(b.given("k"), v)
    equal((reply.text("Name"), reply.text("MaxKeys"), reply.text("Prefix")), (b.name, "1000", ""))


@each(BOTH)
def Each_object_has_ETag_size_time_and_class(b: Bucket, v: str):
    reply = ls(b.given("k", body=b"hello"), v)
    equal([reply.text(f"Contents/{e}") for e in ("Key", "ETag", "Size", "StorageClass")], ["k", f'"{md5(b"hello")}"', "5", "STANDARD"])
    assert (reply.text("Contents/LastModified") or "").endswith("Z")


@each(BOTH)
def Keys_come_in_the_order_of_their_bytes(b: Bucket, v: str):
    given = ["b", "B", "a-", "a.b", "a/b", "a0", "aa", "é", "z", "_"]
    equal(keys(ls(b.given(*given), v)), sorted(given, key=str.encode))


@each(BOTH)
def Keys_come_in_the_order_of_UTF_8_not_UTF_16(b: Bucket, v: str):
    given = ["\uff5e", "\U0001f600", "a"]
    equal(keys(ls(b.given(*given), v)), ["a", "\uff5e", "\U0001f600"])


@each(BOTH)
def An_overwritten_key_is_listed_once(b: Bucket, v: str):
    equal(keys(ls(b.given("k").given("k", body=b"again"), v)), ["k"])


@each(BOTH)
def By_prefix_only_the_keys_that_begin_with_it(b: Bucket, v: str):
    reply = ls(b.given(*TREE), v, "prefix=b/")
    equal((keys(reply), reply.text("Prefix")), (["b/1", "b/2", "b/c/3"], "b/"))


@each(BOTH)
def A_prefix_may_end_within_a_name(b: Bucket, v: str):
    equal(keys(ls(b.given("photo1", "photo2", "phone", "x"), v, "prefix=pho")), ["phone", "photo1", "photo2"])


@each(BOTH)
def A_prefix_may_be_a_whole_key(b: Bucket, v: str):
    equal(keys(ls(b.given("a", "ab"), v, "prefix=a")), ["a", "ab"])


@each(BOTH)
def A_prefix_of_no_key_lists_nothing(b: Bucket, v: str):
    reply = ls(b.given(*TREE), v, "prefix=x")
    equal((keys(reply), reply.text("IsTruncated")), ([], "false"))


@each(BOTH)
def A_prefix_of_several_bytes_a_character(b: Bucket, v: str):
    equal(keys(ls(b.given("ü1", "u2", "ü3"), v, f"prefix={encode('ü')}")), ["ü1", "ü3"])


@each(BOTH)
def By_delimiter_keys_are_grouped(b: Bucket, v: str):
    reply = ls(b.given(*TREE), v, "delimiter=/")
    equal((keys(reply), groups(reply), reply.text("Delimiter")), (["a", "d"], ["b/", "e/"], "/"))


@each(BOTH)
def By_prefix_and_delimiter_one_level_is_listed(b: Bucket, v: str):
    reply = ls(b.given(*TREE), v, "prefix=b/&delimiter=/")
    equal((keys(reply), groups(reply)), (["b/1", "b/2"], ["b/c/"]))


@each(BOTH)
def A_folder_object_is_listed_as_a_key_below_itself(b: Bucket, v: str):
    reply = ls(b.given("b/", "b/1", "b/c/2"), v, "prefix=b/&delimiter=/")
    equal((keys(reply), groups(reply)), (["b/", "b/1"], ["b/c/"]))


@each(BOTH)
def A_prefix_without_its_slash_gives_the_group(b: Bucket, v: str):
    reply = ls(b.given(*TREE), v, "prefix=b&delimiter=/")
    equal((keys(reply), groups(reply)), ([], ["b/"]))


@each(BOTH)
def The_delimiter_may_be_any_character(b: Bucket, v: str):
    reply = ls(b.given("bar", "baz", "cab", "foo"), v, "delimiter=a")
    equal((keys(reply), groups(reply)), (["foo"], ["ba", "ca"]))


@each(BOTH)
def A_space_may_be_the_delimiter(b: Bucket, v: str):
    reply = ls(b.given("b ar", "b az", "c ab", "foo"), v, "delimiter=%20")
    equal((keys(reply), groups(reply)), (["foo"], ["b ", "c "]))


@each(BOTH)
def A_delimiter_that_no_key_holds_groups_nothing(b: Bucket, v: str):
    reply = ls(b.given(*TREE), v, "delimiter=%7C")
    equal((keys(reply), groups(reply)), (list(TREE), []))


@each(BOTH)
def A_page_holds_at_most_max_keys(b: Bucket, v: str):
    reply = ls(b.given(*TREE), v, "max-keys=2")
    equal((keys(reply), reply.text("IsTruncated"), reply.text("MaxKeys")), (["a", "b/1"], "true", "2"))


@each(BOTH)
def A_page_that_holds_the_last_key_is_not_truncated(b: Bucket, v: str):
    reply = ls(b.given("a", "b"), v, "max-keys=2")
    equal((keys(reply), reply.text("IsTruncated")), (["a", "b"], "false"))


@each(BOTH)
def All_pages_together_are_the_listing(b: Bucket, v: str):
    found = pages(b.given(*TREE), v, "max-keys=2")
    equal(([k for p in found for k in keys(p)], len(found)), (list(TREE), 3))


@each(BOTH)
def A_group_counts_as_one_and_comes_once_across_pages(b: Bucket, v: str):
    found = pages(b.given(*TREE), v, "max-keys=1&delimiter=/")
    equal([keys(p) + groups(p) for p in found], [["a"], ["b/"], ["d"], ["e/"]])


@each(BOTH)
def Pages_of_groups_below_a_prefix(b: Bucket, v: str):
    b.given("p/a/1", "p/a/2", "p/b/1", "p/c", "q/1")
    found = pages(b, v, "max-keys=1&delimiter=/&prefix=p/")
    equal([keys(p) + groups(p) for p in found], [["p/a/"], ["p/b/"], ["p/c"]])


@each(BOTH)
def Pages_of_keys_with_odd_characters(b: Bucket, v: str):
    given = ["a b", "a%20b", "a&b", "a+b", "ü", "🪣"]
    equal([k for p in pages(b.given(*given), v, "max-keys=1") for k in keys(p)], sorted(given, key=str.encode))


@each(BOTH)
def With_max_keys_0_nothing_is_listed(b: Bucket, v: str):
    reply = ls(b.given("a"), v, "max-keys=0")
    equal((keys(reply), reply.text("IsTruncated"), reply.text("MaxKeys")), ([], "false", "0"))


@each({f"{name}, {what}": (v, value) for name, v in BOTH.items() for what, value in (("negative", "-1"), ("a word", "many"))})
def A_max_keys_that_is_no_count_is_InvalidArgument(b: Bucket, row: tuple[str, str]):
    b.get(query=f"{row[0]}max-keys={row[1]}").fails(400, "InvalidArgument")


@each(BOTH)
def A_page_never_holds_more_than_1000_keys(b: Bucket, v: str):
    given = [f"k{n:04}" for n in range(1003)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(b.given, given))
    first, second = pages(b, v, "max-keys=5000")
    equal((len(keys(first)), keys(second)), (1000, given[1000:]))


@each(BOTH)
def Encoding_type_url_encodes_keys(b: Bucket, v: str):
    given = ["a b", "a+b", "a%b", "a&<b>", "ü"]
    reply = ls(b.given(*given), v, "encoding-type=url")
    equal(reply.text("EncodingType"), "url")
    equal([unquote_plus(k) for k in keys(reply)], sorted(given, key=str.encode))
    assert all(c.isascii() and (c.isalnum() or c in "-_.*+%/!~'()") for k in keys(reply) for c in k), keys(reply)


@each(BOTH)
def Encoding_type_url_encodes_prefix_delimiter_and_groups(b: Bucket, v: str):
    reply = ls(b.given("ü/a|1", "ü/b"), v, f"encoding-type=url&prefix={encode('ü/')}&delimiter=%7C")
    equal([unquote_plus(x or "") for x in (reply.text("Prefix"), reply.text("Delimiter"), *groups(reply))], ["ü/", "|", "ü/a|"])
    assert "ü" not in (reply.text("Prefix") or "") and "|" not in (reply.text("Delimiter") or "|"), "not encoded"


@each(BOTH)
def Without_encoding_type_keys_stand_as_they_are(b: Bucket, v: str):
    reply = ls(b.given("a b+c%20&<ü>"), v)
    equal((keys(reply), reply.text("EncodingType")), (["a b+c%20&<ü>"], None))


@each(BOTH)
def An_encoding_type_but_url_is_InvalidArgument(b: Bucket, v: str):
    b.get(query=f"{v}encoding-type=base64").fails(400, "InvalidArgument")


@each(BOTH)
def Keys_with_control_characters_can_be_listed_encoded(b: Bucket, v: str):
    equal(keys(ls(b.given("a\x01b"), v, "encoding-type=url")), ["a%01b"])


@each(BOTH)
def A_listing_of_a_missing_bucket_is_NoSuchBucket(b: Bucket, v: str):
    b.named(f"{b.name}-none").get(query=v.rstrip("&")).fails(404, "NoSuchBucket")


@each(BOTH)
def Deleted_keys_are_not_listed(b: Bucket, v: str):
    b.given("a", "b").delete("a").is_(204)
    equal(keys(ls(b, v)), ["b"])


V1, V2 = "", "list-type=2&"


@case
def V1_begins_behind_the_marker(b: Bucket):
    reply = ls(b.given("a", "b", "c"), V1, "marker=a")
    equal((keys(reply), reply.text("Marker")), (["b", "c"], "a"))


@case
def V1_takes_a_marker_that_is_no_key(b: Bucket):
    equal(keys(ls(b.given("a", "c"), V1, "marker=b")), ["c"])


@case
def V1_behind_the_last_key_lists_nothing(b: Bucket):
    reply = ls(b.given("a"), V1, "marker=a")
    equal((keys(reply), reply.text("IsTruncated")), ([], "false"))


@case
def V1_gives_NextMarker_with_a_delimiter(b: Bucket):
    reply = ls(b.given(*TREE), V1, "max-keys=2&delimiter=/")
    equal((keys(reply), groups(reply), reply.text("NextMarker")), (["a"], ["b/"], "b/"))


@case
def V1_gives_no_NextMarker_without_a_delimiter(b: Bucket):
    """"This element is returned only if you have the delimiter request parameter specified."."""
    equal(ls(b.given(*TREE), V1, "max-keys=2").text("NextMarker"), None)


@case
def V1_lists_no_group_up_to_the_marker(b: Bucket):
    """"CommonPrefixes is filtered out from results if it is not lexicographically greater than the key-marker."."""
    reply = ls(b.given(*TREE), V1, "delimiter=/&marker=b/1")
    equal((keys(reply), groups(reply)), (["d"], ["e/"]))


@case
def V1_names_the_owner_of_each_object(b: Bucket):
    assert ls(b.given("k"), V1).text("Contents/Owner/ID")


@case
def V2_counts_keys_and_groups(b: Bucket):
    equal(ls(b.given(*TREE), V2, "delimiter=/").text("KeyCount"), "4")


@case
def V2_begins_behind_start_after(b: Bucket):
    reply = ls(b.given("a", "b", "c"), V2, "start-after=a")
    equal((keys(reply), reply.text("StartAfter")), (["b", "c"], "a"))


@case
def V2_takes_a_start_after_that_is_no_key(b: Bucket):
    equal(keys(ls(b.given("a", "c"), V2, "start-after=b")), ["c"])


@case
def V2_start_after_below_the_prefix_lists_all_of_it(b: Bucket):
    equal(keys(ls(b.given(*TREE), V2, "prefix=b/&start-after=a")), ["b/1", "b/2", "b/c/3"])


@case
def V2_lists_no_group_up_to_start_after(b: Bucket):
    """"CommonPrefixes is filtered out from results if it is not lexicographically greater than the StartAfter value."."""
    reply = ls(b.given(*TREE), V2, "delimiter=/&start-after=b/1")
    equal((keys(reply), groups(reply)), (["d"], ["e/"]))


@case
def V2_start_after_holds_for_the_pages_that_follow(b: Bucket):
    equal([k for p in pages(b.given(*TREE), V2, "max-keys=2&start-after=b/1") for k in keys(p)], ["b/2", "b/c/3", "d", "e/4"])


@case
def V2_repeats_the_continuation_token(b: Bucket):
    token = ls(b.given("a", "b"), V2, "max-keys=1").text("NextContinuationToken")
    reply = ls(b, V2, f"continuation-token={encode(token or '')}")
    equal((reply.text("ContinuationToken"), keys(reply)), (token, ["b"]))


@case
def V2_gives_a_token_only_where_more_follows(b: Bucket):
    equal(ls(b.given("a"), V2).text("NextContinuationToken"), None)


@case
def V2_sees_a_key_that_was_written_between_pages(b: Bucket):
    token = ls(b.given("a", "c"), V2, "max-keys=1").text("NextContinuationToken")
    b.given("b")
    equal(keys(ls(b, V2, f"continuation-token={encode(token or '')}")), ["b", "c"])


@case
def V2_continues_though_the_last_key_was_deleted(b: Bucket):
    token = ls(b.given("a", "b"), V2, "max-keys=1").text("NextContinuationToken")
    b.delete("a").is_(204)
    equal(keys(ls(b, V2, f"continuation-token={encode(token or '')}")), ["b"])


@case
def V2_with_a_token_of_nobody_s_is_InvalidArgument(b: Bucket):
    b.given("a").get(query="list-type=2&continuation-token=bm9uc2Vuc2U%3D").fails(400, "InvalidArgument")


@case
def V2_names_no_owner_unless_asked(b: Bucket):
    equal(ls(b.given("k"), V2).text("Contents/Owner"), None)


@case
def V2_names_the_owner_with_fetch_owner(b: Bucket):
    assert ls(b.given("k"), V2, "fetch-owner=true").text("Contents/Owner/ID")
