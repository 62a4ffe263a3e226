-- walk_restart.sql: its bucket has another home now, of which nobody has approved anything. $1 walk, $2 the epoch that it began with, $3 the new
-- one, $4 keys known
update walks set epoch = $3, total = $4, approved = 0, note = 'begun anew: the bucket has another home'
where id = $1 and epoch = $2 and state = 'running'
