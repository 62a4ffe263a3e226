-- version_copies_null_forget.sql: forgets of a range of keys a `null` version that the home has no more: the one that it may have by now is noted
-- as any other. $1 bucket, $2 home, $3 the key before the range, $4 its last
delete from version_copies where bucket = $1 and backend = $2 and object_key > $3 and object_key <= $4
    and home_version = 'null' and verified_how = 'gone'
