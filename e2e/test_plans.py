"""Loads many rows into PostgreSQL and asks it how it would run the statements of worker, proxy and queue: by an index, or known not to be.

S3GATEWAY_PLANS_ROWS says how many rows (200,000); S3GATEWAY_PLANS_OUT names a file for the plans as text.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from processes import clean_environment
from servers import Postgres

# The rows are loaded within the first test's time: ten million take half an hour.
pytestmark = pytest.mark.timeout(5400)
ROOT = Path(__file__).resolve().parent.parent
ROWS = int(os.environ.get("S3GATEWAY_PLANS_ROWS", "200000"))
BUCKETS = 200
DAY = 86_400_000
NOW = int(time.time() * 1000)
ONE = "'bucket-7', 'photos/0000001207'::bytea"
OBJECT = f"{ONE}, 'etag', 4096"
VERSION = f"{ONE}, 'fi-hel', 'home-1207'"
RANGE = "'photos/0000001000'::bytea, 'photos/0000009000'::bytea"
PAGE = f"'bucket-7', {RANGE}"
UPLOAD = "'bucket-7', 'upload-1207'"
KEYS = '\'[{"bucket": "bucket-7", "object_key": "70686f746f732f30303030303031323037"}, {"bucket": "bucket-8", "object_key": "70686f746f732f30303030303031323038"}]\''
COPIES = '\'[{"bucket": "bucket-7", "object_key": "70686f746f732f30303030303031323037", "backend": "fi-hel", "etag": "e", "home_etag": "e", "size": 1, "verified_how": "etag", "verified_at": 1}]\''
# Statement, its parameters, and the index that must be in its plan.
STATEMENTS = [
    ("queue_lane_has_any.sql", "0", "dirty_keys_due"),
    ("queue_claim.postgres.sql", f"{NOW}, 60000, 32, 'worker', 'claim', 0", "dirty_keys_due"),
    ("queue_mark.postgres.sql", f"{ONE}, 'request', {NOW}, {NOW}, 7", "dirty_keys_pkey"),
    ("queue_lock.sql", ONE, "dirty_keys_pkey"),
    ("queue_clear.sql", f"{ONE}, 'claim', 1", "dirty_keys_pkey"),
    ("queue_requeue.sql", f"{ONE}, 'claim', 1, {NOW}", "dirty_keys_pkey"),
    ("queue_retry.sql", f"{ONE}, 'claim', {NOW}, 1, 1, {NOW}", "dirty_keys_pkey"),
    ("queue_set_aside.sql", f"{ONE}, 'claim', {NOW}", "dirty_keys_pkey"),
    ("queue_extend.sql", f"{ONE}, 'claim', {NOW}", "dirty_keys_pkey"),
    ("queue_bury.sql", f"{ONE}, 'claim', 1, 'reason', {NOW}", "dirty_keys_pkey"),
    ("queue_wait.sql", f"{ONE}, {NOW}", "dirty_keys_pkey"),
    ("queue_undisturbed.sql", f"{ONE}, 1207, 'lease', {NOW}", "dirty_leases_pkey"),
    ("queue_redrive_one.sql", f"{ONE}, {NOW}", "dirty_keys_"),
    ("queue_redrive_all.sql", f"{NOW}", "dirty_keys_dead"),
    ("queue_is_dirty.sql", ONE, "dirty_keys_pkey"),
    ("queue_bucket_is_dirty.sql", "'bucket-7'", "dirty_keys_pkey"),
    ("queue_count_dirty.sql", "'bucket-7'", "dirty_keys_pkey"),
    ("queue_dead_letters.sql", "0, '', ''::bytea, 100", "dirty_keys_dead"),
    ("queue_dead_letters.sql", f"{NOW} - 1000, {ONE}, 1000", "dirty_keys_dead"),
    ("queue_lease_rival.sql", f"{ONE}, 'lease', {NOW}, 0", "dirty_leases_pkey"),
    ("queue_lease_put.sql", f"{ONE}, 'lease', {NOW}", "dirty_leases_pkey"),
    ("queue_lease_drop.sql", f"{ONE}, 'lease'", "dirty_leases_pkey"),
    ("queue_lease_expire.sql", f"{ONE}, {NOW}", "dirty_leases_pkey"),
    ("queue_lease_other.sql", f"{ONE}, 'lease'", "dirty_leases_pkey"),
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
    ("copies_left.sql", f"'bucket-7', 'fi-hel', {RANGE}", "object_copies_pkey"),
    ("copies_leave_others.postgres.sql", f"{KEYS}, {COPIES}", "object_copies_pkey"),
    ("copy_note_pending.sql", f"{ONE}, 'fi-hel'", "object_copies_pkey"),
    ("copy_suspect.sql", f"{ONE}, 'fi-hel', 'etag'", "object_copies_pkey"),
    ("copy_trust.sql", f"{ONE}, 'fi-hel'", "object_copies_pkey"),
    ("version_copies.sql", f"{ONE}, 'fi-hel', 100", "version_copies_in_order"),
    ("version_copies_of.sql", f"{ONE}, 'home-1207'", "version_copies_"),
    ("version_copies_current.sql", ONE, "version_copies_in_order"),
    ("version_copies_count.sql", ONE, "version_copies_"),
    ("version_copies_between.sql", f"'bucket-7', 'fi-hel', {RANGE}, 9000, 1000", "version_copies_in_order"),
    ("version_copies_after.sql", f"'bucket-7', {RANGE}, 0, 1000", "version_copies_in_order"),
    ("version_copies_nth.sql", "'bucket-7', 'fi-hel', 'photos/0000001000'::bytea, 1000", "version_copies_in_order"),
    ("version_copies_of_home.sql", f"'bucket-7', 'us-iad', 'fi-hel', {RANGE}", "version_copies_in_order"),
    ("version_copies_of_twin.sql", f"'bucket-7', 'us-iad', 'fi-hel', {RANGE}", "version_copies_in_order"),
    ("version_copies_lacking.sql", f"'bucket-7', 'fi-hel', 'de-fra', {RANGE}", "version_copies_"),
    ("version_copies_prune.sql", f"{NOW}, 1000", "version_copies_gone"),
    ("version_copies_of_home_forget.sql", f"'bucket-7', 'fi-hel', {RANGE}, 0", "version_copies_"),
    ("version_copies_null_forget.sql", f"'bucket-7', 'fi-hel', {RANGE}", "version_copies_"),
    ("version_called_null.sql", "'bucket-7', 'fi-hel'", "version_copies_called_null"),
    ("promotion_lock.sql", "'promotion-1207'", "promotions_pkey"),
    ("promotion_keys_lock.sql", PAGE, "promotion_keys_pkey"),
    ("promotion_versions_forget.sql", f"'bucket-7', 'fi-hel', 'de-fra', {RANGE}", "promotion_keys_pkey"),
    ("promotion_versions_note.sql", f"'bucket-7', 'us-iad', 'fi-hel', {RANGE}", "promotion_keys_pkey"),
    ("promotion_versions_note_twin.sql", f"'bucket-7', 'us-iad', 'fi-hel', {RANGE}", "promotion_keys_pkey"),
    ("version_owned.sql", f"{ONE}, 'fi-hel', 'version-1207'", "version_copies_"),
    ("version_named.sql", f"{ONE}, 'fi-hel', 'home-1207'", "version_copies_"),
    ("version_copy_put.sql", f"{VERSION}, 'version', 1, 0, 'etag', 'etag', 4096, {NOW}, 'etag', {NOW}", "version_copies_pkey"),
    ("version_copy_delete.sql", f"{VERSION}, 'version'", "version_copies_"),
    ("version_null.sql", f"{ONE}, 'fi-hel'", "version_copies_"),
    ("version_copy_null_doubt.sql", f"{ONE}, 'fi-hel'", "version_copies_"),
    ("version_copy_over.sql", f"{ONE}, 'fi-hel', 'version', 'gone', {NOW}", "version_copies_"),
    ("version_copy_suspect.sql", f"{ONE}, 'fi-hel', 'version'", "version_copies_"),
    ("retagged.sql", f"{ONE}, {NOW}", "retagged_versions_pkey"),
    ("retagged_note.sql", f"{ONE}, 'version', {NOW}", "retagged_versions_pkey"),
    ("retagged_forget.sql", f"{ONE}, {NOW}", "retagged_versions_pkey"),
    ("tags_put.sql", f"{ONE}, 'etag', '[]'", "object_tags_pkey"),
    ("tags_delete.sql", ONE, "object_tags_pkey"),
    ("checksum.sql", OBJECT, "object_checksums_pkey"),
    ("checksum_put.sql", f"{OBJECT}, 'SHA256', 'FULL_OBJECT', 'value', {NOW}", "object_checksums_pkey"),
    ("checksums_prune.sql", f"{ONE}, {NOW}", "object_checksums_pkey"),
    ("checksums_trim.sql", f"{ONE}, 4", "object_checksums_pkey"),
    ("object_parts.sql", OBJECT, "object_parts_pkey"),
    ("object_parts_put.sql", f"{OBJECT}, 'SHA256', '[]', {NOW}", "object_parts_pkey"),
    ("object_parts_prune.sql", f"{ONE}, {NOW}", "object_parts_pkey"),
    ("object_parts_trim.sql", f"{ONE}, 4", "object_parts_pkey"),
    ("uploads.sql", "'bucket-7'", "uploads_pkey"),
    ("upload_put.sql", f"{UPLOAD}, 'photos/0000001207'::bytea, {NOW}", "uploads_pkey"),
    ("upload_delete.sql", UPLOAD, "uploads_pkey"),
    ("uploads_delete_all.sql", "'bucket-7'", "uploads_pkey"),
    ("upload_checksums.sql", "'bucket-7'", "upload_checksums_pkey"),
    ("upload_checksum_put.sql", f"{UPLOAD}, 'SHA256', 'FULL_OBJECT'", "upload_checksums_pkey"),
    ("upload_checksum_delete.sql", UPLOAD, "upload_checksums_pkey"),
    ("upload_checksums_delete_all.sql", "'bucket-7'", "upload_checksums_pkey"),
    ("upload_parts.sql", UPLOAD, "upload_parts_pkey"),
    ("upload_places.sql", UPLOAD, "upload_places_pkey"),
    ("upload_places_of_key.sql", f"{ONE}, 'de-fra'", "upload_places_by_key"),
    ("upload_places_due.sql", f"{NOW} - 100000, {NOW} - 1000, 100", "upload_places_by_look"),
    ("upload_places_at.sql", "'bucket-7', 'de-fra'", "upload_places_"),
    ("upload_places_lose.sql", f"{UPLOAD}, {NOW}", "upload_places_pkey"),
    ("upload_places_lose_all.sql", f"'bucket-7', {NOW}", "upload_places_"),
    ("upload_places_leave.sql", UPLOAD, "upload_places_pkey"),
    ("upload_place_lose.sql", f"{UPLOAD}, 'de-fra', {NOW}", "upload_places_pkey"),
    ("upload_place_claim.sql", f"{UPLOAD}, 'de-fra', {NOW}, {NOW} + 1", "upload_places_pkey"),
    ("upload_place_delete.sql", f"{UPLOAD}, 'de-fra'", "upload_places_pkey"),
    ("upload_part_put.sql", f"{UPLOAD}, 1, 'etag', 4096, 'value'", "upload_parts_pkey"),
    ("upload_parts_delete.sql", UPLOAD, "upload_parts_pkey"),
    ("upload_parts_delete_all.sql", "'bucket-7'", "upload_parts_pkey"),
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
    ("stranded_aside.sql", "'bucket-7', 'fi-hel'", "stranded_keys_"),
    ("stranded_overwrite.sql", ONE, "stranded_keys_bucket_object_key_epoch_key"),
    ("promotion_witness_note.sql", "'bucket-1207', 1, 'photos/0000001207'::bytea", "promotions_"),
    ("promotion_witness.sql", "'bucket-1207', 1", "promotions_"),
    ("promotion_source.sql", "'bucket-1207', 1", "promotions_"),
    ("stranded_waiting.sql", "'000000001207', 1000", "stranded_keys_pkey"),
    ("stranded_merge.sql", "'000000001207'", "stranded_keys_pkey"),
    ("stranded_merge_writing.sql", "'000000001207', '[]', '[]'", "stranded_keys_pkey"),
    ("stranded_give_up.sql", "'000000001207'", "stranded_keys_pkey"),
    ("stranded_bring.sql", "'000000001207', 'fi-hel', 'lease', 0, ''", "stranded_keys_pkey"),
    ("stranded_bring_end.sql", "'000000001207', 'lease', ''", "stranded_keys_pkey"),
    ("stranded_end.sql", "'000000001207', 'fi-hel', 'open', 0, ''", "stranded_keys_pkey"),
    ("stranded_next.sql", "'000000001207'", "stranded_keys_pkey"),
    ("stranded_move.sql", "'000000001207', 'se-sto'", "stranded_keys_pkey"),
    ("backend_keeps_stranded.sql", "'se-sto'", "stranded_keys_kept"),
    ("unlisted_note.sql", f"{ONE}, {NOW}", "unlisted_writes_pkey"),
    ("unlisted_page.sql", f"{ONE}, 1000", "unlisted_writes_pkey"),
    ("unlisted_renote.postgres.sql", f"{KEYS}, {NOW}", "unlisted_writes_pkey"),
    ("unlisted_prune.postgres.sql", f"{NOW - 1000}, 1000", "unlisted_writes_noted"),
    ("sweep_end.sql", "'bucket-7', 'photos/0000001000'::bytea, 1000", "object_copies_pkey"),
    ("tags_sweep.sql", PAGE, "object_tags_pkey"),
    ("unlisted_sweep.sql", PAGE, "unlisted_writes_pkey"),
    ("stranded_sweep.sql", PAGE, "stranded_keys_bucket_object_key_epoch_key"),
    ("copies_sweep.sql", PAGE, "object_copies_pkey"),
    ("copies_sweep_on.sql", f"{PAGE}, 'fi-hel'", "object_copies_pkey"),
    ("version_copies_sweep.sql", PAGE, "version_copies_"),
    ("version_copies_sweep_on.sql", f"{PAGE}, 'fi-hel'", "version_copies_in_order"),
    ("retagged_sweep.sql", PAGE, "retagged_versions_pkey"),
    ("checksums_sweep.sql", PAGE, "object_checksums_pkey"),
    ("object_parts_sweep.sql", PAGE, "object_parts_pkey"),
    ("uploads_sweep.sql", "'bucket-7', 1000", "uploads_pkey"),
    ("upload_parts_sweep.sql", "'bucket-7', 1000", "upload_parts_pkey"),
    ("upload_places_sweep.sql", "'bucket-7', 1000", "upload_places_pkey"),
    ("upload_checksums_sweep.sql", "'bucket-7', 1000", "upload_checksums_pkey"),
    ("buckets_suspect.sql", "2, 'bucket-100', 16", "buckets_pkey"),
    ("walks_due.sql", f"{NOW}, 100", "walks_waiting"),
    ("walks_resume.sql", f"{NOW}, 16", "walks_waiting"),
    ("walks_postpone.sql", f"'fi-hel', {NOW}, {NOW}", "walks_waiting"),
    ("walk_shards_free.sql", f"{NOW}, 100, 'backfill'", "walk_shards_pkey"),
    ("walks_finish.sql", f"{NOW}", "walks_unfinished"),
    ("walks_under_way.sql", "'reconcile'", "walks_unfinished"),
    ("walks.sql", f"{NOW}, 'walk-7', 100", "walks_by_time"),
    ("walks_of_bucket.sql", f"'bucket-7', {NOW}, 'walk-7', 100", "walks_by_bucket"),
    ("walk.sql", "'walk-1207'", "walks_pkey"),
    ("walk_insert.sql", f"'walk', 'bucket-7', 'reconcile', 'reason', 100, {NOW}", "Conflict"),
    ("walk_hasten.sql", "'bucket-7', 'reconcile', 100", "walks_not_begun"),
    ("walk_claim.sql", f"'walk-1207', {NOW}, {NOW}", "walks_pkey"),
    ("walk_lock.sql", "'walk-1207'", "walks_pkey"),
    ("walk_pace.sql", f"'walk-1207', {NOW}", "walks_pkey"),
    ("walk_deletes.sql", "'walk-1207'", "walk_shards_pkey"),
    ("walk_shard_claim.sql", f"'walk-1207', 1, {NOW}, {NOW}, 1", "walk_shards_pkey"),
    ("walk_shard_keep.sql", f"'walk-1207', 1, 1, {NOW}", "walk_shards_pkey"),
    ("walk_shard_reserve.sql", "'walk-1207', 1, 1, 10", "walk_shards_pkey"),
    ("walk_shard_advance.sql", "'walk-1207', 1, 1, 'photos/0000001207'::bytea, 1000, 10, 0", "walk_shards_pkey"),
    ("walk_shards_delete.sql", "'walk-1207'", "walk_shards_pkey"),
    ("walk_count_add.sql", "'walk-1207', 'missing', 1", "walk_counts_pkey"),
    ("walk_counts.sql", "'walk-1207'", "walk_counts_pkey"),
    ("walk_findings.sql", "'walk-1207'", "walk_findings_pkey"),
    ("walk_findings_count.sql", "'walk-1207'", "walk_findings_pkey"),
    ("route_by_name.sql", "'tenant-7', 'name-1207'", "buckets_by_name"),
    ("route_by_id.sql", "'bucket-1207'", "buckets_pkey"),
    ("routes_unfinished.sql", f"{NOW}, 100", "buckets_unfinished"),
    ("buckets_listed.sql", "'tenant-7', 'name-1', 'name-1000', 1000", "buckets_by_name"),
    ("bucket_state_by_name.sql", "'tenant-7', 'name-1207'", "buckets_by_name"),
    ("bucket_epoch_stands.sql", "'bucket-1207', 1", "buckets_pkey"),
    ("buckets_to_reconcile.sql", f"{NOW}, 100", "buckets_by_reconcile"),
    ("bucket_reconcile_oldest.sql", "", "buckets_by_reconcile"),
    ("buckets_to_review.sql", "100", "buckets_to_"),
    ("buckets_to_leave.sql", "'bucket-1000', 100", "buckets_to_leave"),
    ("buckets_walked.sql", "100", "buckets_unwalked"),
    ("drains_open_now.sql", f"{NOW}, 100", "drains_unended"),
    ("drains_of.sql", "'bucket-7'", "drains_open"),
    ("drains.sql", f"'bucket-7', '', {NOW}, 'drain-7', 100", "drains_by_bucket"),
    ("drains.sql", f"'', '', {NOW}, 'drain-7', 100", "drains_by_time"),
    ("drains.sql", f"'', 'fi-hel', {NOW}, 'drain-7', 100", "drains_by_backend"),
    ("migrations_due.sql", f"{NOW}, 100", "bucket_migrations_running"),
    ("migration_running.sql", "'bucket-1207'", "bucket_migrations_running"),
    ("promotions_running.sql", "100", "promotions_running"),
    ("buckets_self_promoting.sql", "", "buckets_self_promoting"),
    ("promotions_count.sql", "", "promotions_running"),
    ("mappings.sql", "'bucket-1207'", "bucket_backends_pkey"),
    ("mapping_taken.sql", "'fi-hel', 'name-1207', 'former'", "bucket_backends_backend_physical_key"),
    ("mappings_count_on.sql", "'se-sto'", "bucket_backends_by_backend"),
    ("feed_since.sql", "10, 1000", "changes_pkey"),
    ("feed_prune.sql", f"{NOW - DAY}", "changes_by_time"),
    ("mappings_retiring.sql", "100", "bucket_backends_pkey"),
    ("review_page_of_tenant.sql", "'tenant-7', 'name-1000', 500", "buckets_by_name"),
    ("review_tenant.sql", f"'tenant-7', 'name-1000', 'name-1500', {NOW}", "buckets_by_name"),
    ("review_page_on_backend.sql", "'de-fra', 'bucket-1000', 500", "bucket_backends_by_backend"),
    ("review_backend.sql", f"'de-fra', 'bucket-10000', 'bucket-10010', {NOW}", "buckets_pkey"),
    ("jobs.sql", f"{NOW} - {DAY}, '7', 100", "_pkey"),
    ("jobs_of_bucket.sql", f"'bucket-7', {NOW} - {DAY}, '7', 100", "_bucket_finished_at_id_idx"),
]

# Statement, its parameters, and the table that it reads as a whole: no index would help, or there is none.
WHOLE = [
    ("queue_depth.sql", "", "dirty_keys"),
    ("queue_orphan_keys.sql", f"{NOW}", "dirty_keys"),
    ("queue_orphan_leases.sql", f"{NOW}", "dirty_leases"),
    ("stranded_count.sql", "", "stranded_keys"),
    ("walks_prune.sql", f"{NOW - 7 * DAY}", "walks"),
    ("bucket_suspect_any.sql", "2", "buckets"),
]


def load() -> str:
    key = "convert_to('photos/' || lpad(n::text, 10, '0'), 'UTF8')"
    rows = f"from generate_series(1, {ROWS}) n"
    half = f"from generate_series(1, {ROWS // 2}) n"
    quarter = f"from generate_series(1, {ROWS // 4}) n"
    tenth = f"from generate_series(1, {ROWS // 10}) n"
    backends = "(values ('de-fra'), ('fi-hel')) as backends(b)"
    bucket = f"'bucket-' || n % {BUCKETS}"
    return f"""
