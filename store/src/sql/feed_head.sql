-- feed_head.sql: the id of the latest change.
select head from change_counter where id = 1
