-- access_keys_delete_of_tenant.sql: $1 tenant; returns the ids, for the change feed.
delete from access_keys where tenant = $1 returning id
