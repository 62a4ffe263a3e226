-- queue_mark.sqlite.sql: makes a key dirty or raises its sequence; revives a dead letter and what was put off; returns the sequence.
-- Own text: SQLite has no sequences; queue_sequence.sqlite.sql has just raised the counter in the same transaction.
-- $1 bucket, $2 key, $3 request id (empty: keep), $4 now, $5 due where the key is clean, dead, put off or waiting for a lease,
-- $6 flow
insert into dirty_keys
    (bucket, object_key, sequence, request_id, dirty_since, attempts, state, due_at, claimed_by, claim, reason, flow)
values ($1, $2, (select value from dirty_sequence), $3, $4, 0, 'ready', $5, '', '', '', $6)
on conflict (bucket, object_key) do update set
    sequence = excluded.sequence,
    request_id = case when excluded.request_id = '' then dirty_keys.request_id else excluded.request_id end,
    attempts = case when dirty_keys.state = 'dead' then 0 else dirty_keys.attempts end,
    reason = '',
    due_at = case
        when dirty_keys.state in ('dead', 'delayed') or (dirty_keys.state = 'ready' and dirty_keys.due_at > $4)
            then excluded.due_at
        else dirty_keys.due_at end,
    state = case when dirty_keys.state in ('dead', 'delayed') then 'ready' else dirty_keys.state end
returning sequence
