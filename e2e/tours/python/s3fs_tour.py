"""The tour of s3fs, as pandas, dask and the like use it. Arguments: ENDPOINT ACCESS_KEY SECRET_KEY BUCKET. One line for each step that held.

It runs in a process of its own, for it needs another botocore than boto3's (see e2e/setup.sh)."""

import random
import sys
import time
import urllib.request

import s3fs

endpoint, access_key, secret_key, bucket = sys.argv[1:]
fs = s3fs.S3FileSystem(key=access_key, secret=secret_key, endpoint_url=endpoint, client_kwargs={"region_name": "us-east-1"}, config_kwargs={"s3": {"addressing_style": "path"}, "signature_version": "s3v4", "retries": {"total_max_attempts": 1}}, use_listings_cache=False)
NAMES = ["plain", "a b", "a+b%20c", "ä/ö☃", "deep/er/still"]
DATA = random.Random(1).randbytes(24 * 1024 * 1024 + 777)


def whole():
    """Files of every size; the large one goes up in parts."""
    for name in NAMES:
        fs.pipe(f"{bucket}/{name}", name.encode())
        assert fs.cat(f"{bucket}/{name}") == name.encode(), name
    fs.pipe(f"{bucket}/empty", b"")
    assert fs.info(f"{bucket}/empty")["size"] == 0 and fs.cat(f"{bucket}/empty") == b""
    with fs.open(f"{bucket}/large", "wb", block_size=5 * 1024 * 1024) as file:
        for at in range(0, len(DATA), 1_000_000):
            file.write(DATA[at : at + 1_000_000])
    assert fs.cat(f"{bucket}/large") == DATA
    fs.pipe(f"{bucket}/piped", DATA, chunksize=8 * 1024 * 1024)
    assert fs.cat(f"{bucket}/piped") == DATA


def ranges():
    """Reads that jump about, which become ranges."""
    with fs.open(f"{bucket}/large", "rb", block_size=1024 * 1024) as file:
        for at in (20_000_000, 5, len(DATA) - 10):
            file.seek(at)
            assert file.read(10) == DATA[at : at + 10], at
    assert fs.cat_ranges([f"{bucket}/large"] * 2, [0, 9_000_000], [10, 9_000_100]) == [DATA[:10], DATA[9_000_000:9_000_100]]


def listings():
    """glob, find and walk agree."""
    assert sorted(fs.find(bucket)) == sorted(f"{bucket}/{name}" for name in [*NAMES, "empty", "large", "piped"])
    assert fs.glob(f"{bucket}/a*") == [f"{bucket}/a b", f"{bucket}/a+b%20c"]
    assert fs.glob(f"{bucket}/**/still") == [f"{bucket}/deep/er/still"]
    assert sorted(fs.ls(bucket, detail=False)) == sorted({f"{bucket}/{name.split('/')[0]}" for name in [*NAMES, "empty", "large", "piped"]})
    assert fs.isdir(f"{bucket}/deep/er") and not fs.exists(f"{bucket}/missing")
    assert fs.du(bucket) == 2 * len(DATA) + sum(len(name.encode()) for name in NAMES)


def copies():
    """Copies, moves, tags and metadata."""
    fs.copy(f"{bucket}/large", f"{bucket}/copied")
    assert fs.info(f"{bucket}/copied")["size"] == len(DATA)
    fs.mv(f"{bucket}/plain", f"{bucket}/moved")
    assert fs.cat(f"{bucket}/moved") == b"plain" and not fs.exists(f"{bucket}/plain")
    fs.put_tags(f"{bucket}/moved", {"team": "blue"})
    assert fs.get_tags(f"{bucket}/moved") == {"team": "blue"}
    fs.setxattr(f"{bucket}/moved", kind="x")
    assert fs.metadata(f"{bucket}/moved") == {"kind": "x"}


def urls():
    """A presigned URL."""
    assert urllib.request.urlopen(fs.url(f"{bucket}/moved")).read() == b"plain"


def errors():
    """Faults are those of a file system."""
    for path in (f"{bucket}/missing", f"{bucket}-missing/k"):
        try:
            fs.cat(path)
        except FileNotFoundError:
            continue
        raise AssertionError(f"{path} was read")


def deletes():
    """All in one request."""
    fs.rm(bucket, recursive=True)
    end = time.monotonic() + 10
    while fs.exists(bucket):  # until every gateway has seen that the bucket is gone
        assert time.monotonic() < end, "the bucket is still there"


for step in (whole, ranges, listings, copies, urls, errors, deletes):
    step()
    print("ok", step.__name__)
