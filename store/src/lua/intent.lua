-- intent.lua: notes a key as dirty and takes (or lengthens) one writer's lease, before a write may reach the home.
-- The job of a key that was clean, or put off, waits for the commit or the lease: until then a worker would find nothing to do.
-- A lease whose name begins with "!" allows no other beside it, and is taken beside no other.
-- KEYS: see record.lua   ARGV: member, lease name, lease in ms, request id (empty keeps it), 1 to lengthen: one that is alone must be noted yet
-- returns: the key's sequence, or 0 where a live lease keeps this one away
local member, lease, expiry, request = ARGV[1], ARGV[2], NOW + tonumber(ARGV[3]), ARGV[4]
local leases = read_leases(member)
local is_renewal = ARGV[5] == '1'
local function is_alone(name) return string.sub(name, 1, 1) == '!' end
for other, ends in pairs(leases) do
  if other ~= lease and not is_late(other) and ends > NOW and (is_alone(lease) or is_alone(other)) then return 0 end
end
if is_renewal and is_alone(lease) and not leases[lease] then return 0 end
local has_stood = leases[lease] and leases[lease] > NOW
leases[lease] = expiry
write_leases(member, leases)
local record = read_record(member) or new_record(member)
-- A key that waits is in no worker's hands, nor was it when this lease was taken: it goes on waiting.
local is_undisturbed = is_renewal and has_stood and record.job == 'wait'
if record.job == 'dead' then record.attempts = 0 end
if not entry_of(record) then
  let_job_wait(member, record, first_expiry(leases, true))
end
if request ~= '' then record.request = request end
if not is_undisturbed then record.sequence = next_number() end
write_record(member, record)
return record.sequence
