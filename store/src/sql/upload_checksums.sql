-- upload_checksums.sql: of a bucket's open uploads. $1 bucket
select upload_id, algorithm, kind from upload_checksums where bucket = $1
