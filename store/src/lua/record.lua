-- record.lua: stands before every script that knows of keys: the clock, the keys, and the only ways to read and queue a key's
-- record. What only some scripts need is in leases.lua and claims.lua: a script pays for each function that stands before it.
-- KEYS of every script, all under the shard's hash tag:
--   dirty (hash): member -> "sequence attempts claim since lane+job request_id"; a member is "<bucket id>/<object key>"
--   buckets (hash): bucket id -> "count flow": its dirty keys, and the flow of its fresh jobs
--   inflight (hash): member -> "lease expiry lease expiry ..."
--   waiting (zset): member by the expiry of the lease it waits for
--   delayed (zset): member by the time of its retry
--   dead (zset): member by the time it was given up;  reasons (hash): member -> why
--   ages (zset): second -> when the first dirty key of that second became dirty;  seconds (hash): second -> count of its dirty keys
--   sequence (string): the last number given out;  turn (string): in two digits each, the stream with which
--     the last claim of large jobs began, and that of the others
--   large..., again..., flow... (streams): an entry for each member that may be claimed or is; each is a queue of its own, and they
--     take turns. large: what a worker has set aside; again: what came back; flows: the rest, each bucket's in one of them
--     A tenant has two streams of each kind and fills no others whatever it writes; who shares one of them has another.
-- A record's job says where the key's only job is: "wait", "retry", "dead", or "<stream>:<entry id>".
-- Its lane is s(mall), or l(arge) once a worker has set it aside. Its claim is the number that the current claim was given, else 0.
-- All times are milliseconds of the Redis server's clock: one clock for every gateway.
local DIRTY, BUCKETS, INFLIGHT, WAITING, DELAYED, DEAD, REASONS, AGES, SECONDS, SEQUENCE, TURN = unpack(KEYS, 1, 11)
-- The first stream of each kind, and how many there are; the large ones are the first of all.
local LARGE, LARGES, AGAIN, AGAINS, FLOW, FLOWS = 12, 4, 16, 4, 20, 8
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
  local sequence, attempts, claim, since, lane, job, request =
    string.match(packed, '^(%d+) (%d+) (%d+) (%d+) (%l)(%S+) (.*)$')
  return {
    sequence = tonumber(sequence), attempts = tonumber(attempts), claim = tonumber(claim), since = tonumber(since),
    lane = lane, job = job, request = request,
  }
end

local function write_record(member, record)
  local head = string.format('%.0f %d %.0f %.0f ', record.sequence, record.attempts, record.claim, record.since)
  redis.call('HSET', DIRTY, member, head .. record.lane .. record.job .. ' ' .. record.request)
end

local function bucket_of(member)
  return string.sub(member, 1, string.find(member, '/', 1, true) - 1)
end

-- The shorter one of the two streams that the bucket's tenant has of `count` from `first` on. The bucket's id ends with its tenant's
-- number, in hex.
local function shorter_stream(bucket, first, count)
  local tenant = tonumber(string.sub(bucket, -4), 16) or 0
  local one = tenant % count
  local other = (one + 1 + math.floor(tenant / count) % (count - 1)) % count
  one, other = first + one, first + other
  local length = redis.call('XLEN', KEYS[one])
  if length == 0 or length <= redis.call('XLEN', KEYS[other]) then return one end
  return other
end

-- A record of a key that was clean; its job still has to be put somewhere.
local function new_record(member)
  local second = math.floor(NOW / 1000)
  if redis.call('HINCRBY', SECONDS, second, 1) == 1 then redis.call('ZADD', AGES, text(NOW), second) end
  local bucket = bucket_of(member)
  local count, flow = string.match(redis.call('HGET', BUCKETS, bucket) or '', '^(%d+) (%d+)$')
  redis.call('HSET', BUCKETS, bucket, (count or 0) + 1 .. ' ' .. (flow or shorter_stream(bucket, FLOW, FLOWS)))
  return { sequence = 0, attempts = 0, claim = 0, since = NOW, lane = 's', job = 'new', request = '' }
end

-- The stream and the entry of a job that may be claimed or is; nil of any other.
local function entry_of(record)
  local stream, id = string.match(record.job, '^(%d+):(.*)$')
  return tonumber(stream), id
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
    local stream, id = entry_of(record)
    redis.call('XACK', KEYS[stream], GROUP, id)
    redis.call('XDEL', KEYS[stream], id)
  end
  record.claim = 0
end

-- A key that comes back (after a failure, or written again meanwhile) queues apart from its bucket's new ones: a burst of
-- those does not keep it waiting, and keys that always come back do not keep those waiting.
local function queue_job(member, record)
  take_job_away(member, record)
  local bucket, stream = bucket_of(member), nil
  if record.lane == 'l' then
    stream = shorter_stream(bucket, LARGE, LARGES)
  elseif record.job == 'new' or record.job == 'wait' then
    stream = tonumber(string.match(redis.call('HGET', BUCKETS, bucket), ' (%d+)$'))
  else
    stream = shorter_stream(bucket, AGAIN, AGAINS)
  end
  record.job = stream .. ':' .. redis.call('XADD', KEYS[stream], '*', 'key', member)
end

-- Raises a key's sequence and sees to it that it is queued, unless it is queued or claimed anyway. What was put off was so for what
-- stood there before.
local function raise(member, request)
  local record = read_record(member) or new_record(member)
  if record.job == 'dead' then record.attempts = 0 end
  if not entry_of(record) then queue_job(member, record) end
  if request ~= '' then record.request = request end
  record.sequence = next_number()
  write_record(member, record)
  return record.sequence
end
