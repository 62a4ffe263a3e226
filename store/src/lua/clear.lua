-- clear.lua: makes a key clean if its claim stands, its sequence is unchanged and nothing is noted that may land; else queues it again.
-- A lease that ran out since the claim blocks as a live one does: its write may have landed after the home was read.
-- KEYS: see record.lua   ARGV: member, sequence read by the claim, claim   returns: 1 where the key is clean, else 0
local member, sequence, claim = ARGV[1], ARGV[2], ARGV[3]
local record = read_record(member)
if not record then return 1 end
if not holds_claim(record, claim) then return 0 end
local first = first_expiry(read_leases(member))
local is_unchanged = text(record.sequence) == sequence
if not is_unchanged or first then
  queue_again(member, record, is_unchanged, first)
  return 0
end
take_job_away(member, record)
redis.call('HDEL', DIRTY, member)
local second = math.floor(record.since / 1000)
if redis.call('HINCRBY', SECONDS, second, -1) <= 0 then
  redis.call('HDEL', SECONDS, second)
  redis.call('ZREM', AGES, second)
end
local bucket = bucket_of(member)
local count, flow = string.match(redis.call('HGET', BUCKETS, bucket) or '', '^(%d+) (%d+)$')
if count and tonumber(count) > 1 then
  redis.call('HSET', BUCKETS, bucket, count - 1 .. ' ' .. flow)
else
  redis.call('HDEL', BUCKETS, bucket)
end
return 1
