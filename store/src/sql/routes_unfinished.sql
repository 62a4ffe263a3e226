-- routes_unfinished.sql: buckets whose creation or deletion began before $1 and has not ended, oldest first, at most $2
select b.id, b.tenant, b.name, b.state, b.state_since, b.home, b.epoch, b.replica_count, b.write_quorum, b.location, b.policy, b.versioning, b.moved_versions, b.unwalked, b.created_at, b.writes,
    cast(case when exists (select 1 from stranded_keys s where s.bucket = b.id and s.state <> 'kept') then 1 else 0 end as bigint) as has_stranded,
    t.policy as tenant_policy, m.backend, m.physical, m.state as mapping_state,
    coalesce(g.target, '') as arriving, coalesce(g.target_physical, '') as arriving_physical
from buckets b join tenants t on t.id = b.tenant join bucket_backends m on m.bucket = b.id and m.state <> 'retiring'
left join bucket_migrations g on g.bucket = b.id and g.ended_at = 0 and g.state in ('filling', 'moving') and g.walk <> ''
where b.id in (
    select id from buckets where state in ('creating', 'deleting') and state_since < $1 order by state_since, id limit $2)
order by b.state_since, b.id, m.position
