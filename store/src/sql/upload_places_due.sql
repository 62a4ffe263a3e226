-- upload_places_due.sql: those not looked at since, longest ago first. $1 since, $2 since, of those that are lost, $3 at most
select bucket, upload_id, backend, place_upload_id, object_key, home, looked_at from (
    select * from (select * from upload_places where lost = 1 and looked_at <= $2 order by looked_at limit $3) lost
    union all
    select * from (select * from upload_places where lost = 0 and looked_at <= $1 order by looked_at limit $3) others
) due order by looked_at limit $3
