"""Loads many rows into PostgreSQL and asks it how it would run the worker's and the queue's statements: by an index, each of them.

S3GATEWAY_PLANS_ROWS says how many rows (200,000); S3GATEWAY_PLANS_OUT names a file for the plans as text.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from processes import clean_environment
from servers import Postgres

ROOT = Path(__file__).resolve().parent.parent
ROWS = int(os.environ.get("S3GATEWAY_PLANS_ROWS", "200000"))
BUCKETS = 200
DAY = 86_400_000
NOW = int(time.time() * 1000)
ONE = "'bucket-7', 'photos/0000001207'::bytea"
PAGE = "'bucket-7', 'photos/0000001000'::bytea, 'photos/0000009000'::bytea"
KEYS = '\'[{"bucket": "bucket-7", "object_key": "70686f746f732f30303030303031323037"}, {"bucket": "bucket-8", "object_key": "70686f746f732f30303030303031323038"}]\''
COPIES = '\'[{"bucket": "bucket-7", "object_key": "70686f746f732f30303030303031323037", "backend": "fi-hel", "etag": "e", "home_etag": "e", "size": 1, "verified_how": "etag", "verified_at": 1}]\''
# Statement, its parameters, and the index that must be in its plan.
STATEMENTS = [
    ("queue_lane_has_any.sql", "0", "dirty_keys_due"),
    ("queue_claim.postgres.sql", f"{NOW}, 60000, 32, 'worker', 'claim', 0", "dirty_keys_due"),
    ("queue_mark.postgres.sql", f"{ONE}, 'request', {NOW}, {NOW}", "dirty_keys_pkey"),
    ("queue_lock.sql", ONE, "dirty_keys_pkey"),
    ("queue_clear.sql", f"{ONE}, 'claim', 1", "dirty_keys_pkey"),
    ("queue_requeue.sql", f"{ONE}, 'claim', 1, {NOW}", "dirty_keys_pkey"),
    ("queue_retry.sql", f"{ONE}, 'claim', {NOW}, 1, 1, {NOW}", "dirty_keys_pkey"),
    ("queue_set_aside.sql", f"{ONE}, 'claim', {NOW}", "dirty_keys_pkey"),
    ("queue_extend.sql", f"{ONE}, 'claim', {NOW}", "dirty_keys_pkey"),
    ("queue_is_dirty.sql", ONE, "dirty_keys_pkey"),
    ("queue_bucket_is_dirty.sql", "'bucket-7'", "dirty_keys_pkey"),
    ("queue_dead_letters.sql", "1000", "dirty_keys_dead"),
    ("queue_dead_page.sql", f"{NOW} - 1000, {ONE}, 1000", "dirty_keys_dead"),
    ("queue_lease_rival.sql", f"{ONE}, 'lease', {NOW}, 0", "dirty_leases_pkey"),
    ("copies.sql", ONE, "object_copies_pkey"),
    ("copies_of_all.postgres.sql", KEYS, "object_copies_pkey"),
    ("tags.sql", ONE, "object_tags_pkey"),
    ("tags_of_all.postgres.sql", KEYS, "object_tags_pkey"),
    ("copies_put.postgres.sql", COPIES, "object_copies_pkey"),
    ("copies_delete_others.postgres.sql", f"{KEYS}, {COPIES}", "object_copies_pkey"),
    ("copies_between.sql", "'bucket-7', 'photos/0000001000'::bytea, 'photos/0000009000'::bytea, 1000", "object_copies_pkey"),
    ("copies_after.sql", "'bucket-7', 'photos/0000001000'::bytea, 'photos/0000009000'::bytea, 0, 1000", "object_copies_pkey"),
    ("copies_nth.sql", "'bucket-7', 'fi-hel', 'photos/0000001000'::bytea, 100", "object_copies_pkey"),
    ("copies_count.sql", "'bucket-7', 'fi-hel', 'photos/0000001000'::bytea, 1000", "object_copies_pkey"),
    ("copies_lacking.sql", "'bucket-7', 'fi-hel', 'de-fra', 'photos/0000001000'::bytea, 'photos/0000003000'::bytea", "object_copies_pkey"),
    ("promotion_keys_note.postgres.sql", COPIES, "promotions_running"),
    ("promotion_key_note.sql", ONE, "promotions_running"),
    ("promotion_keys_nth.sql", "'bucket-7', 'photos/0000001000'::bytea, 2000", "promotion_keys_pkey"),
    ("promotion_keys_settle.sql", "'bucket-7', 'fi-hel', 'de-fra', 'photos/0000001000'::bytea, 'photos/0000003000'::bytea", "promotion_keys_pkey"),
    ("promotion_keys_unequal.sql", "'bucket-7', 'fi-hel', 'de-fra'", "promotion_keys_pkey"),
    ("promotion_keys_forget.sql", "'bucket-7', 2000", "promotion_keys_pkey"),
    ("promotion_keys_sweep.sql", PAGE, "promotion_keys_pkey"),
    ("queue_dirty_keys.sql", "'bucket-7', 'photos/0000001000'::bytea, 1000", "dirty_keys_pkey"),
    ("stranded_of_key.sql", ONE, "stranded_keys_bucket_object_key_epoch_key"),
    ("stranded_of_bucket.sql", "'bucket-7', '', 100", "stranded_keys_by_bucket"),
    ("stranded_is_open.sql", "'bucket-7'", "stranded_keys_open"),
    ("copies_verified.sql", "'bucket-7', 'fi-hel', 9000000000000, 20", "object_copies_pkey"),
    ("stranded_at.sql", "'bucket-7', 'fi-hel'", "stranded_keys_open"),
    ("stranded_any.sql", "'bucket-7'", "stranded_keys_"),
    ("stranded_overwrite.sql", ONE, "stranded_keys_bucket_object_key_epoch_key"),
    ("backend_keeps_stranded.sql", "'se-sto'", "stranded_keys_kept"),
    ("unlisted_note.sql", f"{ONE}, {NOW}", "unlisted_writes_pkey"),
    ("unlisted_page.sql", f"{ONE}, 1000", "unlisted_writes_pkey"),
    ("unlisted_renote.sql", f"{ONE}, 'bucket-7', 'photos/0000009000'::bytea, {NOW}", "unlisted_writes_pkey"),
    ("unlisted_prune.postgres.sql", f"{NOW - 1000}, 1000", "unlisted_writes_noted"),
    ("sweep_end.sql", "'bucket-7', 'photos/0000001000'::bytea, 1000", "object_copies_pkey"),
    ("tags_sweep.sql", PAGE, "object_tags_pkey"),
    ("unlisted_sweep.sql", PAGE, "unlisted_writes_pkey"),
    ("stranded_sweep.sql", PAGE, "stranded_keys_bucket_object_key_epoch_key"),
    ("copies_sweep.sql", PAGE, "object_copies_pkey"),
    ("copies_sweep_on.sql", f"{PAGE}, 'fi-hel'", "object_copies_pkey"),
    ("version_copies_sweep_on.sql", f"{PAGE}, 'fi-hel'", "version_copies_in_order"),
    ("uploads_sweep.sql", "'bucket-7', 1000", "uploads_pkey"),
    ("upload_parts_sweep.sql", "'bucket-7', 1000", "upload_parts_pkey"),
    ("mappings_retiring.sql", "100", "bucket_backends_pkey"),
    ("review_page_of_tenant.sql", "'tenant-7', 'name-1000', 500", "buckets_by_name"),
    ("review_tenant.sql", f"'tenant-7', 'name-1000', 'name-1500', {NOW}", "buckets_by_name"),
    ("review_page_on_backend.sql", "'de-fra', 'bucket-1000', 500", "bucket_backends_by_backend"),
    ("review_backend.sql", f"'de-fra', 'bucket-10000', 'bucket-10010', {NOW}", "buckets_pkey"),
    ("jobs.sql", "100", "_pkey"),
    ("jobs_of_bucket.sql", "'bucket-7', 100", "_bucket_finished_at_id_idx"),
]


def load() -> str:
    key = "convert_to('photos/' || lpad(n::text, 10, '0'), 'UTF8')"
    return f"""
