-- Uploads in parts that are open at replicas beside the one at their bucket's home, whose id upload_id is: what is sent in parts to a bucket
-- with a write quorum goes to all of them at once. lost: this one lacks something and is left to the workers. looked_at: when one of them has
-- seen last whether the upload at the home is over.
create table upload_places (
    bucket text not null references buckets (id) on delete cascade,
    upload_id text not null,
    backend text not null,
    place_upload_id text not null,
    object_key blob not null,
    home text not null,
    lost bigint not null default 0 check (lost in (0, 1)),
    looked_at bigint not null,
    primary key (bucket, upload_id, backend)
);
create index upload_places_by_key on upload_places (bucket, object_key);
create index upload_places_by_look on upload_places (lost, looked_at);
