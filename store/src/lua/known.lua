-- known.lua: whether a shard knows of a field, and which process says so.
-- KEYS: a hash of the shard   ARGV: field   returns: { 1 or 0, run id of the server }
return { redis.call('HEXISTS', KEYS[1], ARGV[1]), string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') }
