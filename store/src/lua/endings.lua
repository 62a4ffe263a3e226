-- endings.lua: how a claim ends on a key that is not clean; stands behind leases.lua and claims.lua.
-- After a claim has ended: a key that was written meanwhile is queued, one that a writer is still noted for waits for it.
local function queue_again(member, record, is_unchanged, first)
  record.attempts = 0
  if is_unchanged and first and first > NOW then
    let_job_wait(member, record, first)
  else
    -- What was written may be small.
    if not is_unchanged then record.lane = 's' end
    queue_job(member, record)
  end
  write_record(member, record)
end
