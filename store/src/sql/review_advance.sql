-- review_advance.sql: $1 kind, $2 subject, $3 the last bucket whose review is due
update reviews_owed set after = $3 where kind = $1 and subject = $2
