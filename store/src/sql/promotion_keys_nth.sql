-- promotion_keys_nth.sql: the last of a page of noted keys, or of as many as there are. $1 bucket, $2 the key before the page, $3 keys of a page
select object_key from (
    select object_key from promotion_keys where bucket = $1 and object_key > $2 order by object_key limit $3) as page
order by object_key desc limit 1
