-- buckets_to_leave.sql: buckets whose home must be left, $2 at most after bucket $1
select b.id, t.name as tenant, b.name, b.leave_home as home
from buckets b join tenants t on t.id = b.tenant
where b.state = 'active' and b.leave_home <> '' and b.leave_home = b.home and b.id > $1 order by b.id limit $2
