-- sweep_by_index.postgres.sql: has a page be read in the order of an index for the rest of the transaction: a plan that is made for buckets of
-- common size would sort all that a large one has. Own text: SQLite has no such plan.
select set_config('enable_bitmapscan', 'off', true)
