-- A bucket's stranded keys are listed by id, among those of all buckets.
create index stranded_keys_by_bucket on stranded_keys (bucket, id);
