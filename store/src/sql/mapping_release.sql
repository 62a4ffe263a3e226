-- mapping_release.sql: adopted buckets stay where they are when the logical one goes. $1 bucket
delete from bucket_backends where bucket = $1 and adopted = 1
