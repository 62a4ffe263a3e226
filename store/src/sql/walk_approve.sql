-- walk_approve.sql: an operator lets it go on. $1 walk
update walks set approved = 1, note = '', due_at = case when begun_at = 0 then due_at else 0 end,
    state = case when state = 'guarded' then 'running' else state end
where id = $1 and finished_at = 0
