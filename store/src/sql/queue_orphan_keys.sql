-- queue_orphan_keys.sql: what was claimed or waited for a lease is due now. A claim whose worker died is a failed
-- attempt, as in queue_claim. $1 now
update dirty_keys set attempts = attempts + case when state = 'claimed' then 1 else 0 end,
    state = 'ready', due_at = $1, claimed_by = '', claim = ''
where state = 'claimed' or (state = 'ready' and due_at > $1)
