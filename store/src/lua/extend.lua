-- extend.lua: makes a claim young again, if it still stands.
-- KEYS: see record.lua   ARGV: member, claim   returns: 1, or 0 where the claim is lost
local member, claim = ARGV[1], ARGV[2]
if not holds_claim(read_record(member), claim) then return 0 end
redis.call('ZADD', CLAIMED, text(NOW), member)
return 1
