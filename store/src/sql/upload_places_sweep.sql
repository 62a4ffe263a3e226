-- upload_places_sweep.sql: those of a page of uploads, the first of the bucket. $1 bucket, $2 rows of a page
delete from upload_places where bucket = $1 and upload_id <= (
    select upload_id from (select upload_id from upload_places where bucket = $1 order by upload_id limit $2) as page
    order by upload_id desc limit 1)
