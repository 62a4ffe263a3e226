-- retry.lua: puts a claimed job off; one whose key was written meanwhile is queued at once, as if new.
-- KEYS: see record.lua   ARGV: member, sequence read by the claim, claim, delay in ms, attempts to count: 1, or 0 where the job is
-- not to blame   returns: 1, or 0 where the claim is lost
local member, sequence, claim, due, attempts = ARGV[1], ARGV[2], ARGV[3], NOW + tonumber(ARGV[4]), tonumber(ARGV[5])
local record = read_record(member)
if not holds_claim(record, claim) then return 0 end
if text(record.sequence) == sequence then
  record.attempts = record.attempts + attempts
  take_job_away(member, record)
  record.job = 'retry'
  redis.call('ZADD', DELAYED, text(due), member)
else
  -- What was written may be small.
  record.attempts, record.lane = 0, 's'
  queue_job(member, record)
end
write_record(member, record)
return 1
