-- extend.lua: makes a claim young again, if it still stands.
-- KEYS: see record.lua   ARGV: member, claim, consumer   returns: 1, or 0 where the claim is lost
local member, claim, consumer = ARGV[1], ARGV[2], ARGV[3]
local record = read_record(member)
if not holds_claim(record, claim) then return 0 end
redis.call('XCLAIM', JOBS, GROUP, consumer, 0, record.job, 'JUSTID')
return 1
