-- depth.lua: counts a shard's keys.
-- KEYS: see record.lua   returns: dirty, claimed, delayed, dead, and since when the oldest is dirty or -1
local claimed = 0
for stream = LARGE, #KEYS do
  if redis.call('XLEN', KEYS[stream]) > 0 then
    local pending = redis.pcall('XPENDING', KEYS[stream], GROUP)
    if not pending.err then claimed = claimed + pending[1] end
  end
end
local oldest = redis.call('ZRANGE', AGES, 0, 0, 'WITHSCORES')
return {
  redis.call('HLEN', DIRTY), claimed, redis.call('ZCARD', DELAYED), redis.call('ZCARD', DEAD), tonumber(oldest[2] or -1),
}
