-- walk_lock.sql: its steps are admitted one after the other. $1 walk
update walks set attempts = attempts where id = $1 returning state, rate, approved, total, paced_until
