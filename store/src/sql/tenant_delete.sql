-- tenant_delete.sql: $1 id
delete from tenants where id = $1
