-- sweep_end.sql: the last key of a page, behind which there is more: none of the tables has more than the rows of a page before it.
-- $1 bucket, $2 the key before the page, $3 rows of a page
select object_key from (
    select object_key from (select object_key from object_tags
        where bucket = $1 and object_key > $2 order by object_key limit 1 offset $3) as object_tags_end
    union all select object_key from (select object_key from object_checksums
        where bucket = $1 and object_key > $2 order by object_key limit 1 offset $3) as object_checksums_end
    union all select object_key from (select object_key from object_parts
        where bucket = $1 and object_key > $2 order by object_key limit 1 offset $3) as object_parts_end
    union all select object_key from (select object_key from retagged_versions
        where bucket = $1 and object_key > $2 order by object_key limit 1 offset $3) as retagged_versions_end
    union all select object_key from (select object_key from unlisted_writes
        where bucket = $1 and object_key > $2 order by object_key limit 1 offset $3) as unlisted_writes_end
    union all select object_key from (select object_key from stranded_keys
        where bucket = $1 and object_key > $2 order by object_key limit 1 offset $3) as stranded_keys_end
    union all select object_key from (select object_key from promotion_keys
        where bucket = $1 and object_key > $2 order by object_key limit 1 offset $3) as promotion_keys_end
    union all select object_key from (select object_key from object_copies
        where bucket = $1 and object_key > $2 order by object_key limit 1 offset $3) as object_copies_end
    union all select object_key from (select object_key from version_copies
        where bucket = $1 and object_key > $2 order by object_key limit 1 offset $3) as version_copies_end
) as ends order by object_key limit 1
