-- queue_clear.sql: clears a mark that nobody has raised and under which nothing is noted. A lease that ran out since
-- the claim counts: its write may have landed after the home was read.
-- $1 bucket, $2 key, $3 claim, $4 sequence when claimed
delete from dirty_keys
where bucket = $1 and object_key = $2 and state = 'claimed' and claim = $3 and sequence = $4 and not exists (
    select 1 from dirty_leases l where l.bucket = $1 and l.object_key = $2)
