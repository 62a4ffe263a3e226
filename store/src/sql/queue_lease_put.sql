-- queue_lease_put.sql: takes or lengthens a lease. $1 bucket, $2 key, $3 lease, $4 its end
insert into dirty_leases (bucket, object_key, lease, expires_at) values ($1, $2, $3, $4)
on conflict (bucket, object_key, lease) do update set expires_at =
    case when dirty_leases.expires_at > excluded.expires_at then dirty_leases.expires_at else excluded.expires_at end
