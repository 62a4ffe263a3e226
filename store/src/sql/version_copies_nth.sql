-- version_copies_nth.sql: the key of the last of a page of versions on a backend, or of as many as there are. $1 bucket, $2 backend,
-- $3 the key before the page, $4 rows of a page
select object_key from (
    select object_key from version_copies where bucket = $1 and backend = $2 and object_key > $3 order by object_key limit $4) as page
order by object_key desc limit 1
