-- promotion_keys_forget.sql: forgets some noted keys of a bucket that is not being promoted. $1 bucket, $2 at most
delete from promotion_keys where bucket = $1
    and not exists (select 1 from promotions p where p.bucket = $1 and p.state not in ('done', 'failed'))
    and (object_key, noted) in (
        select n.object_key, n.noted from promotion_keys n where n.bucket = $1 order by n.object_key limit $2)
