-- retry.lua: puts a claimed job off, one attempt more.
-- KEYS: see record.lua   ARGV: member, claim, delay in ms   returns: 1, or 0 where the claim is lost
local member, claim, due = ARGV[1], ARGV[2], NOW + tonumber(ARGV[3])
local record = read_record(member)
if not holds_claim(record, claim) then return 0 end
take_job_away(member, record)
record.job = 'retry'
record.attempts = record.attempts + 1
redis.call('ZADD', DELAYED, text(due), member)
write_record(member, record)
return 1
