-- clear.lua: makes a key clean if its claim stands, its sequence is unchanged and no writer is noted; else queues it again.
-- A lease that ran out since the claim blocks as a live one does: its write may have landed after the home was read.
-- KEYS: see record.lua   ARGV: member, sequence read by the claim, claim   returns: 1 where the key is clean, else 0
local member, sequence, claim = ARGV[1], ARGV[2], ARGV[3]
local record = read_record(member)
if not record then return 1 end
if not holds_claim(record, claim) then return 0 end
local first = first_expiry(read_leases(member))
local unchanged = text(record.sequence) == sequence
if unchanged and not first then
  forget_record(member, record)
  return 1
end
record.attempts = 0
if unchanged and first > NOW then let_job_wait(member, record, first) else queue_job(member, record) end
write_record(member, record)
return 0
