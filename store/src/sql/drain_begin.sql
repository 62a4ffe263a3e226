-- drain_begin.sql: $1 id, $2 bucket, $3 tenant, $4 bucket's name, $5 backend, $6 physical bucket, $7 reason, $8 remark,
-- $9 replica count before, $10 now, $11 look
insert into drains (id, bucket, tenant, name, backend, physical, reason, remark, count_before, state, begun_at, proven_at,
    ended_at, free_from, look, found, keys)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'draining', $10, 0, 0, $10, $11, '', -1)
