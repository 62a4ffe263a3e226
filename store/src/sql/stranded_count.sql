-- stranded_count.sql: those that wait for their comparison, and those of which something stands aside
select count(case when state <> 'kept' then 1 end) as waiting, count(case when state = 'kept' then 1 end) as kept from stranded_keys
