-- review_claim.sql: locks one for the caller's transaction; no row where another has taken the page. $1 kind, $2 subject, $3 how far the
-- caller has seen it
update reviews_owed set after = after where kind = $1 and subject = $2 and after = $3
