-- hold.lua: takes, keeps or gives back a worker's hold on a shard: a hint who asks it for jobs, on which nothing depends.
-- KEYS: the shard's holder (string)   ARGV: worker, hold in ms, or 0 to give it back   returns: 1 where the worker holds the shard
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
