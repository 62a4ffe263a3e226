-- walk_count_add.sql: $1 walk, $2 kind of finding, $3 how many more
insert into walk_counts (walk, kind, found) values ($1, $2, $3)
on conflict (walk, kind) do update set found = walk_counts.found + excluded.found
