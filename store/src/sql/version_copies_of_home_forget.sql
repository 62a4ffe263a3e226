-- version_copies_of_home_forget.sql: forgets of a range of keys which versions the home has, where it knows all of them as clients do: then
-- nothing else is told by these rows. $1 bucket, $2 home, $3 the key before the range, $4 its last
delete from version_copies where bucket = $1 and backend = $2 and object_key > $3 and object_key <= $4
    and exists (select 1 from buckets b where b.id = $1 and b.home = $2 and b.moved_versions = 0)
