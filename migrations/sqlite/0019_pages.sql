-- Work on many rows, which workers do in pages, each in a transaction of its own; its note goes with the last page.

-- Rows that are of no use any more. what: bucket: all about a bucket of which nothing is left anywhere; lent: what was lent to
-- the objects and uploads of a deleted one; copies: records of copies on `backend`, which is empty otherwise. after: all keys up to
-- this one are done.
create table sweeps (
    bucket text not null references buckets (id) on delete cascade,
    what text not null check (what in ('bucket', 'lent', 'copies')),
    backend text not null,
    after blob not null,
    primary key (bucket, what, backend)
);

-- Tenants and backends that have changed, so that the buckets of the one or on the other are to be reviewed. after: the name (of a tenant's
-- bucket) or id (of one on a backend) up to which the reviews have been made due.
create table reviews_owed (
    kind text not null check (kind in ('tenant', 'backend')),
    subject text not null,
    after text not null,
    primary key (kind, subject)
);
create index bucket_backends_by_backend on bucket_backends (backend, bucket);

-- A backend is in use as long as something of a stranded key stands aside there.
create index stranded_keys_kept on stranded_keys (kept_on) where kept_on <> '';
