-- meet.lua: notes that a worker is alive, and counts those that are.
-- KEYS: workers (zset): worker by the time until which it counts   ARGV: worker, for how many ms, or 0 to leave
-- returns: how many workers there are
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[1])
end
return redis.call('ZCARD', KEYS[1])
