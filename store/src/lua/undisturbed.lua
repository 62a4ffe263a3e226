-- undisturbed.lua: whether a key waits for one live lease alone, and is as that lease's write has marked it.
-- KEYS: see record.lua   ARGV: member, sequence, lease name   returns: 1 or 0
local member, sequence, lease = ARGV[1], ARGV[2], ARGV[3]
local record = read_record(member)
if not record or record.job ~= 'wait' or text(record.sequence) ~= sequence then return 0 end
local held = false
for name, expiry in pairs(read_leases(member)) do
  if name ~= lease or expiry <= NOW then return 0 end
  held = true
end
return held and 1 or 0
