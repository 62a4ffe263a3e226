-- upload_places_due.sql: those not looked at since, longest ago first. $1 since, $2 at most
select bucket, upload_id, backend, place_upload_id, object_key, home, looked_at from upload_places
where looked_at <= $1 order by looked_at limit $2
