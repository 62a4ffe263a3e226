-- queue_lane_has_any.sql: a key of a lane that has not been given up; none where there is nothing to do, now or later. $1 lane
select sequence from dirty_keys where lane = $1 and state <> 'dead' order by flow, due_at limit 1
