-- release.lua: drops the lease of a write that never happened; a key that waited for it only is queued at once.
-- KEYS: see record.lua   ARGV: member, lease name   returns: 1 where the key is dirty, else 0
local member, lease = ARGV[1], ARGV[2]
local leases = read_leases(member)
leases[lease] = nil
write_leases(member, leases)
local record = read_record(member)
if not record then return 0 end
if record.job == 'wait' then
  local first = first_expiry(leases, true)
  if first then let_job_wait(member, record, first) else queue_job(member, record) end
  write_record(member, record)
end
return 1
