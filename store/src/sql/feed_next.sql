-- feed_next.sql: the next change id, in commit order because the row stays locked until then.
update change_counter set head = head + 1 where id = 1 returning head
