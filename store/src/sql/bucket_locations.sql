-- bucket_locations.sql: what a bucket's placement was made of: an operator's word, else the client's, else the tenant's default,
-- a JSON list. $1 bucket
select b.locations, b.location, t.default_placement
from buckets b join tenants t on t.id = b.tenant where b.id = $1
