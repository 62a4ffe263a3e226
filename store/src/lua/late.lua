-- late.lua: notes that something may land on a key's replicas yet which a worker has sent, whoever has claimed the key by now.
-- As any lease that is noted it blocks a clear; it keeps no writer away, and brings no job forward.
-- KEYS: see record.lua   ARGV: member, for how long in ms   returns: 1
local member, expiry = ARGV[1], NOW + tonumber(ARGV[2])
local leases = read_leases(member)
leases[LATE] = math.max(leases[LATE] or 0, expiry)
write_leases(member, leases)
if not read_record(member) then
  local record = new_record(member)
  let_job_wait(member, record, expiry)
  record.sequence = next_number()
  write_record(member, record)
end
return 1
