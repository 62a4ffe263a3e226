-- commit.lua: raises a key's sequence, drops one writer's lease, and sees to it that a job is queued.
-- KEYS: see record.lua   ARGV: member, lease name, request id (empty keeps it)   returns: the key's sequence
local member, lease, request = ARGV[1], ARGV[2], ARGV[3]
local leases = read_leases(member)
leases[lease] = nil
write_leases(member, leases)
return raise(member, request)
