-- late.lua: notes that something may land at backends yet which a worker has sent for a key, whoever has claimed the key by now.
-- As any lease that is noted it blocks a clear; it keeps no writer away, and brings no job forward.
-- KEYS: see record.lua   ARGV: member, for how long in ms, backends   returns: 1
local member, expiry = ARGV[1], NOW + tonumber(ARGV[2])
local leases = read_leases(member)
for at = 3, #ARGV do
  local name = LATE .. ARGV[at]
  leases[name] = math.max(leases[name] or 0, expiry)
end
write_leases(member, leases)
if not read_record(member) then
  local record = new_record(member)
  let_job_wait(member, record, expiry)
  record.sequence = next_number()
  write_record(member, record)
end
return 1
