-- extend.lua: makes a claim young again, if it still stands.
-- KEYS: see record.lua   ARGV: member, claim, consumer   returns: 1, or 0 where the claim is lost
local member, claim, consumer = ARGV[1], ARGV[2], ARGV[3]
local record = read_record(member)
if not holds_claim(record, claim) then return 0 end
local stream, id = entry_of(record)
redis.call('XCLAIM', KEYS[stream], GROUP, consumer, 0, id, 'JUSTID')
return 1
