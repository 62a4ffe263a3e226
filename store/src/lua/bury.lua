-- bury.lua: makes a claimed job a dead letter; one that was written meanwhile is queued again instead, as if new.
-- KEYS: see record.lua   ARGV: member, sequence read by the claim, claim, reason   returns: 1 where it is dead, else 0
local member, sequence, claim, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local record = read_record(member)
if not holds_claim(record, claim) then return 0 end
local first = first_expiry(read_leases(member), true)
local is_unchanged = text(record.sequence) == sequence
if first or not is_unchanged then
  queue_again(member, record, is_unchanged, first)
  return 0
end
take_job_away(member, record)
record.job = 'dead'
record.attempts = record.attempts + 1
redis.call('ZADD', DEAD, text(NOW), member)
redis.call('HSET', REASONS, member, reason)
write_record(member, record)
return 1
