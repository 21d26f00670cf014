-- What `Account.ask` of harvester/budget.py does, in one act: news in, verdict out. KEYS[1]: the account, ARGV[1]: the message.
local HOUR, HOUR_STEP, MINUTE, MINUTE_STEP = 3600, 30, 62, 2
local FLYING_LASTS, PLANS_LAST, POLL, FIRST = 5, 90, 0.05, 0.5

local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local held = redis.call('GET', KEYS[1])
local account = held and cjson.decode(held) or {}
local message = cjson.decode(ARGV[1])
local terms = message.terms
for _, name in ipairs({'buckets', 'minute', 'flying', 'plans'}) do account[name] = account[name] or {} end
account.hourly, account.seen = terms.hourly, now

local function given(value)
  if value == cjson.null then return nil end
  return value
end

local function count(steps, step, amount)
  local key = string.format('%d', math.floor(now / step))
  steps[key] = (steps[key] or 0) + amount
end

local function kept(steps, step, per)
  local found = {}
  for key, amount in pairs(steps) do
    if (tonumber(key) + 1) * step > now - per then found[key] = amount end
  end
  return found
end

local function bucket_of(resource)
  local bucket = account.buckets[resource] or {}
  bucket.spent = bucket.spent or {}
  account.buckets[resource] = bucket
  return bucket
end

local function spend(bucket, cost)
  count(bucket.spent, HOUR_STEP, cost)
  if bucket.left then bucket.left = bucket.left - cost end
end

local function hear(bucket, heard)
  local left = given(heard.left)
  bucket.limit = given(heard.limit) or bucket.limit
  if not left or heard.reset < (bucket.reset or 0) then return end
  if heard.reset == (bucket.reset or 0) and bucket.left then left = math.min(left, bucket.left) end
  bucket.left, bucket.reset, bucket.whole = left, heard.reset, now + heard.seconds
end

local function part(amount)
  return math.max(1, amount - math.floor(amount * terms.keeps))
end

local function wait_for(steps, most, step, per)
  local used, numbers = 0, {}
  for key, amount in pairs(steps) do
    used = used + amount
    numbers[#numbers + 1] = tonumber(key)
  end
  if used < most then return 0 end
  table.sort(numbers)
  for _, number in ipairs(numbers) do
    used = used - steps[string.format('%d', number)]
    if used < most then return math.max(0.1, (number + 1) * step + per - now) end
  end
  return per
end

local function look(bucket)
  if now < (bucket.blocked or 0) then return bucket.blocked - now, 'told' end
  local seconds = wait_for(bucket.spent, part(terms.hourly), HOUR_STEP, HOUR)
  if seconds > 0 then return seconds, 'hour' end
  local reserve = bucket.limit and math.min(terms.reserve, math.floor(bucket.limit / 2)) or terms.reserve
  local least = math.max(1, reserve + math.floor((bucket.limit or terms.hourly) * terms.keeps))
  if bucket.left and bucket.left < least then
    if now < bucket.whole then return bucket.whole - now, 'left' end
    bucket.left = nil
  end
  seconds = wait_for(account.minute, part(terms.minute), MINUTE_STEP, MINUTE)
  if seconds > 0 then return seconds, 'minute' end
  local flying = message.flying
  for who, one in pairs(account.flying) do
    if who ~= message.who then flying = flying + one[1] end
  end
  if flying >= part(terms.flying) or (terms.keeps > 0 and now < (account.first or 0)) then
    if terms.keeps == 0 then account.first = now + FIRST end
    return POLL, 'flying'
  end
  return 0, ''
end

for _, bucket in pairs(account.buckets) do
  bucket.spent = kept(bucket.spent or {}, HOUR_STEP, HOUR)
  if bucket.left and bucket.whole <= now - MINUTE then bucket.left = nil end
end
account.minute = kept(account.minute, MINUTE_STEP, MINUTE)
for who, one in pairs(account.flying) do
  if one[1] == 0 or one[2] <= now then account.flying[who] = nil end
end
for who, one in pairs(account.plans) do
  if one[2] <= now then account.plans[who] = nil end
end
for _, news in ipairs(message.news) do
  local bucket = bucket_of(news.resource)
  if news.spent ~= 0 then spend(bucket, news.spent) end
  if given(news.heard) then hear(bucket, news.heard) end
  if news.blocked > 0 then bucket.blocked = math.max(bucket.blocked or 0, now + news.blocked) end
end
account.plans[message.who] = given(message.plan) and {message.plan, now + PLANS_LAST} or nil

local answer, flying = {seconds = 0, why = ''}, message.flying
if message.resource ~= '' then
  local bucket = bucket_of(message.resource)
  local used = 0
  for _, amount in pairs(bucket.spent) do used = used + amount end
  answer.seconds, answer.why = look(bucket)
  answer.used, answer.left, answer.limit = math.max(0, used), bucket.left, bucket.limit
  if answer.why == '' then
    spend(bucket, message.cost)
    count(account.minute, MINUTE_STEP, 1)
    flying = flying + 1
  end
end
account.flying[message.who] = {flying, now + FLYING_LASTS}
redis.call('SET', KEYS[1], cjson.encode(account), 'EX', 2 * HOUR)
return cjson.encode(answer)
