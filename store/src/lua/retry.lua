-- retry.lua: puts a claimed job off.
-- KEYS: see record.lua   ARGV: member, claim, delay in ms, attempts to count: 1, or 0 where the job is not to blame
-- returns: 1, or 0 where the claim is lost
local member, claim, due, attempts = ARGV[1], ARGV[2], NOW + tonumber(ARGV[3]), tonumber(ARGV[4])
local record = read_record(member)
if not holds_claim(record, claim) then return 0 end
take_job_away(member, record)
record.job = 'retry'
record.attempts = record.attempts + attempts
redis.call('ZADD', DELAYED, text(due), member)
write_record(member, record)
return 1
