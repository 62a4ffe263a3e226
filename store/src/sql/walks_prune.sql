-- walks_prune.sql: forgets walks that ended before $1, but never the last of its kind on a bucket.
delete from walks where finished_at > 0 and finished_at < $1 and exists (
    select 1 from walks n where n.bucket = walks.bucket and n.kind = walks.kind and n.created_at > walks.created_at)
