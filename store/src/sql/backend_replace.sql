-- backend_replace.sql: describes a backend anew, in its place. What was measured at another endpoint goes.
-- $1 id, $2 place, $3 endpoint, $4 region, $5 access key, $6 sealed secret key, $7 capabilities, or '' for those it has
update backends set
    place = $2, endpoint = $3, region = $4, access_key = $5, secret_key = $6,
    capabilities = case when $7 = '' then capabilities else $7 end,
    probe = case when endpoint = $3 then probe else '' end
where id = $1
