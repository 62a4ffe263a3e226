-- mapping_taken.sql: whether a physical name is in use on a backend. $1 backend, $2 physical name
select bucket from bucket_backends where backend = $1 and physical = $2
