-- upload_places.sql: where an upload is open beside its home. $1 bucket, $2 the home's upload id
select backend, place_upload_id, lost from upload_places where bucket = $1 and upload_id = $2 order by backend
