-- set_aside.lua: moves a claimed job to the lane of the large ones.
-- KEYS: see record.lua   ARGV: member, claim   returns: 1, or 0 where the claim is lost
local member, claim = ARGV[1], ARGV[2]
local record = read_record(member)
if not holds_claim(record, claim) then return 0 end
record.lane = 'l'
queue_job(member, record)
write_record(member, record)
return 1
