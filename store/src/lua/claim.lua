-- claim.lua: gives a worker jobs: first those whose claim grew stale, then others in their turn, the due ones having been queued.
-- Leases that ran out are dropped here and nowhere else: their writes have landed or never will, and what landed is
-- seen by this claim, which reads the home only after this script.
-- KEYS: see record.lua   ARGV: lane (s or l), limit, age in ms at which a claim is stale
-- returns: a list of { member, sequence, attempts, dirty since, request id, claim }
local lane, limit, stale = ARGV[1], tonumber(ARGV[2]), NOW - tonumber(ARGV[3])
queue_due()

local jobs = {}
local function give(member, is_taken_over)
  local record = read_record(member)
  if not record then return end
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
  record.place = 'c'
  record.claim = next_number()
  redis.call('ZADD', CLAIMED, text(NOW), member)
  write_record(member, record)
  jobs[#jobs + 1] = { member, record.sequence, record.attempts, record.since, record.request, text(record.claim) }
end

if limit > 0 then
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', CLAIMED, '-inf', text(stale), 'LIMIT', 0, limit)) do
    give(member, true)
  end
end
if #jobs < limit then
  local popped = redis.call('ZPOPMIN', lane == 'l' and LARGE or READY, limit - #jobs)
  for at = 1, #popped, 2 do
    pass_turn(lane, math.floor(tonumber(popped[at + 1])))
    give(popped[at], false)
  end
end
return finish(jobs)
