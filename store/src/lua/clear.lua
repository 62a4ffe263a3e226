-- clear.lua: makes a key clean if its claim stands, its sequence is unchanged and no writer is noted; else queues it again.
-- A lease that ran out since the claim blocks as a live one does: its write may have landed after the home was read.
-- KEYS: see record.lua   ARGV: member, sequence read by the claim, claim   returns: 1 where the key is clean, else 0
local member, sequence, claim = ARGV[1], ARGV[2], ARGV[3]
local record = read_record(member)
if not record then return 1 end
if not holds_claim(record, claim) then return 0 end
local first = first_expiry(read_leases(member))
local is_unchanged = text(record.sequence) == sequence
if is_unchanged and not first then
  forget_record(member, record)
  return finish(1)
end
queue_again(member, record, is_unchanged, first)
return finish(0)
