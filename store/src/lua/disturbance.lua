-- disturbance.lua: what has come to a key beside the write that has marked it. Nothing where its job waits for that write's
-- live lease alone, and it is as marked.
-- KEYS: see record.lua   ARGV: member, sequence, lease name
-- returns: { 0 nobody, 1 nobody now but a worker may get it, 2 a worker has it, 3 other writers; { backends where something may land } }
local member, sequence, lease = ARGV[1], ARGV[2], ARGV[3]
local held, others, late = false, false, {}
for name, expiry in pairs(read_leases(member)) do
  if name == lease then
    held = expiry > NOW
  elseif is_late(name) then
    late[#late + 1] = string.sub(name, 2)
  else
    others = true
  end
end
if others then return { 3, late } end
local record = read_record(member)
if held and record and record.job == 'wait' and text(record.sequence) == sequence then return { 0, late } end
if record and record.claim ~= 0 then return { 2, late } end
return { 1, late }
