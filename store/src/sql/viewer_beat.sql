-- viewer_beat.sql: a proxy knows all changes up to a head. $1 viewer, $2 head, $3 lease in ms, $4 now, $5 lease of its writes in ms
insert into viewers (id, head, lease, seen_at, write_lease) values ($1, $2, $3, $4, $5)
on conflict (id) do update set head = excluded.head, lease = excluded.lease, seen_at = excluded.seen_at,
    write_lease = excluded.write_lease
