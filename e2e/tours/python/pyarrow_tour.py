"""The tour of pyarrow's own S3 client: files, and Parquet data sets. Arguments: ENDPOINT ACCESS_KEY SECRET_KEY BUCKET. One line for each step that held."""

import random
import sys
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

endpoint, access_key, secret_key, bucket = sys.argv[1:]
s3 = fs.S3FileSystem(access_key=access_key, secret_key=secret_key, region="us-east-1", scheme=urlsplit(endpoint).scheme, endpoint_override=urlsplit(endpoint).netloc, allow_bucket_deletion=True)
DATA = random.Random(2).randbytes(24 * 1024 * 1024 + 777)


def files():
    """Streams up (always in parts) and back, whole and in ranges."""
    for name, data in (("empty", b""), ("a b+c", b"12345"), ("large", DATA)):
        with s3.open_output_stream(f"{bucket}/{name}") as out:
            out.write(data)
        with s3.open_input_stream(f"{bucket}/{name}") as file:
            assert file.read() == data, name
    with s3.open_input_file(f"{bucket}/large") as file:
        assert file.size() == len(DATA)
        assert file.read_at(10, 20_000_000) == DATA[20_000_000:20_000_010]


def infos():
    """What is there, what is a folder, what is not there."""
    s3.create_dir(f"{bucket}/folder")
    found = {info.base_name: info for info in s3.get_file_info(fs.FileSelector(bucket))}
    assert {name: info.type for name, info in found.items()} == {"empty": fs.FileType.File, "a b+c": fs.FileType.File, "large": fs.FileType.File, "folder": fs.FileType.Directory}
    assert found["large"].size == len(DATA)
    assert s3.get_file_info(f"{bucket}/missing").type == fs.FileType.NotFound
    try:
        s3.open_input_file(f"{bucket}/missing")
    except FileNotFoundError:
        return
    raise AssertionError("a missing file was opened")


def moves():
    """Copied inside the store, moved, deleted."""
    s3.copy_file(f"{bucket}/a b+c", f"{bucket}/copied")
    s3.move(f"{bucket}/copied", f"{bucket}/moved")
    with s3.open_input_stream(f"{bucket}/moved") as file:
        assert file.read() == b"12345"
    s3.delete_file(f"{bucket}/moved")


def parquet():
    """A partitioned data set, written and asked."""
    rows = 200_000
    table = pa.table({"n": range(rows), "country": [("FI", "DE", "ä ö")[n % 3] for n in range(rows)], "value": [random.Random(n).random() for n in range(rows)]})
    pq.write_table(table, f"{bucket}/table.parquet", filesystem=s3)
    assert pq.read_table(f"{bucket}/table.parquet", filesystem=s3) == table
    ds.write_dataset(table, f"{bucket}/set", filesystem=s3, format="parquet", partitioning=ds.partitioning(pa.schema([("country", pa.string())]), flavor="hive"))
    data = ds.dataset(f"{bucket}/set", filesystem=s3, partitioning="hive")
    assert data.count_rows() == rows
    few = data.to_table(filter=(ds.field("country") == "ä ö") & (ds.field("n") < 100), columns=["n"])
    assert sorted(few["n"].to_pylist()) == list(range(2, 100, 3))


def deletes():
    """Everything, by batches."""
    s3.delete_dir_contents(bucket)
    assert s3.get_file_info(fs.FileSelector(bucket, recursive=True)) == []
    s3.delete_dir(bucket)


for step in (files, infos, moves, parquet, deletes):
    step()
    print("ok", step.__name__)
