-- version_copies_of_home_forget.sql: forgets of a range of keys which versions the home has, where it knows all of them as clients do: then
-- nothing else is told by these rows. $1 bucket, $2 home, $3 the key before the range, $4 its last,
-- $5 whether for a promotion of the bucket that runs; else only where none does, as it may have noted them
delete from version_copies where bucket = $1 and backend = $2 and object_key > $3 and object_key <= $4
    and exists (select 1 from buckets b where b.id = $1 and b.home = $2 and b.moved_versions = 0)
    and ($5 = 1 or not exists (select 1 from promotions p where p.bucket = $1 and p.state not in ('done', 'failed')))
