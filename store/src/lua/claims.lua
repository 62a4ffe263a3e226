-- claims.lua: what claims, and what a claim may do; stands behind record.lua.
-- Moved by one script, which blocks the server while it runs.
local DUE_AT_ONCE = 100

local function holds_claim(record, claim)
  return record ~= nil and record.claim ~= 0 and text(record.claim) == claim
end

-- Turns up to this one have been claimed.
local function pass_turn(lane, turn)
  counted = true
  local now = read_counters()
  now[lane] = math.max(now[lane], turn)
end

local function delay_job(member, record, due)
  take_job_away(member, record)
  record.place = 'd'
  redis.call('ZADD', DELAYED, text(due), member)
end

local function forget_record(member, record)
  take_job_away(member, record)
  redis.call('HDEL', DIRTY, member)
  count_age(record.since, -1)
  local bucket = bucket_of(member)
  bucket.count = bucket.count - 1
end

-- Queues what waited or was delayed long enough.
local function queue_due()
  for _, due in ipairs({ WAITING, DELAYED }) do
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', text(NOW), 'LIMIT', 0, DUE_AT_ONCE)) do
      local record = read_record(member)
      if record then
        queue_job(member, record)
        write_record(member, record)
      else
        redis.call('ZREM', due, member)
      end
    end
  end
end
