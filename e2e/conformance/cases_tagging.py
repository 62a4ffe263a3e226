"""Tags of objects.

Source: Amazon S3 API Reference, PutObjectTagging, GetObjectTagging, DeleteObjectTagging, PutObject (x-amz-tagging); User Guide,
"Categorizing your objects using tags": ten tags at most, keys of up to 128 and values of up to 256 characters.
"""

from __future__ import annotations

from conformance.case import case, equal, each
from conformance.s3 import Bucket, Reply
from sigv4 import encode


def document(*tags: tuple[str, str]) -> str:
    rows = "".join(f"<Tag><Key>{k}</Key><Value>{v}</Value></Tag>" for k, v in tags)
    return f'<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>{rows}</TagSet></Tagging>'


def tag(b: Bucket, *tags: tuple[str, str], key: str = "k") -> Reply:
    return b.put_xml(key, "tagging", document(*tags))


def tags(b: Bucket, key: str = "k") -> list[tuple[str, str]]:
    reply = b.get(key, "tagging").is_(200)
    reply.root("Tagging")
    return sorted(zip(reply.texts("TagSet/Tag/Key"), reply.texts("TagSet/Tag/Value")))


@case
def PutObjectTagging_keeps_the_tags(b: Bucket):
    tag(b.given("k"), ("a", "1"), ("b", "2")).is_(200)
    equal(tags(b), [("a", "1"), ("b", "2")])


@case
def PutObjectTagging_replaces_all_tags(b: Bucket):
    tag(b.given("k"), ("a", "1")).is_(200)
    tag(b, ("b", "2")).is_(200)
    equal(tags(b), [("b", "2")])


@case
def PutObjectTagging_does_not_change_the_object(b: Bucket):
    b.put("k", b"data", content_type="text/x-conf", x_amz_meta_a="1").is_(200)
    tag(b, ("a", "1")).is_(200)
    equal(b.get("k").is_(200).has("content-type", "text/x-conf").has("x-amz-meta-a", "1").body, b"data")


@case
def PutObjectTagging_with_an_empty_set_removes_all_tags(b: Bucket):
    tag(b.given("k", x_amz_tagging="a=1")).is_(200)
    equal(tags(b), [])


@case
def GetObjectTagging_of_an_object_without_tags_is_an_empty_set(b: Bucket):
    equal(tags(b.given("k")), [])


@case
def DeleteObjectTagging_is_204_and_removes_all_tags(b: Bucket):
    b.given("k", x_amz_tagging="a=1").delete("k", "tagging").is_(204)
    equal(tags(b), [])
    b.get("k").is_(200)


@each({"GetObjectTagging": lambda b: b.get("k", "tagging"), "PutObjectTagging": lambda b: tag(b, ("a", "1"))})
def A_missing_key_is_NoSuchKey(b: Bucket, operation):
    operation(b).fails(404, "NoSuchKey")


@case
def PutObject_takes_tags_in_a_header(b: Bucket):
    b.given("k", x_amz_tagging="a=1&b=two%20words")
    equal(tags(b), [("a", "1"), ("b", "two words")])


@case
def Tags_may_have_empty_values(b: Bucket):
    b.given("k", x_amz_tagging="a=")
    equal(tags(b), [("a", "")])


@case
def Tags_may_hold_letters_digits_and_some_punctuation(b: Bucket):
    tag(b.given("k"), ("a b+c-d=e.f_g:h/i@j", "ü 1")).is_(200)
    equal(tags(b), [("a b+c-d=e.f_g:h/i@j", "ü 1")])


@case
def Tags_in_a_header_are_decoded(b: Bucket):
    b.given("k", x_amz_tagging=f"{encode('a+b/ü')}={encode('c=d')}")
    equal(tags(b), [("a+b/ü", "c=d")])


@case
def Tags_are_case_sensitive(b: Bucket):
    tag(b.given("k"), ("Key", "1"), ("key", "2")).is_(200)
    equal(tags(b), [("Key", "1"), ("key", "2")])


@case
def Overwriting_an_object_drops_its_tags(b: Bucket):
    b.given("k", x_amz_tagging="a=1").given("k")
    equal(tags(b), [])


@each({"GetObject": "GET", "HeadObject": "HEAD"})
def Reads_count_the_tags(b: Bucket, method: str):
    b.given("k", x_amz_tagging="a=1&b=2").call(method, "k").is_(200).has("x-amz-tagging-count", "2")


@case
def Reads_of_an_object_without_tags_count_none(b: Bucket):
    equal(b.given("k").get("k").is_(200).has("x-amz-tagging-count", None).body, b"x")


@case
def Ten_tags_are_kept(b: Bucket):
    tag(b.given("k"), *[(f"k{n}", "v") for n in range(10)]).is_(200)
    equal(len(tags(b)), 10)


@case
def More_than_ten_tags_are_refused(b: Bucket):
    tag(b.given("k"), *[(f"k{n}", "v") for n in range(11)]).fails(400, "BadRequest", "InvalidTag")
    equal(tags(b), [])


@case
def A_tag_key_of_128_and_a_value_of_256_characters_are_kept(b: Bucket):
    tag(b.given("k"), ("k" * 128, "v" * 256)).is_(200)
    equal(tags(b), [("k" * 128, "v" * 256)])


@each({"a key of more than 128 characters": ("k" * 129, "v"), "a value of more than 256 characters": ("k", "v" * 257), "an empty key": ("", "v"), "a key with the prefix aws:": ("aws:k", "v")})
def InvalidTag_for(b: Bucket, pair: tuple[str, str]):
    tag(b.given("k"), pair).fails(400, "InvalidTag")


@case
def InvalidTag_for_a_key_that_comes_twice(b: Bucket):
    tag(b.given("k"), ("a", "1"), ("a", "2")).fails(400, "InvalidTag")


@case
def MalformedXML_for_what_is_no_XML(b: Bucket):
    b.given("k").put_xml("k", "tagging", "<Tagging><TagSet>").fails(400, "MalformedXML")


@case
def MalformedXML_for_another_document(b: Bucket):
    b.given("k").put_xml("k", "tagging", "<Delete/>").fails(400, "MalformedXML")


@case
def More_than_ten_tags_in_a_header_are_refused_and_store_nothing(b: Bucket):
    b.put("k", b"x", x_amz_tagging="&".join(f"k{n}=v" for n in range(11))).is_(400)
    b.get("k").fails(404, "NoSuchKey")


@case
def A_tag_key_twice_in_a_header_is_refused_and_stores_nothing(b: Bucket):
    b.put("k", b"x", x_amz_tagging="a=1&a=2").is_(400)
    b.get("k").fails(404, "NoSuchKey")
