-- review_settle.sql: it has come to its end. $1 kind, $2 subject
delete from reviews_owed where kind = $1 and subject = $2
