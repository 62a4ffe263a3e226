"""The tour of DuckDB's httpfs: Parquet written by and read from SQL. Arguments: ENDPOINT ACCESS_KEY SECRET_KEY BUCKET. One line for each step that held."""

import sys
from importlib.resources import files
from urllib.parse import urlsplit

import duckdb

endpoint, access_key, secret_key, bucket = sys.argv[1:]
database = duckdb.connect()
database.load_extension(str(next((files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}").iterdir())))
url = urlsplit(endpoint)
database.execute(f"create secret (type s3, key_id '{access_key}', secret '{secret_key}', region 'us-east-1', endpoint '{url.netloc}', url_style 'path', use_ssl {'true' if url.scheme == 'https' else 'false'})")


def ask(sql):
    return database.execute(sql.replace("BUCKET", f"s3://{bucket}")).fetchall()


def writes():
    """One file, and one with parts."""
    ask("copy (select range as n, range % 7 as day, hash(range)::varchar as text from range(100000)) to 'BUCKET/one.parquet'")
    ask("copy (select range as n, md5(range::varchar) as text from range(700000)) to 'BUCKET/large.csv'")
    ask("copy (select range as n, range % 7 as day from range(1000)) to 'BUCKET/set' (format parquet, partition_by (day))")


def reads():
    """Whole, by columns (which are ranges), and by names that are found in listings."""
    assert ask("select count(*), sum(n) from 'BUCKET/one.parquet'") == [(100_000, 4_999_950_000)]
    assert ask("select count(distinct text) from 'BUCKET/large.csv'") == [(700_000,)]
    assert ask("select day, count(*) from read_parquet('BUCKET/set/*/*.parquet', hive_partitioning = true) where day = 3 group by day") == [(3, 143)]
    assert len(ask("select file from glob('BUCKET/set/**')")) == 7


def errors():
    """A file that is not there."""
    try:
        ask("select * from 'BUCKET/missing.parquet'")
    except duckdb.Error as error:
        assert "404" in str(error) or "No files found" in str(error), error
        return
    raise AssertionError("a missing file was read")


for step in (writes, reads, errors):
    step()
    print("ok", step.__name__)
