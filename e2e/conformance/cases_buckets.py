"""Buckets: create, head, list, locate, tag and delete.

Source: Amazon S3 API Reference, CreateBucket, HeadBucket, ListBuckets, GetBucketLocation, DeleteBucket, PutBucketTagging, GetBucketTagging,
DeleteBucketTagging; User Guide, "General purpose bucket naming rules".
"""

from __future__ import annotations

import uuid

from conformance.case import case, each, equal, one_of
from conformance.s3 import Bucket, Upload

TAGS = "<Tagging><TagSet>{}</TagSet></Tagging>"


def tag(key: str, value: str) -> str:
    return f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"


def unused(prefix: str = "conf") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


@case
def CreateBucket_answers_200_with_the_Location_of_the_bucket(b: Bucket):
    new = b.named(unused())
    new.call("PUT").is_(200).has("location", f"/{new.name}")


@case
def CreateBucket_takes_an_empty_configuration_document(b: Bucket):
    document = b'<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></CreateBucketConfiguration>'
    new = b.named(unused())
    new.call("PUT", body=document).is_(200)
    equal(new.get(query="list-type=2").is_(200).text("Name"), new.name)


@case
def CreateBucket_of_ones_own_bucket_is_200_in_us_east_1_and_BucketAlreadyOwnedByYou_elsewhere(b: Bucket):
    b.given("k")
    reply = b.call("PUT").is_(200, 409)
    one_of(reply.code, None, "BucketAlreadyOwnedByYou")
    equal(b.get("k").is_(200).body, b"x")


@case
def CreateBucket_with_a_document_that_is_no_XML_is_MalformedXML(b: Bucket):
    b.named(unused()).call("PUT", body=b"<CreateBucketConfiguration><Loc").fails(400, "MalformedXML")


@case
def CreateBucket_with_a_document_of_another_kind_is_MalformedXML(b: Bucket):
    b.named(unused()).call("PUT", body=b"<Tagging></Tagging>").fails(400, "MalformedXML")


@case
def CreateBucket_in_a_place_that_does_not_exist_is_InvalidLocationConstraint(b: Bucket):
    new = b.named(unused())
    document = b"<CreateBucketConfiguration><LocationConstraint>nowhere-at-all-9</LocationConstraint></CreateBucketConfiguration>"
    new.call("PUT", body=document).fails(400, "InvalidLocationConstraint")
    new.head().is_(404)


@each({
    "shorter than 3 characters": "ab",
    "longer than 63 characters": "a" * 64,
    "with a capital letter": "Conf-Upper",
    "with an underscore": "conf_under",
    "beginning with a hyphen": "-conf",
    "ending with a hyphen": "conf-",
    "beginning with a period": ".conf",
    "ending with a period": "conf.",
    "with two adjacent periods": "conf..two",
    "formatted as an IP address": "192.168.5.4",
    "with the prefix xn--": "xn--conf",
    "with the prefix sthree-": "sthree-conf",
    "with the suffix -s3alias": "conf-s3alias",
    "with the suffix --ol-s3": "conf--ol-s3",
})
def CreateBucket_with_a_name_against_the_rules_is_InvalidBucketName(b: Bucket, name: str):
    b.named(name).call("PUT").fails(400, "InvalidBucketName")


@each({"of 3 characters": 3, "of 63 characters": 63})
def CreateBucket_takes_a_name(b: Bucket, length: int):
    name = uuid.uuid4().hex + uuid.uuid4().hex
    new = b.named(name[:length])
    new.call("PUT").is_(200)
    equal(new.get(query="list-type=2").is_(200).text("Name"), new.name)


@case
def CreateBucket_takes_periods_and_digits_in_the_name(b: Bucket):
    new = b.named(f"1.{uuid.uuid4().hex[:8]}.conf")
    new.call("PUT").is_(200)
    new.given("k", body=b"dots")
    equal(new.get("k").body, b"dots")


@case
def HeadBucket_of_an_existing_bucket_is_200(b: Bucket):
    b.head().is_(200)


@case
def HeadBucket_names_the_region_of_the_bucket(b: Bucket):
    assert b.head().is_(200).get("x-amz-bucket-region")


@case
def HeadBucket_of_a_missing_bucket_is_404(b: Bucket):
    b.named(unused()).head().is_(404)


@case
def A_slash_after_the_bucket_changes_nothing(b: Bucket):
    b.exchange(b.signed(_slashed(b, "HEAD"))).is_(200)
    b.exchange(b.signed(_slashed(b, "GET"))).is_(200).root("ListBucketResult")


def _slashed(b: Bucket, method: str):
    request = b.request(method)
    request.target = f"/{b.name}/"
    return request


@case
def ListBuckets_lists_the_bucket_with_its_CreationDate(b: Bucket):
    entry = _listed(b, "")
    assert entry is not None, "the bucket is not listed"
    date = entry.findtext("CreationDate") or ""
    assert date.endswith("Z") and "T" in date, date


def _listed(b: Bucket, query: str):
    root = _service(b, query).is_(200).root("ListAllMyBucketsResult")
    return next((e for e in root.findall("Buckets/Bucket") if e.findtext("Name") == b.name), None)


def _service(b: Bucket, query: str = ""):
    request = b.request("GET")
    request.target = "/" + (f"?{query}" if query else "")
    return b.exchange(b.signed(request))


@case
def ListBuckets_names_the_owner(b: Bucket):
    assert _service(b).is_(200).text("Owner/ID")


@case
def ListBuckets_with_prefix_lists_only_the_names_that_begin_with_it(b: Bucket):
    other = Bucket.fresh(b.target, "other")
    reply = _service(b, f"prefix={b.name[:-2]}").is_(200)
    names = reply.texts("Buckets/Bucket/Name")
    assert b.name in names and other.name not in names, names
    equal(reply.text("Prefix"), b.name[:-2], "Prefix")


