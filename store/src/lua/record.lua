-- record.lua: stands before every script that knows of keys: the clock, the keys, and the only ways to read and queue a key's
-- record. What only some scripts need is in leases.lua and claims.lua: a script pays for each function that stands before it.
-- KEYS of every script, all under the shard's hash tag:
--   dirty (hash): member -> "sequence attempts claim since place+lane request_id"; a member is "<bucket id>/<object key>"
--   inflight (hash): member -> "lease expiry lease expiry ..."
--   ready, large (zset): members that may be claimed, by their turn; large: those that a worker has set aside
--   waiting (zset): member by the expiry of the lease it waits for
--   delayed (zset): member by the time of its retry
--   claimed (zset): member by when its claim last showed life
--   dead (zset): member by the time it was given up;  reasons (hash): member -> why
--   ages (zset): second -> when the first dirty key of that second became dirty;  seconds (hash): second -> count of its dirty keys
--   counters (string): "number small large": the last number given out, and the turn that was claimed last in each lane
--   buckets (hash): bucket id -> "count fresh again large": its dirty keys, and the next turn of each of its three flows
-- A record's place says where the key is: r(eady), w(aiting), d(elayed), c(laimed), x for dead; n while it is new.
-- Its lane is s(mall), or l(arge) once a worker has set it aside. Its claim is the number that the current claim was given, else 0.
-- Turns are start-time fair queuing: a flow's next member gets the turn after its last one's, but none that is past; so
-- each bucket has its share of the claims, and its own keys keep their order. Equal turns go by age: the fraction of a turn.
-- All times are milliseconds of the Redis server's clock: one clock for every gateway.
local DIRTY, INFLIGHT, READY, LARGE, WAITING, DELAYED, CLAIMED, DEAD, REASONS, AGES, SECONDS, COUNTERS, BUCKETS =
  unpack(KEYS)
local TIME = redis.call('TIME')
local NOW = TIME[1] * 1000 + math.floor(TIME[2] / 1000)

local function text(number)
  return string.format('%.0f', number)
end

-- What a script reads and writes again and again is kept here until `finish`.
local counters, counted, buckets = nil, false, {}

local function read_counters()
  if not counters then
    local number, small, large = string.match(redis.call('GET', COUNTERS) or '0 0 0', '^(%d+) (%d+) (%d+)$')
    counters = { number = tonumber(number), s = tonumber(small), l = tonumber(large) }
  end
  return counters
end

-- Follows the clock, so that a Redis that lost its last second does not give a number out twice; exact up to 2^53.
local function next_number()
  counted = true
  local now = read_counters()
  now.number = math.max(now.number + 1, TIME[1] * 1000000 + TIME[2])
  return now.number
end

local function bucket_of(member)
  local id = string.sub(member, 1, string.find(member, '/', 1, true) - 1)
  local bucket = buckets[id]
  if not bucket then
    local packed = redis.call('HGET', BUCKETS, id) or '0 0 0 0'
    local count, fresh, again, large = string.match(packed, '^(%d+) (%d+) (%d+) (%d+)$')
    bucket = { count = tonumber(count), fresh = tonumber(fresh), again = tonumber(again), large = tonumber(large) }
    buckets[id] = bucket
  end
  return bucket
end

-- Every script returns through this.
local function finish(answer)
  if counted then
    redis.call('SET', COUNTERS, text(counters.number) .. ' ' .. counters.s .. ' ' .. counters.l)
  end
  for id, bucket in pairs(buckets) do
    if bucket.count <= 0 then
      redis.call('HDEL', BUCKETS, id)
    else
      -- Lua's own text of a number is exact below 10^14.
      local packed = bucket.count .. ' ' .. bucket.fresh .. ' ' .. bucket.again .. ' ' .. bucket.large
      redis.call('HSET', BUCKETS, id, packed)
    end
  end
  return answer
end

local function read_record(member)
  local packed = redis.call('HGET', DIRTY, member)
  if not packed then return nil end
  local sequence, attempts, claim, since, place, lane, request =
    string.match(packed, '^(%d+) (%d+) (%d+) (%d+) (%l)(%l) (.*)$')
  return {
    sequence = tonumber(sequence), attempts = tonumber(attempts), claim = tonumber(claim), since = tonumber(since),
    place = place, lane = lane, request = request,
  }
end

local function write_record(member, record)
  local claim = record.claim == 0 and '0' or text(record.claim)
  local head = text(record.sequence) .. ' ' .. record.attempts .. ' ' .. claim .. ' ' .. record.since
  redis.call('HSET', DIRTY, member, head .. ' ' .. record.place .. record.lane .. ' ' .. record.request)
end

-- Counts a key that became dirty at `since`, or with -1 one that is clean again.
local function count_age(since, change)
  local second = math.floor(since / 1000)
  local left = redis.call('HINCRBY', SECONDS, second, change)
  if left <= 0 then
    redis.call('HDEL', SECONDS, second)
    redis.call('ZREM', AGES, second)
  elseif left == change then
    redis.call('ZADD', AGES, text(since), second)
  end
end

-- A record of a key that was clean; its job still has to be put somewhere.
local function new_record(member)
  count_age(NOW, 1)
  local bucket = bucket_of(member)
  bucket.count = bucket.count + 1
  return { sequence = 0, attempts = 0, claim = 0, since = NOW, place = 'n', lane = 's', request = '' }
end

local function take_job_away(member, record)
  local place = record.place
  if place == 'r' then
    redis.call('ZREM', record.lane == 'l' and LARGE or READY, member)
  elseif place == 'w' then
    redis.call('ZREM', WAITING, member)
  elseif place == 'd' then
    redis.call('ZREM', DELAYED, member)
  elseif place == 'c' then
    redis.call('ZREM', CLAIMED, member)
  elseif place == 'x' then
    redis.call('ZREM', DEAD, member)
    redis.call('HDEL', REASONS, member)
  end
  record.claim = 0
end

-- A key that comes back (after a failure, or written again meanwhile) queues apart from its bucket's new ones: a burst of
-- those does not keep it waiting, and keys that always come back do not keep those waiting.
local function queue_job(member, record)
  take_job_away(member, record)
  local bucket, flow = bucket_of(member), 'again'
  if record.lane == 'l' then
    flow = 'large'
  elseif record.place == 'n' or record.place == 'w' then
    flow = 'fresh'
  end
  local turn = math.max(read_counters()[record.lane], bucket[flow])
  bucket[flow] = turn + 1
  record.place = 'r'
  local age = math.floor(record.since / 10) % 4294967296 / 4294967296
  redis.call('ZADD', record.lane == 'l' and LARGE or READY, string.format('%.17g', turn + age), member)
end

-- Raises a key's sequence and sees to it that it is queued, unless it is queued, claimed or to be tried again anyway.
local function raise(member, request)
  local record = read_record(member) or new_record(member)
  if record.place == 'x' then record.attempts = 0 end
  if record.place == 'n' or record.place == 'x' or record.place == 'w' then queue_job(member, record) end
  if request ~= '' then record.request = request end
  record.sequence = next_number()
  write_record(member, record)
  return record.sequence
end
