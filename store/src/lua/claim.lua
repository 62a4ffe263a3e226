-- claim.lua: gives a consumer jobs: first those whose claim grew stale, then new ones, the due ones having been queued.
-- Leases that ran out are dropped here and nowhere else: their writes have landed or never will, and what landed is
-- seen by this claim, which reads the home only after this script.
-- KEYS: see record.lua   ARGV: consumer, limit, age in ms at which a claim is stale
-- returns: a list of { member, sequence, attempts, dirty since, request id, claim }
local consumer, limit, stale = ARGV[1], tonumber(ARGV[2]), ARGV[3]

for _, due in ipairs({ WAITING, DELAYED }) do
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', text(NOW), 'LIMIT', 0, limit)) do
    local record = read_record(member)
    redis.call('ZREM', due, member)
    if record then
      queue_job(member, record)
      write_record(member, record)
    end
  end
end

local jobs = {}
local function claim_entry(entry, taken_over)
  if not entry then return end
  local id, member = entry[1], entry[2][2]
  local record = read_record(member)
  if not record or record.job ~= id then
    redis.call('XACK', JOBS, GROUP, id)
    redis.call('XDEL', JOBS, id)
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
  if taken_over then record.attempts = record.attempts + 1 end
  record.claim = next_number()
  write_record(member, record)
  local since = tonumber(redis.call('ZSCORE', SINCE, member) or NOW)
  jobs[#jobs + 1] = { member, record.sequence, record.attempts, since, record.request, text(record.claim) }
end

local cursor = '0-0'
repeat
  local page = redis.pcall('XAUTOCLAIM', JOBS, GROUP, consumer, stale, cursor, 'COUNT', limit - #jobs)
  if page.err then
    if not string.find(page.err, 'NOGROUP', 1, true) then return page end
    redis.call('XGROUP', 'CREATE', JOBS, GROUP, '0', 'MKSTREAM')
    break
  end
  cursor = page[1]
  for _, entry in ipairs(page[2]) do claim_entry(entry, true) end
until cursor == '0-0' or #jobs >= limit

if #jobs < limit then
  local fresh = redis.call('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', limit - #jobs, 'STREAMS', JOBS, '>')
  if fresh then
    for _, entry in ipairs(fresh[1][2]) do claim_entry(entry, false) end
  end
end
return jobs
