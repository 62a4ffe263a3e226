-- waits_for: the backend that a waiting walk waits for; '' where it is another thing.
alter table walks add column waits_for text not null default '';
create index walks_waiting on walks (due_at) where finished_at = 0 and state = 'waiting';
