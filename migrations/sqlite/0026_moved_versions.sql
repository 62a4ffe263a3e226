-- 1 once a bucket that keeps versions has another home than the one that gave these their ids: clients go on knowing a version by its first
-- id, and version_copies has a row for the home, too, that says which of its own this is.
alter table buckets add column moved_versions bigint not null default 0 check (moved_versions in (0, 1));
-- Of those that the home has no more the row stays for a while: a client that has deleted a page of versions lists on behind its last one.
create index version_copies_gone on version_copies (verified_at) where verified_how = 'gone';