@case
def ListBuckets_with_a_prefix_of_no_bucket_is_an_empty_list(b: Bucket):
    equal(_service(b, f"prefix={unused('none')}").is_(200).texts("Buckets/Bucket/Name"), [])


@case
def ListBuckets_pages_by_max_buckets_and_continuation_token(b: Bucket):
    prefix = unused("page")
    names = [f"{prefix}-{n}" for n in range(3)]
    for name in names:
        b.named(name).call("PUT").is_(200)
    first = _service(b, f"prefix={prefix}&max-buckets=2").is_(200)
    token = first.text("ContinuationToken")
    assert token, "no ContinuationToken, though a bucket is left"
    second = _service(b, f"continuation-token={token}&max-buckets=2&prefix={prefix}").is_(200)
    equal(len(first.texts("Buckets/Bucket/Name")), 2, "buckets of the first page")
    equal(sorted(first.texts("Buckets/Bucket/Name") + second.texts("Buckets/Bucket/Name")), names)
    equal(second.text("ContinuationToken") or None, None, "ContinuationToken of the last page")


@case
def ListBuckets_with_a_parameter_names_the_region_of_each_bucket(b: Bucket):
    entry = _listed(b, f"prefix={b.name}")
    assert entry is not None and entry.findtext("BucketRegion"), "no BucketRegion"


@case
def ListBuckets_by_the_bucket_s_own_region_lists_it(b: Bucket):
    region = b.head().get("x-amz-bucket-region") or b.target.region
    assert _listed(b, f"bucket-region={region}&prefix={b.name}") is not None


@case
def GetBucketLocation_answers_a_LocationConstraint(b: Bucket):
    b.get(query="location").is_(200).root("LocationConstraint")


@case
def DeleteBucket_of_an_empty_bucket_is_204(b: Bucket):
    b.delete().is_(204)
    b.head().is_(404)
    assert _listed(b, "") is None, "still listed"


@case
def DeleteBucket_of_a_missing_bucket_is_NoSuchBucket(b: Bucket):
    b.named(unused()).delete().fails(404, "NoSuchBucket")


@case
def DeleteBucket_of_a_bucket_with_an_object_is_BucketNotEmpty(b: Bucket):
    b.given("k")
    b.delete().fails(409, "BucketNotEmpty")
    b.get("k").is_(200)


@case
def DeleteBucket_works_once_its_objects_are_gone(b: Bucket):
    b.given("k")
    b.delete("k").is_(204)
    b.delete().is_(204)


@case
def DeleteBucket_of_a_bucket_with_an_old_version_is_BucketNotEmpty(b: Bucket):
    b.versioned().given("k")
    b.delete("k").is_(204)
    b.delete().fails(409, "BucketNotEmpty")


@case
def DeleteBucket_works_once_versions_and_delete_markers_are_gone(b: Bucket):
    version = b.versioned().put("k", b"1").get("x-amz-version-id")
    marker = b.delete("k").get("x-amz-version-id")
    for one in (version, marker):
        b.delete("k", f"versionId={one}").is_(204)
    b.delete().is_(204)


@case
def A_deleted_bucket_can_be_made_again_and_is_empty(b: Bucket):
    b.given("k")
    b.delete("k").is_(204)
    b.delete().is_(204)
    b.call("PUT").is_(200)
    equal(b.get(query="list-type=2").is_(200).texts("Contents/Key"), [])


@case
def PutBucketTagging_keeps_the_tags(b: Bucket):
    b.put_xml("", "tagging", TAGS.format(tag("team", "blue") + tag("cost", "7"))).is_(200, 204)
    reply = b.get(query="tagging").is_(200)
    equal(sorted(zip(reply.texts("TagSet/Tag/Key"), reply.texts("TagSet/Tag/Value"))), [("cost", "7"), ("team", "blue")])


@case
def PutBucketTagging_replaces_all_tags(b: Bucket):
    b.put_xml("", "tagging", TAGS.format(tag("old", "1"))).is_(200, 204)
    b.put_xml("", "tagging", TAGS.format(tag("new", "2"))).is_(200, 204)
    equal(b.get(query="tagging").is_(200).texts("TagSet/Tag/Key"), ["new"])


@case
def PutBucketTagging_with_a_key_twice_is_InvalidTag(b: Bucket):
    b.put_xml("", "tagging", TAGS.format(tag("twice", "1") + tag("twice", "2"))).fails(400, "InvalidTag")


@case
def PutBucketTagging_with_a_reserved_aws_key_is_InvalidTag(b: Bucket):
    b.put_xml("", "tagging", TAGS.format(tag("aws:mine", "1"))).fails(400, "InvalidTag")


@case
def PutBucketTagging_with_no_XML_is_MalformedXML(b: Bucket):
    b.put_xml("", "tagging", "<Tagging><TagSet>").fails(400, "MalformedXML")


@case
def GetBucketTagging_of_a_bucket_without_tags_is_NoSuchTagSet(b: Bucket):
    b.get(query="tagging").fails(404, "NoSuchTagSet")


@case
def DeleteBucketTagging_removes_all_tags(b: Bucket):
    b.put_xml("", "tagging", TAGS.format(tag("k", "v"))).is_(200, 204)
    b.delete(query="tagging").is_(204)
    b.get(query="tagging").fails(404, "NoSuchTagSet")


@case
def An_upload_in_progress_is_no_object_of_the_bucket(b: Bucket):
    Upload.begin(b, "k").part(1, b"data").is_(200)
    equal(b.get(query="list-type=2").is_(200).texts("Contents/Key"), [])
