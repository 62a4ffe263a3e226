-- conducted.lua: stands before a script in a simulation: what a server takes from its own clock is as the schedule has it (TIME,
-- expiries, for how long an entry has been pending), and so is its run id.
-- ARGV: the script's own, then the time in microseconds, then the run id
local RUN_ID, MICROS = table.remove(ARGV), tonumber(table.remove(ARGV))
local MILLIS = math.floor(MICROS / 1000)
-- Hashes: "<stream> <entry id>" -> when it was given to a consumer; key -> when it runs out.
local GIVEN, ENDS = 'simulated:given', 'simulated:ends'
local server = redis
local conducted = {}

local function digits(number)
  return string.format('%.0f', number)
end

local function give(ask, stream, id)
  ask('HSET', GIVEN, stream .. ' ' .. id, digits(MILLIS))
end

-- Up to `most` entries that have been pending for so long; or the server's error.
local function stale(ask, stream, group, idle, most)
  local pending, found = ask('XPENDING', stream, group, '-', '+', 1000), {}
  if pending.err then return pending end
  for _, entry in ipairs(pending) do
    local since = tonumber(ask('HGET', GIVEN, stream .. ' ' .. entry[1]))
    if #found < most and MILLIS - since >= tonumber(idle) then found[#found + 1] = entry end
  end
  return found
end

function conducted.TIME()
  return { digits(math.floor(MICROS / 1000000)), digits(MICROS % 1000000) }
end

function conducted.INFO()
  return 'run_id:' .. RUN_ID
end

function conducted.SET(ask, key, value, _, lasts)
  if lasts then ask('HSET', ENDS, key, digits(MILLIS + lasts)) end
  return ask('SET', key, value)
end

function conducted.GET(ask, key)
  local ends = ask('HGET', ENDS, key)
  if ends and tonumber(ends) <= MILLIS then
    ask('HDEL', ENDS, key)
    ask('DEL', key)
  end
  return ask('GET', key)
end

function conducted.XREADGROUP(ask, ...)
  local answer = ask('XREADGROUP', ...)
  if answer and not answer.err then
    for _, entry in ipairs(answer[1][2]) do give(ask, answer[1][1], entry[1]) end
  end
  return answer
end

function conducted.XPENDING(ask, stream, group, form, idle, _, _, most)
  if form ~= 'IDLE' then return ask('XPENDING', stream, group) end
  return stale(ask, stream, group, idle, most)
end

function conducted.XAUTOCLAIM(ask, stream, group, consumer, idle, _, _, most)
  local found, entries = stale(ask, stream, group, idle, most), {}
  if found.err then return found end
  for _, entry in ipairs(found) do
    give(ask, stream, entry[1])
    entries[#entries + 1] = ask('XCLAIM', stream, group, consumer, 0, entry[1])[1]
  end
  return { '0-0', entries }
end

function conducted.XCLAIM(ask, stream, group, consumer, idle, id, ...)
  give(ask, stream, id)
  return ask('XCLAIM', stream, group, consumer, idle, id, ...)
end

local function conduct(ask)
  return function(command, ...)
    if conducted[command] then return conducted[command](ask, ...) end
    return ask(command, ...)
  end
end
local redis = { call = conduct(server.call), pcall = conduct(server.pcall) }
