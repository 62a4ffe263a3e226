-- claims.lua: what claims, and what a claim may do; stands behind record.lua.
-- Moved by one script, which blocks the server while it runs.
local DUE_AT_ONCE = 100

local function holds_claim(record, claim)
  return record ~= nil and record.claim ~= 0 and text(record.claim) == claim
end

-- Queues what waited or was delayed long enough.
local function queue_due()
  for _, due in ipairs({ WAITING, DELAYED }) do
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', text(NOW), 'LIMIT', 0, DUE_AT_ONCE)) do
      local record = read_record(member)
      redis.call('ZREM', due, member)
      if record then
        queue_job(member, record)
        write_record(member, record)
      end
    end
  end
end

-- The streams of a lane.
local function streams_of(lane)
  if lane == 'l' then return LARGE, AGAIN - 1 end
  return AGAIN, #KEYS
end
