-- promotion_witness_note.sql: a stranded key that the former home was seen to hold. $1 bucket, $2 the epoch that ended, $3 key
update promotions set witness = $3 where bucket = $1 and epoch = $2 and state = 'done'
