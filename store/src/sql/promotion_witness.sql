-- promotion_witness.sql: that key. $1 bucket, $2 the epoch that ended
select witness as object_key from promotions where bucket = $1 and epoch = $2 and length(witness) > 0
