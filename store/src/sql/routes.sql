-- routes.sql: active buckets, one row for each backend of their placements or being drained. $1 tenant, or empty for all
select b.id, b.tenant, b.name, b.state, b.home, b.epoch, b.replica_count, b.write_quorum, b.location, b.policy, b.versioning, b.moved_versions, b.unwalked, b.created_at, b.writes,
    cast(case when exists (select 1 from stranded_keys s where s.bucket = b.id and s.state <> 'kept') then 1 else 0 end as bigint) as has_stranded,
    t.policy as tenant_policy, m.backend, m.physical, m.state as mapping_state,
    coalesce(g.target, '') as arriving, coalesce(g.target_physical, '') as arriving_physical
from buckets b join tenants t on t.id = b.tenant join bucket_backends m on m.bucket = b.id and m.state <> 'retiring'
left join bucket_migrations g on g.bucket = b.id and g.ended_at = 0 and g.state in ('filling', 'moving') and g.walk <> ''
where b.state = 'active' and ($1 = '' or b.tenant = $1) order by b.tenant, b.name, m.position
