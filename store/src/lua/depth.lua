-- depth.lua: counts a shard's keys.
-- KEYS: see record.lua   returns: dirty, claimed, delayed, dead, and since when the oldest is dirty or -1
local pending = redis.pcall('XPENDING', JOBS, GROUP)
local claimed = 0
if not pending.err then claimed = pending[1] end
local oldest = redis.call('ZRANGE', SINCE, 0, 0, 'WITHSCORES')
return {
  redis.call('HLEN', DIRTY), claimed, redis.call('ZCARD', DELAYED), redis.call('ZCARD', DEAD), tonumber(oldest[2] or -1),
}
