-- claim.lua: gives a consumer jobs: first those whose claim grew stale, then others, the due ones having been queued.
-- The streams of a lane that have any take turns, so that the length of one keeps no other waiting.
-- Leases that ran out are dropped here and nowhere else: their writes have landed or never will, and what landed is
-- seen by this claim, which reads the home only after this script.
-- KEYS: see record.lua   ARGV: lane (s or l), consumer, limit, age in ms at which a claim is stale
-- returns: a list of { member, sequence, attempts, dirty since, request id, claim }
local lane, consumer, limit, stale = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
queue_due()

local jobs = {}
local function give(stream, entry, is_taken_over)
  if not entry then return end
  local id, member = entry[1], entry[2][2]
  local record = read_record(member)
  if not record or record.job ~= stream .. ':' .. id then
    redis.call('XACK', KEYS[stream], GROUP, id)
    redis.call('XDEL', KEYS[stream], id)
    return
  end
  local leases, dropped = read_leases(member), false
  for lease, expiry in pairs(leases) do
    if expiry <= NOW then
      leases[lease] = nil
      dropped = true
    end
  end
  if dropped then write_leases(member, leases) end
  -- A worker that died over a job has failed at it: else a job that kills workers would come back for ever.
  if is_taken_over then record.attempts = record.attempts + 1 end
  record.claim = next_number()
  write_record(member, record)
  jobs[#jobs + 1] = { member, record.sequence, record.attempts, record.since, record.request, text(record.claim) }
end

-- A stream's group is made by whoever misses it, at the stream's beginning.
local function ask(stream, ...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    if not string.find(answer.err, 'NOGROUP', 1, true) then error(answer.err) end
    redis.call('XGROUP', 'CREATE', KEYS[stream], GROUP, '0')
    return redis.call(...)
  end
  return answer
end

local ready = {}
local function add(from, to)
  for stream = from, to do
    if redis.call('XLEN', KEYS[stream]) > 0 then ready[#ready + 1] = stream end
  end
end
-- Each claim begins behind the stream that the lane's last one began with.
local first, last = streams_of(lane)
local place, turn = lane == 'l' and 100 or 1, tonumber(redis.call('GET', TURN) or '0')
local begun = math.floor(turn / place) % 100
local from = math.min(math.max(begun + 1, first), last + 1)
add(from, last)
add(first, from - 1)
if #ready > 0 then redis.call('SET', TURN, text(turn + (ready[1] - begun) * place)) end

for _, stream in ipairs(ready) do
  local cursor = '0-0'
  while #jobs < limit do
    local page = ask(stream, 'XAUTOCLAIM', KEYS[stream], GROUP, consumer, stale, cursor, 'COUNT', limit - #jobs)
    for _, entry in ipairs(page[2]) do give(stream, entry, true) end
    cursor = page[1]
    if cursor == '0-0' then break end
  end
end

while #jobs < limit and #ready > 0 do
  local share, left = math.max(1, math.floor((limit - #jobs) / #ready)), {}
  for _, stream in ipairs(ready) do
    local count = math.min(share, limit - #jobs)
    if count == 0 then break end
    local found = ask(stream, 'XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', count, 'STREAMS', KEYS[stream], '>')
    local entries = found and found[1][2] or {}
    for _, entry in ipairs(entries) do give(stream, entry, false) end
    if #entries == count then left[#left + 1] = stream end
  end
  ready = left
end
return jobs
