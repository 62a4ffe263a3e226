-- feed_prune.sql: forgets changes made before $1; a reader sees by the gap in the ids that it must forget all.
delete from changes where made_at < $1
