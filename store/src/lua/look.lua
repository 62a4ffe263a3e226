-- look.lua: tells what a shard has for workers, so that they ask first where keys have waited longest.
-- KEYS: see record.lua   ARGV: age in ms at which a claim is stale
-- returns: ready, large, stale claims, and since when the next one to be claimed is dirty or -1
queue_due()
local next_member = redis.call('ZRANGE', READY, 0, 0)[1] or redis.call('ZRANGE', LARGE, 0, 0)[1]
local record = next_member and read_record(next_member)
return finish({
  redis.call('ZCARD', READY), redis.call('ZCARD', LARGE),
  redis.call('ZCOUNT', CLAIMED, '-inf', text(NOW - tonumber(ARGV[1]))), record and record.since or -1,
})
