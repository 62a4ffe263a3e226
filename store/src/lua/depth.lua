-- depth.lua: counts a shard's keys.
-- KEYS: see record.lua   returns: dirty, claimed, delayed, dead, and since when the oldest is dirty or -1
local oldest = redis.call('ZRANGE', AGES, 0, 0, 'WITHSCORES')
return {
  redis.call('HLEN', DIRTY), redis.call('ZCARD', CLAIMED), redis.call('ZCARD', DELAYED), redis.call('ZCARD', DEAD),
  tonumber(oldest[2] or -1),
}
