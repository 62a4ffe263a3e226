-- stranded_any.sql: whether any key of a bucket is stranded, or stands aside. $1 bucket
select id from stranded_keys where bucket = $1 limit 1
