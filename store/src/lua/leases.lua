-- leases.lua: the writers in flight of a key, for scripts that care; stands behind record.lua.
-- Begins the names under which stands until when something may land at a backend that a worker has sent.
local LATE = '~'
local function is_late(name) return string.sub(name, 1, 1) == LATE end

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

-- The earliest expiry, alive or past; nil where none is noted. of_writers: what a worker has sent does not count.
local function first_expiry(leases, of_writers)
  local first = nil
  for name, expiry in pairs(leases) do
    if not (of_writers and is_late(name)) and (not first or expiry < first) then first = expiry end
  end
  return first
end

local function let_job_wait(member, record, expiry)
  take_job_away(member, record)
  record.job = 'wait'
  redis.call('ZADD', WAITING, text(expiry), member)
end
