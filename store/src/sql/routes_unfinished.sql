-- routes_unfinished.sql: buckets whose creation or deletion began before $1 and has not ended, oldest first, at most $2
select b.id, b.tenant, b.name, b.state, b.state_since, b.home, b.epoch, b.replica_count, b.write_quorum, b.location, b.policy, b.versioning, b.unwalked, b.created_at, b.writes,
    cast(case when exists (select 1 from stranded_keys s where s.bucket = b.id and s.state <> 'kept') then 1 else 0 end as bigint) as has_stranded,
    t.policy as tenant_policy, m.backend, m.physical, m.state as mapping_state
from buckets b join tenants t on t.id = b.tenant join bucket_backends m on m.bucket = b.id and m.state <> 'retiring'
where b.id in (
    select id from buckets where state in ('creating', 'deleting') and state_since < $1 order by state_since, id limit $2)
order by b.state_since, b.id, m.position
