-- Takes a worker id if nobody holds it, and raises its fence.
-- KEYS: lease, fence, floor.
-- ARGV: token, ttl_ms, now_ms, fence_ms, after_loss_ms, run_id, asked_ms, patience_ms, worker_id.
-- Replies {from_ms, fence_ms, place_ms, lost}, or nothing if somebody holds it, or an error if it is read too late.
-- `lost` is 1 if all fences may have been lost, 2 if this one was, else 0. Writes the fence first: should memory end
-- between two writes, there is a fence without a holder and never a holder without a fence.
local function number(value, name)
  if not value then return nil end
  return tonumber(value) or error('the ' .. name .. ' is not a number')
end
local time = redis.call('TIME')
local place_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- The wait after a loss counts from now_ms. A holder may have raised its fence since then, and before the loss.
if place_ms - tonumber(ARGV[7]) > tonumber(ARGV[8]) then return redis.error_reply('LATE the question came too late') end
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local had = 'had:' .. ARGV[9]
local found = redis.call('HMGET', KEYS[3], 'run', 'fence', had)
local floor = number(found[2], 'floor') or 0
local stored = number(redis.call('GET', KEYS[2]), 'fence')
local lost = 0
if found[1] ~= ARGV[6] then
  -- Never seen before, emptied, or another run of Redis: fences may have been lost.
  lost = 1
  floor = math.max(floor, tonumber(ARGV[5]))
  redis.call('HSET', KEYS[3], 'run', ARGV[6], 'fence', string.format('%.0f', floor))
end
if not stored and found[3] then
  -- It had a fence, so this one key was deleted, or evicted for want of memory.
  lost = math.max(lost, 2)
  stored = tonumber(ARGV[5])
elseif floor > tonumber(ARGV[3]) and floor > (stored or 0) then
  -- Somebody found out before us, and it has not passed.
  lost = 1
end
local from = math.max(tonumber(ARGV[3]), floor, stored or 0)
local fence = math.max(tonumber(ARGV[4]), stored or 0)
redis.call('SET', KEYS[2], string.format('%.0f', fence))
if not found[3] then redis.call('HSET', KEYS[3], had, 1) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {from, fence, place_ms, lost}
