-- record.lua: stands before every other script: the clock, the keys, and the only ways to read and move a key's record.
-- KEYS of every script, all under the shard's hash tag:
--   dirty (hash): member -> "sequence attempts claim job request_id"; a member is "<bucket id>/<object key>"
--   since (zset): member by the time it became dirty
--   inflight (hash): member -> "lease expiry lease expiry ..."
--   jobs (stream): one entry for each dirty key that is neither waiting, delayed nor dead
--   waiting (zset): member by the expiry of the lease it waits for
--   delayed (zset): member by the time of its retry
--   dead (zset): member by the time it was given up;  reasons (hash): member -> why
--   sequence (string): last number given out;  buckets (hash): bucket id -> count of its dirty keys
-- A record's job says where the key's only job is: "wait", "retry", "dead", or the id of its stream entry.
-- A record's claim is the number that the current claim was given, 0 where nobody holds one.
-- All times are milliseconds of the Redis server's clock: one clock for every gateway.
local DIRTY, SINCE, INFLIGHT, JOBS, WAITING, DELAYED, DEAD, REASONS, SEQUENCE, BUCKETS = unpack(KEYS)
local GROUP = 'workers'
local TIME = redis.call('TIME')
local NOW = TIME[1] * 1000 + math.floor(TIME[2] / 1000)

local function text(number)
  return string.format('%.0f', number)
end

-- Follows the clock, so that a Redis that lost its last second does not give a number out twice; exact up to 2^53.
local function next_number()
  local last = tonumber(redis.call('GET', SEQUENCE) or '0')
  local number = math.max(last + 1, TIME[1] * 1000000 + TIME[2])
  redis.call('SET', SEQUENCE, text(number))
  return number
end

local function read_record(member)
  local packed = redis.call('HGET', DIRTY, member)
  if not packed then return nil end
  local sequence, attempts, claim, job, request = string.match(packed, '^(%d+) (%d+) (%d+) (%S+) (.*)$')
  return {
    sequence = tonumber(sequence), attempts = tonumber(attempts), claim = tonumber(claim), job = job, request = request,
  }
end

local function write_record(member, record)
  redis.call('HSET', DIRTY, member, table.concat({
    text(record.sequence), text(record.attempts), text(record.claim), record.job, record.request,
  }, ' '))
end

local function bucket_of(member)
  return string.sub(member, 1, string.find(member, '/', 1, true) - 1)
end

-- A record of a key that was clean; its job still has to be put somewhere.
local function new_record(member)
  redis.call('ZADD', SINCE, text(NOW), member)
  redis.call('HINCRBY', BUCKETS, bucket_of(member), 1)
  return { sequence = 0, attempts = 0, claim = 0, job = 'new', request = '' }
end

local function take_job_away(member, record)
  if record.job == 'wait' then
    redis.call('ZREM', WAITING, member)
  elseif record.job == 'retry' then
    redis.call('ZREM', DELAYED, member)
  elseif record.job == 'dead' then
    redis.call('ZREM', DEAD, member)
    redis.call('HDEL', REASONS, member)
  elseif record.job ~= 'new' then
    redis.call('XACK', JOBS, GROUP, record.job)
    redis.call('XDEL', JOBS, record.job)
  end
  record.claim = 0
end

local function queue_job(member, record)
  take_job_away(member, record)
  record.job = redis.call('XADD', JOBS, '*', 'key', member)
end

local function let_job_wait(member, record, expiry)
  take_job_away(member, record)
  record.job = 'wait'
  redis.call('ZADD', WAITING, text(expiry), member)
end

local function forget_record(member, record)
  take_job_away(member, record)
  redis.call('HDEL', DIRTY, member)
  redis.call('ZREM', SINCE, member)
  local bucket = bucket_of(member)
  if redis.call('HINCRBY', BUCKETS, bucket, -1) <= 0 then redis.call('HDEL', BUCKETS, bucket) end
end

local function read_leases(member)
  local leases = {}
  local packed = redis.call('HGET', INFLIGHT, member)
  if packed then
    for lease, expiry in string.gmatch(packed, '(%S+) (%d+)') do leases[lease] = tonumber(expiry) end
  end
  return leases
end

local function write_leases(member, leases)
  local parts = {}
  for lease, expiry in pairs(leases) do parts[#parts + 1] = lease .. ' ' .. text(expiry) end
  if #parts == 0 then
    redis.call('HDEL', INFLIGHT, member)
  else
    redis.call('HSET', INFLIGHT, member, table.concat(parts, ' '))
  end
end

-- The earliest expiry, alive or past; nil where no writer is noted.
local function first_expiry(leases)
  local first = nil
  for _, expiry in pairs(leases) do
    if not first or expiry < first then first = expiry end
  end
  return first
end

local function holds_claim(record, claim)
  return record ~= nil and record.claim ~= 0 and text(record.claim) == claim
end
