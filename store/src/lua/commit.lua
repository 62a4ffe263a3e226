-- commit.lua: raises a key's sequence, drops one writer's lease, and sees to it that a job is queued.
-- Without a lease it marks a key that no write is in flight for.
-- KEYS: see record.lua   ARGV: member, lease name or empty, request id (empty keeps it)   returns: the key's sequence
local member, lease, request = ARGV[1], ARGV[2], ARGV[3]
if lease ~= '' then
  local leases = read_leases(member)
  leases[lease] = nil
  write_leases(member, leases)
end
local record = read_record(member) or new_record(member)
if record.job == 'dead' then record.attempts = 0 end
if record.job == 'new' or record.job == 'dead' or record.job == 'wait' then queue_job(member, record) end
if request ~= '' then record.request = request end
record.sequence = next_number()
write_record(member, record)
return record.sequence
