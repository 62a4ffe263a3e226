-- queue_sequence.sqlite.sql: raises the counter that stands in for a sequence. PostgreSQL has a true one.
update dirty_sequence set value = value + 1 where id = 1
