-- leases.lua: the writers in flight of a key, for scripts that care; stands behind record.lua.
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

local function let_job_wait(member, record, expiry)
  take_job_away(member, record)
  record.job = 'wait'
  redis.call('ZADD', WAITING, text(expiry), member)
end
