-- intent.lua: notes a key as dirty and takes (or lengthens) one writer's lease, before a write may reach the home.
-- The job of a key that was clean waits for the commit or the lease: until then a worker would find nothing to do.
-- KEYS: see record.lua   ARGV: member, lease name, lease in ms, request id (empty keeps it)   returns: the key's sequence
local member, lease, expiry, request = ARGV[1], ARGV[2], NOW + tonumber(ARGV[3]), ARGV[4]
local leases = read_leases(member)
leases[lease] = expiry
write_leases(member, leases)
local record = read_record(member) or new_record(member)
if record.job == 'dead' then record.attempts = 0 end
if record.job == 'new' or record.job == 'dead' or record.job == 'wait' then
  let_job_wait(member, record, first_expiry(leases))
end
if request ~= '' then record.request = request end
record.sequence = next_number()
write_record(member, record)
return record.sequence
