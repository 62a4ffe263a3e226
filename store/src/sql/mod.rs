//! Every statement that the store runs, one a file, so that each can be read and prepared on its own.
//! A file without a database in its name is the same text for both.

macro_rules! statements {
    ($($name:ident = $file:literal;)*) => {
        $(pub(crate) const $name: &str = include_str!($file);)*
        /// File name and text of each, for the test that prepares them.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$(($file, $name)),*];
    };
}

statements! {
    ACCESS_KEY_DELETE = "access_key_delete.sql";
    ACCESS_KEY_ENABLED = "access_key_enabled.sql";
    ACCESS_KEY_INSERT = "access_key_insert.sql";
    ACCESS_KEY_SET_ENABLED = "access_key_set_enabled.sql";
    ACCESS_KEYS = "access_keys.sql";
    ACCESS_KEYS_DELETE_OF_TENANT = "access_keys_delete_of_tenant.sql";
    BACKEND_DELETE = "backend_delete.sql";
    BACKEND_IS_MAPPED = "backend_is_mapped.sql";
    BACKEND_PLACE = "backend_place.sql";
    BACKEND_PROBE = "backend_probe.sql";
    BACKEND_SET_PROBE = "backend_set_probe.sql";
    BACKEND_UPSERT = "backend_upsert.sql";
    BACKENDS = "backends.sql";
    BUCKET_CLAIM = "bucket_claim.sql";
    BUCKET_DELETE = "bucket_delete.sql";
    BUCKET_DELETE_IF_UNMAPPED = "bucket_delete_if_unmapped.sql";
    BUCKET_INSERT = "bucket_insert.sql";
    BUCKET_SET_POLICY = "bucket_set_policy.sql";
    BUCKET_SET_REPLICA_COUNT = "bucket_set_replica_count.sql";
    BUCKET_SET_STATE = "bucket_set_state.sql";
    BUCKET_SET_TAGS = "bucket_set_tags.sql";
    BUCKET_SET_VERSIONING = "bucket_set_versioning.sql";
    BUCKET_STATE = "bucket_state.sql";
    BUCKET_STATE_BY_NAME = "bucket_state_by_name.sql";
    BUCKET_TAGS = "bucket_tags.sql";
    BUCKETS_LISTED = "buckets_listed.sql";
    CHECKSUM = "checksum.sql";
    CHECKSUM_DELETE = "checksum_delete.sql";
    CHECKSUM_PUT = "checksum_put.sql";
    CHECKSUMS_DELETE_ALL = "checksums_delete_all.sql";
    COPIES = "copies.sql";
    COPIES_BETWEEN = "copies_between.sql";
    COPIES_DELETE_ON = "copies_delete_on.sql";
    COPY_DELETE = "copy_delete.sql";
    COPY_PUT = "copy_put.sql";
    FEED_APPEND = "feed_append.sql";
    FEED_HEAD = "feed_head.sql";
    FEED_LOCK = "feed_lock.sql";
    FEED_NEXT = "feed_next.sql";
    FEED_PRUNE = "feed_prune.sql";
    FEED_SINCE = "feed_since.sql";
    JOB_INSERT = "job_insert.sql";
    JOBS = "jobs.sql";
    JOBS_OF_BUCKET = "jobs_of_bucket.sql";
    JOBS_PRUNE = "jobs_prune.sql";
    MAPPING_DELETE = "mapping_delete.sql";
    MAPPING_DROP_RETIRING = "mapping_drop_retiring.sql";
    MAPPING_INSERT = "mapping_insert.sql";
    MAPPING_ONE = "mapping_one.sql";
    MAPPING_RENAME = "mapping_rename.sql";
    MAPPING_RETIRE = "mapping_retire.sql";
    MAPPING_TAKEN = "mapping_taken.sql";
    MAPPINGS_RETIRING = "mappings_retiring.sql";
    OBJECT_PARTS = "object_parts.sql";
    OBJECT_PARTS_DELETE = "object_parts_delete.sql";
    OBJECT_PARTS_DELETE_ALL = "object_parts_delete_all.sql";
    OBJECT_PARTS_PUT = "object_parts_put.sql";
    QUEUE_BUCKET_IS_DIRTY = "queue_bucket_is_dirty.sql";
    QUEUE_BURY = "queue_bury.sql";
    QUEUE_CLAIM_POSTGRES = "queue_claim.postgres.sql";
    QUEUE_CLAIM_SQLITE = "queue_claim.sqlite.sql";
    QUEUE_CLEAR = "queue_clear.sql";
    QUEUE_DEAD_LETTERS = "queue_dead_letters.sql";
    QUEUE_DEPTH = "queue_depth.sql";
    QUEUE_EXTEND = "queue_extend.sql";
    QUEUE_IS_DIRTY = "queue_is_dirty.sql";
    QUEUE_LEASE_DROP = "queue_lease_drop.sql";
    QUEUE_LEASE_EXPIRE = "queue_lease_expire.sql";
    QUEUE_LEASE_PUT = "queue_lease_put.sql";
    QUEUE_LEASE_RIVAL = "queue_lease_rival.sql";
    QUEUE_LOCK = "queue_lock.sql";
    QUEUE_MARK_POSTGRES = "queue_mark.postgres.sql";
    QUEUE_MARK_SQLITE = "queue_mark.sqlite.sql";
    QUEUE_NOW_POSTGRES = "queue_now.postgres.sql";
    QUEUE_NOW_SQLITE = "queue_now.sqlite.sql";
    QUEUE_ORPHAN_KEYS = "queue_orphan_keys.sql";
    QUEUE_ORPHAN_LEASES = "queue_orphan_leases.sql";
    QUEUE_REDRIVE_ALL = "queue_redrive_all.sql";
    QUEUE_REDRIVE_ONE = "queue_redrive_one.sql";
    QUEUE_REQUEUE = "queue_requeue.sql";
    QUEUE_RETRY = "queue_retry.sql";
    QUEUE_SEQUENCE_SQLITE = "queue_sequence.sqlite.sql";
    QUEUE_WAIT = "queue_wait.sql";
    ROUTE_BY_ID = "route_by_id.sql";
    ROUTE_BY_NAME = "route_by_name.sql";
    ROUTES = "routes.sql";
    ROUTES_UNFINISHED = "routes_unfinished.sql";
    SCHEMA_VERSIONS = "schema_versions.sql";
    TAGS = "tags.sql";
    TAGS_DELETE = "tags_delete.sql";
    TAGS_DELETE_ALL = "tags_delete_all.sql";
    TAGS_PUT = "tags_put.sql";
    TENANT_BY_ID = "tenant_by_id.sql";
    TENANT_BY_NAME = "tenant_by_name.sql";
    TENANT_DELETE = "tenant_delete.sql";
    TENANT_HAS_BUCKET = "tenant_has_bucket.sql";
    TENANT_INSERT = "tenant_insert.sql";
    TENANT_SET_DEFAULTS = "tenant_set_defaults.sql";
    TENANT_SET_POLICY = "tenant_set_policy.sql";
    TENANT_SET_SIGNATURE_V2 = "tenant_set_signature_v2.sql";
    TENANTS = "tenants.sql";
    UPLOAD_CHECKSUM_DELETE = "upload_checksum_delete.sql";
    UPLOAD_CHECKSUM_PUT = "upload_checksum_put.sql";
    UPLOAD_CHECKSUMS = "upload_checksums.sql";
    UPLOAD_CHECKSUMS_DELETE_ALL = "upload_checksums_delete_all.sql";
    UPLOAD_DELETE = "upload_delete.sql";
    UPLOAD_PART_PUT = "upload_part_put.sql";
    UPLOAD_PARTS = "upload_parts.sql";
    UPLOAD_PARTS_DELETE = "upload_parts_delete.sql";
    UPLOAD_PARTS_DELETE_ALL = "upload_parts_delete_all.sql";
    UPLOAD_PUT = "upload_put.sql";
    UPLOADS = "uploads.sql";
    UPLOADS_DELETE_ALL = "uploads_delete_all.sql";
}
