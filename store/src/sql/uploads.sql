-- uploads.sql: in the order of ListMultipartUploads. $1 bucket
select upload_id, object_key, initiated_at from uploads where bucket = $1 order by object_key, initiated_at, upload_id
