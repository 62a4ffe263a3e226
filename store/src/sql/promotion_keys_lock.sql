-- promotion_keys_lock.sql: locks a page of noted keys: whoever notes one of them again waits. $1 bucket, $2 the key before the page, $3 its last
update promotion_keys set noted = noted where bucket = $1 and object_key > $2 and object_key <= $3
