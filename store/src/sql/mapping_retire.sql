-- mapping_retire.sql: the replicas of a deleted bucket wait to be emptied. $1 bucket
update bucket_backends set state = 'retiring' where bucket = $1
