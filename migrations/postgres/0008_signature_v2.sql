-- Whether URLs that are signed by version 2 are taken of a tenant's access keys: 1 or 0.
alter table tenants add column signature_v2 bigint not null default 0 check (signature_v2 in (0, 1));