set synchronous_commit = off;
-- Only the plans are of interest here: no row needs those that it refers to.
set session_replication_role = replica;
insert into object_tags (bucket, object_key, etag, tags) select {bucket}, {key}, md5(n::text), '[]' {half};
insert into stranded_keys (id, bucket, object_key, home, epoch, state, stranded_at, kept_on, kept_in, etag, size)
    select lpad(n::text, 12, '0'), {bucket}, {key}, 'fi-hel', 1, case when n % 3 = 0 then 'kept' else 'open' end, {NOW},
        case when n % 3 = 0 then case when n % 99 = 0 then 'se-sto' else 'fi-hel' end else '' end, '', '', 0 {rows};
insert into unlisted_writes (bucket, object_key, noted_at) select {bucket}, {key}, {NOW} - n {rows};
insert into promotion_keys (bucket, object_key, noted) select {bucket}, {key}, 1 {quarter};
insert into object_copies (bucket, object_key, backend, etag, home_etag, size, verified_how, verified_at)
    select {bucket}, {key}, b, md5(n::text), md5(n::text), 4096, 'etag', {NOW} {half}, {backends};
insert into version_copies (bucket, object_key, backend, home_version, version, position, is_marker, etag, home_etag, size, home_modified, verified_how, verified_at)
    select {bucket}, {key}, b, 'home-' || v, 'version-' || v, v, 0, md5(n::text), md5(n::text), 4096, {NOW}, 'etag', {NOW}
    from generate_series(1, {ROWS // 10}) n, generate_series(1, 5) v, {backends};
insert into retagged_versions (bucket, object_key, version, noted_at) select {bucket}, {key}, 'home-1', {NOW} {half};
insert into object_checksums (bucket, object_key, etag, size, algorithm, kind, value, kept_at)
    select {bucket}, {key}, md5(n::text), 4096, 'SHA256', 'FULL_OBJECT', '', {NOW} {half};
insert into object_parts (bucket, object_key, etag, size, algorithm, parts, kept_at) select {bucket}, {key}, md5(n::text), 4096, 'SHA256', '[]', {NOW} {half};
insert into uploads (bucket, upload_id, object_key, initiated_at) select {bucket}, 'upload-' || n, {key}, {NOW} {half};
insert into upload_checksums (bucket, upload_id, algorithm, kind) select {bucket}, 'upload-' || n, 'SHA256', 'FULL_OBJECT' {half};
insert into upload_parts (bucket, upload_id, part_number, etag, size, value)
    select {bucket}, 'upload-' || n, part, 'etag', 4096, '' from generate_series(1, {ROWS // 10}) n, generate_series(1, 5) part;
insert into upload_places (bucket, upload_id, backend, place_upload_id, object_key, home, looked_at)
    select {bucket}, 'upload-' || n, b, 'place-' || n, {key}, 'fi-hel', {NOW} - n {half}, {backends};
insert into dirty_keys (bucket, object_key, sequence, request_id, dirty_since, attempts, state, due_at, claimed_by, claim, reason, lane, flow)
    select {bucket}, {key}, n, 'request', {NOW} - n, 0,
        case when n % 1000 = 0 then 'dead' when n % 100 = 0 then 'claimed' when n % 10 = 0 then 'delayed' else 'ready' end, {NOW} - n, '', '', '', (n % 50 = 1)::int, n % 16 {rows};
insert into dirty_leases (bucket, object_key, lease, expires_at) select {bucket}, {key}, 'lease-' || n, {NOW} + n - 1000 {half};
insert into tenants (id, name, policy, default_placement, default_replica_count, created_at)
    select 'tenant-' || n, 'name-' || n, '', '', 2, 1 from generate_series(0, 1999) n;
insert into buckets (id, tenant, name, state, state_since, home, epoch, replica_count, location, policy, created_at, generation, review_due, leave_home, unwalked, promote_after)
    select 'bucket-' || n, 'tenant-' || n % 10, 'name-' || n, case when n % 500 = 3 then 'creating' else 'active' end, 1, 'fi-hel', 1, 2, '', '', 1,
        case when n % 400 = 0 then 1 else 2 end, (n % 700 = 0)::int, case when n % 900 = 0 then 'fi-hel' else '' end, (n % 800 = 0)::int, (n % 600 = 0)::int {quarter};
insert into bucket_backends (bucket, backend, physical, n, position, state) select 'bucket-' || n, b, 'name-' || n, 0, 0, 'active' {quarter}, {backends};
-- Of what runs and ends the most has ended: one of each hundred goes on.
insert into bucket_migrations (id, bucket, source, source_physical, target, target_physical, target_n, former, drop_old, is_deep, asked_by, state, detail, walk, promotion,
        epoch, look, begun_at, since, moved_at, ended_at, turn)
    select 'migration-' || n, 'bucket-' || n, 'fi-hel', 'old-' || n, 'de-fra', 'new-' || n, 0, 'former', 0, 0, '', case when n % 100 = 7 then 'filling' else 'done' end,
        '', 'walk-' || n, '', 1, '', 1, 1, 0, case when n % 100 = 7 then 0 else {NOW} end, 0 {tenth};
insert into promotions (id, bucket, source, target, epoch, forced, state, detail, fence, begun_at, fenced_at, ended_at, turn)
    select 'promotion-' || n, 'bucket-' || n, 'fi-hel', 'de-fra', 1, 0, case when n % 100 = 7 then 'preparing' else 'done' end, '', 0, {NOW} - n, 0, 0, 0 {tenth};
insert into drains (id, bucket, tenant, name, backend, physical, reason, remark, count_before, state, begun_at, proven_at, ended_at, free_from, look, found, keys)
    select 'drain-' || n, 'bucket-' || n, 'tenant-' || n % 10, 'name', 'de-fra', 'name', 'placement', '', 2, 'draining', {NOW} - n, 0, case when n % 100 = 7 then 0 else {NOW} end,
        {NOW} - n, '', '', 0 {tenth};
insert into walks (id, bucket, kind, reason, rate, state, note, approved, total, epoch, attempts, due_at, paced_until, created_at, begun_at, finished_at)
    select 'walk-' || n, 'bucket-' || n / 2, 'reconcile', '', 100, case when n % 100 = 7 then 'running' when n % 100 = 8 then 'waiting' else 'done' end, '', 0, 1000, 1, 0, {NOW} - n, 0, {NOW} - n,
        case when n % 100 = 8 then 0 else {NOW} - n end, case when n % 100 in (7, 8) then 0 else {NOW} - n end {tenth};
insert into walk_shards (walk, position, after, up_to, walked_to, done, marked, deletes, reserved, claimed_until, claim, finished)
    select 'walk-' || n, shard, '', '', '', 0, 0, 0, 0, 0, 0, (n % 100 <> 7)::int {tenth}, generate_series(0, 3) shard;
insert into walk_counts (walk, kind, found) select 'walk-' || n, kind, 1 {tenth}, (values ('missing'), ('differs')) as kinds(kind);
insert into walk_findings (walk, position, kind, object_key, backend, detail, found_at) select 'walk-' || n, at, 'missing', {key}, 'de-fra', '', {NOW} {tenth}, generate_series(0, 3) at;
insert into changes (id, kind, subject, name, made_at) select n, 'bucket', 'bucket-' || n, 'name', {NOW} - n {half};
select keep_jobs({NOW} - 7::bigint * {DAY}, {NOW} + 3::bigint * {DAY});
insert into jobs (id, bucket, object_key, outcome, detail, attempts, request_id, started_at, finished_at)
    select n::text, {bucket}, {key}, 'converged', 'fi-hel home, de-fra copy', 1, 'request', at, at
    from (select n, {NOW} - (n::bigint * 7 * {DAY} / {ROWS}) as at {rows}) given;
set session_replication_role = origin;
vacuum analyze;
"""


@pytest.fixture(scope="module")
def ask():
    """Runs SQL and gives its text, on a database with the migrations and the rows."""
    if not shutil.which("psql"):
        pytest.skip("psql is not installed")
    if out := os.environ.get("S3GATEWAY_PLANS_OUT"):
        Path(out).unlink(missing_ok=True)
    postgres = Postgres().start()

    def run(text: str) -> str:
        argv = ["psql", postgres.url, "-v", "ON_ERROR_STOP=1", "-qAt"]
        done = subprocess.run(argv, input=text, capture_output=True, text=True, env=clean_environment())
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    try:
        # The figures that plans are made by are those of one look at all rows.
        run("alter system set autovacuum = off")
        run("select pg_reload_conf()")
        for migration in sorted((ROOT / "migrations/postgres").glob("*.sql")):
            run(migration.read_text())
        run(load())
        yield run
    finally:
        postgres.close()


def types(parameters: str) -> str:
    """What the store binds for such literals: a statement is prepared with these, not with what it would be guessed to take."""
    given = re.findall(r"('[^']*'(?:::bytea)?|[^\s,'][^,]*)", parameters)
    return ", ".join("bytea" if p.endswith("::bytea") else "text" if p.startswith("'") else "bigint" for p in given)


def explain(ask, name: str, parameters: str) -> str:
    text = (ROOT / "store/src/sql" / name).read_text()
    taken, given = (f"({types(parameters)})", f"({parameters})") if parameters else ("", "")
    plan = ask(f"prepare hot{taken} as {text};\nexplain (costs off) execute hot{given};")
    if out := os.environ.get("S3GATEWAY_PLANS_OUT"):
        with open(out, "a") as file:
            file.write(f"{name}\n{plan}\n")
    return plan


def test_every_hot_statement_uses_its_index(ask):
    plans = [(name, explain(ask, name, parameters), index) for name, parameters, index in STATEMENTS]
    wrong = [f"{name}\n{plan}" for name, plan, index in plans if index not in plan or "Seq Scan on" in plan]
    assert not wrong, "\n".join(wrong)


def test_what_reads_a_whole_table_is_known_to(ask):
    """One that has an index by now belongs to the others."""
    plans = [(name, explain(ask, name, parameters), table) for name, parameters, table in WHOLE]
    better = [f"{name}\n{plan}" for name, plan, table in plans if f"Seq Scan on {table}" not in plan]
    assert not better, "\n".join(better)


def test_a_day_of_the_history_goes_as_one(ask):
    days = lambda: [line for line in ask("select relname from pg_class where relname ~ '^jobs_[0-9]{8}$' and relkind = 'r' order by 1").split()]  # noqa: E731
    before = days()
    assert len(before) >= 11
    assert int(ask(f"select keep_jobs({NOW} - 2::bigint * {DAY}, {NOW} + 3::bigint * {DAY})").strip()) == 5
    assert days() == before[5:]
    assert int(ask(f"select keep_jobs({NOW} - 2::bigint * {DAY}, {NOW} + 3::bigint * {DAY})").strip()) == 0