set synchronous_commit = off;
-- Only the plans are of interest here, and no bucket's rows.
alter table object_copies drop constraint object_copies_bucket_fkey;
alter table object_tags drop constraint object_tags_bucket_fkey;
insert into object_tags (bucket, object_key, etag, tags) select 'bucket-' || n % {BUCKETS}, {key}, md5(n::text), '[]' from generate_series(1, {ROWS // 2}) n;
alter table stranded_keys drop constraint stranded_keys_bucket_fkey;
insert into stranded_keys (id, bucket, object_key, home, epoch, state, stranded_at, kept_on, kept_in, etag, size)
    select lpad(n::text, 12, '0'), 'bucket-' || n % {BUCKETS}, {key}, 'fi-hel', 1, case when n % 3 = 0 then 'kept' else 'open' end, {NOW},
        case when n % 3 = 0 then case when n % 99 = 0 then 'se-sto' else 'fi-hel' end else '' end, '', '', 0
    from generate_series(1, {ROWS}) n;
alter table unlisted_writes drop constraint unlisted_writes_bucket_fkey;
insert into unlisted_writes (bucket, object_key, noted_at)
    select 'bucket-' || n % {BUCKETS}, {key}, {NOW} - n from generate_series(1, {ROWS}) n;
alter table promotions drop constraint promotions_bucket_fkey;
insert into promotions (id, bucket, source, target, epoch, forced, state, detail, fence, begun_at, fenced_at, ended_at, turn)
    select n::text, 'bucket-' || n % {ROWS // 4}, 'fi-hel', 'de-fra', 1, 0, case when n < {BUCKETS} then 'preparing' else 'done' end, '', 0, n, 0, 0, 0 from generate_series(1, {ROWS // 4}) n;
alter table promotion_keys drop constraint promotion_keys_bucket_fkey;
insert into promotion_keys (bucket, object_key, noted) select 'bucket-' || n % {BUCKETS}, {key}, 1 from generate_series(1, {ROWS // 4}) n;
insert into object_copies (bucket, object_key, backend, etag, home_etag, size, verified_how, verified_at)
    select 'bucket-' || n % {BUCKETS}, {key}, b, md5(n::text), md5(n::text), 4096, 'etag', {NOW}
    from generate_series(1, {ROWS // 2}) n, (values ('de-fra'), ('fi-hel')) as backends(b);
insert into dirty_keys (bucket, object_key, sequence, request_id, dirty_since, attempts, state, due_at, claimed_by, claim, reason, lane)
    select 'bucket-' || n % {BUCKETS}, {key}, n, 'request', {NOW} - n, 0,
        case when n % 1000 = 0 then 'dead' when n % 100 = 0 then 'claimed' when n % 10 = 0 then 'delayed' else 'ready' end, {NOW} - n, '', '', '', (n % 50 = 1)::int
    from generate_series(1, {ROWS}) n;
alter table buckets drop constraint buckets_tenant_fkey, drop constraint buckets_home_fkey;
insert into buckets (id, tenant, name, state, state_since, home, epoch, replica_count, location, policy, created_at)
    select 'bucket-' || n, 'tenant-' || n % 10, 'name-' || n, 'active', 1, 'fi-hel', 1, 2, '', '', 1 from generate_series(1, {ROWS // 4}) n;
alter table bucket_backends drop constraint bucket_backends_backend_fkey;
insert into bucket_backends (bucket, backend, physical, n, position, state)
    select 'bucket-' || n, b, 'name-' || n, 0, 0, 'active' from generate_series(1, {ROWS // 4}) n, (values ('de-fra'), ('fi-hel')) as backends(b);
select keep_jobs({NOW} - 7::bigint * {DAY}, {NOW} + 3::bigint * {DAY});
insert into jobs (id, bucket, object_key, outcome, detail, attempts, request_id, started_at, finished_at)
    select n::text, 'bucket-' || n % {BUCKETS}, {key}, 'converged', 'fi-hel home, de-fra copy', 1, 'request', at, at
    from (select n, {NOW} - (n::bigint * 7 * {DAY} / {ROWS}) as at from generate_series(1, {ROWS}) n) given;
vacuum analyze object_copies; vacuum analyze object_tags; vacuum analyze stranded_keys; vacuum analyze unlisted_writes; vacuum analyze promotion_keys; vacuum analyze promotions; vacuum analyze dirty_keys; vacuum analyze buckets; vacuum analyze bucket_backends; analyze jobs;
"""


@pytest.fixture(scope="module")
def ask():
    """Runs SQL and gives its text, on a database with the migrations and the rows."""
    if not shutil.which("psql"):
        pytest.skip("psql is not installed")
    postgres = Postgres().start()

    def run(text: str) -> str:
        argv = ["psql", postgres.url, "-v", "ON_ERROR_STOP=1", "-qAt"]
        done = subprocess.run(argv, input=text, capture_output=True, text=True, env=clean_environment())
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    try:
        for migration in sorted((ROOT / "migrations/postgres").glob("*.sql")):
            run(migration.read_text())
        run(load())
        yield run
    finally:
        postgres.close()


def test_every_hot_statement_uses_its_index(ask):
    plans, wrong = [], []
    for name, parameters, index in STATEMENTS:
        text = (ROOT / "store/src/sql" / name).read_text()
        plan = ask(f"prepare hot as {text};\nexplain (costs off) execute hot({parameters});")
        plans.append(f"{name}\n{plan}")
        if index not in plan or "Seq Scan on" in plan:
            wrong.append(plans[-1])
    if out := os.environ.get("S3GATEWAY_PLANS_OUT"):
        Path(out).write_text("\n".join(plans))
    assert not wrong, "\n".join(wrong)


def test_a_day_of_the_history_goes_as_one(ask):
    days = lambda: [line for line in ask("select relname from pg_class where relname ~ '^jobs_[0-9]{8}$' and relkind = 'r' order by 1").split()]  # noqa: E731
    before = days()
    assert len(before) >= 11
    assert int(ask(f"select keep_jobs({NOW} - 2::bigint * {DAY}, {NOW} + 3::bigint * {DAY})").strip()) == 5
    assert days() == before[5:]
    assert int(ask(f"select keep_jobs({NOW} - 2::bigint * {DAY}, {NOW} + 3::bigint * {DAY})").strip()) == 0
