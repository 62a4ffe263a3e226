-- Keys whose tags or headers alone were or are about to be changed: no listing shows such a write, so where Redis forgets its
-- mark, only this tells of it. noted_at: no later than the mark. A row goes once the mark has long been cleared.
create table unlisted_writes (
    bucket text not null references buckets (id) on delete cascade,
    object_key bytea not null,
    noted_at bigint not null,
    primary key (bucket, object_key)
);
create index unlisted_writes_noted on unlisted_writes (noted_at);
