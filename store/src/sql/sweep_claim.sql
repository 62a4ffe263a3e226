-- sweep_claim.sql: locks one for the caller's transaction; no row where another has taken the page. $1 bucket, $2 what, $3 backend,
-- $4 how far the caller has seen it
update sweeps set after = after where bucket = $1 and what = $2 and backend = $3 and after = $4
