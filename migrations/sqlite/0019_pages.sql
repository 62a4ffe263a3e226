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
