"""The tour of minio-py, a client that is not from AWS. Arguments: ENDPOINT ACCESS_KEY SECRET_KEY BUCKET. One line for each step that held."""

import io
import random
import sys
import urllib.request
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

from minio import Minio
from minio.commonconfig import ENABLED, REPLACE, ComposeSource, CopySource, Tags
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.versioningconfig import VersioningConfig

endpoint, access_key, secret_key, bucket = sys.argv[1:]
client = Minio(urlsplit(endpoint).netloc, access_key, secret_key, secure=urlsplit(endpoint).scheme == "https", region="us-east-1")
PART = 5 * 1024 * 1024
DATA = random.Random(3).randbytes(24 * 1024 * 1024 + 777)


def refused(code, call, *args, **kwargs):
    """The call has to fail as an S3Error of this code."""
    try:
        call(*args, **kwargs)
    except S3Error as error:
        assert error.code == code, error
        return
    raise AssertionError(f"{code} was expected, it was accepted")


def put(key, data, to=bucket, **more):
    return client.put_object(to, key, io.BytesIO(data), len(data), **more)


def read(key, to=bucket, **more):
    answer = client.get_object(to, key, **more)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def buckets():
    client.make_bucket(bucket)
    assert client.bucket_exists(bucket) and not client.bucket_exists(f"{bucket}-missing")
    assert bucket in [b.name for b in client.list_buckets()]
    refused("BucketAlreadyOwnedByYou", client.make_bucket, bucket)


def objects():
    for size in (0, 1, 65_537, 1_000_000):
        put(f"sizes/{size}", DATA[:size], content_type="text/x-minio", metadata={"kind": "a b"})
        stat = client.stat_object(bucket, f"sizes/{size}")
        assert (stat.size, stat.content_type, stat.metadata["x-amz-meta-kind"]) == (size, "text/x-minio", "a b")
        assert read(f"sizes/{size}") == DATA[:size]
    assert read("sizes/65537", offset=100, length=50) == DATA[100:150]


def multipart():
    """In parts: of a known length, and of one that only shows."""
    put("large", DATA, part_size=PART)
    client.put_object(bucket, "unknown", io.BytesIO(DATA), -1, part_size=PART)
    assert read("large") == DATA and read("unknown") == DATA
    client.compose_object(bucket, "composed", [ComposeSource(bucket, "large"), ComposeSource(bucket, "sizes/1")])
    assert read("composed") == DATA + DATA[:1]


def listing():
    keys = [f"odd/{name}" for name in ("a b", "a+b", "a%2Fb", "ä ö/☃", "<&>\"'", "~-._!*()$@=;:,?#[]", "a//b", "😀")]
    for key in keys:
        put(key, key.encode())
        assert read(key) == key.encode()
    assert [o.object_name for o in client.list_objects(bucket, "odd/", recursive=True)] == sorted(keys, key=str.encode)
    assert [o.object_name for o in client.list_objects(bucket, "odd/", recursive=True, start_after="odd/a+b")] == sorted(keys, key=str.encode)[4:]
    assert {o.object_name for o in client.list_objects(bucket, "odd/") if o.is_dir} == {"odd/a/", "odd/ä ö/"}


def copy():
    client.copy_object(bucket, "copy", CopySource(bucket, "odd/ä ö/☃"))
    assert read("copy") == "odd/ä ö/☃".encode()
    client.copy_object(bucket, "copy", CopySource(bucket, "copy"), metadata={"kind": "new"}, metadata_directive=REPLACE)
    assert client.stat_object(bucket, "copy").metadata["x-amz-meta-kind"] == "new"


def tagging():
    tags = Tags.new_object_tags()
    tags["a b"] = "+/@"
    put("tagged", b"x", tags=tags)
    assert dict(client.get_object_tags(bucket, "tagged")) == {"a b": "+/@"}
    client.delete_object_tags(bucket, "tagged")
    assert not client.get_object_tags(bucket, "tagged")


def versions():
    kept = f"{bucket}-versions"
    client.make_bucket(kept)
    client.set_bucket_versioning(kept, VersioningConfig(ENABLED))
    assert client.get_bucket_versioning(kept).status == "Enabled"
    one, two = (put("k", body, to=kept).version_id for body in (b"one", b"two"))
    assert read("k", to=kept, version_id=one) == b"one"
    client.remove_object(kept, "k")
    refused("NoSuchKey", read, "k", to=kept)
    listed = list(client.list_objects(kept, include_version=True))
    assert [o.version_id for o in listed if not o.is_delete_marker] == [two, one] and len([o for o in listed if o.is_delete_marker and o.is_latest == "true"]) == 1
    assert not list(client.remove_objects(kept, [DeleteObject("k", o.version_id) for o in listed]))
    client.remove_bucket(kept)


def presigned():
    put_url = client.presigned_put_object(bucket, "signed é", timedelta(minutes=1))
    assert urllib.request.urlopen(urllib.request.Request(put_url, b"by urllib", method="PUT")).status == 200
    got = urllib.request.urlopen(client.presigned_get_object(bucket, "signed é", timedelta(minutes=1), response_headers={"response-content-type": "text/x-other"}))
    assert (got.read(), got.headers["Content-Type"]) == (b"by urllib", "text/x-other")


def errors():
    refused("NoSuchKey", read, "missing")
    refused("NoSuchKey", client.stat_object, bucket, "missing")
    refused("NoSuchBucket", list, client.list_objects(f"{bucket}-missing"))
    refused("BucketNotEmpty", client.remove_bucket, bucket)
    refused("SignatureDoesNotMatch", Minio(urlsplit(endpoint).netloc, access_key, "wrong", secure=False, region="us-east-1").list_buckets)
    stat = client.stat_object(bucket, "copy")
    assert abs(stat.last_modified - datetime.now(timezone.utc)) < timedelta(minutes=5)


def deletes():
    names = [DeleteObject(o.object_name) for o in client.list_objects(bucket, recursive=True)]
    assert not list(client.remove_objects(bucket, names))
    client.remove_bucket(bucket)


for step in (buckets, objects, multipart, listing, copy, tagging, versions, presigned, errors, deletes):
    step()
    print("ok", step.__name__)
