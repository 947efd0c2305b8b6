/** Looks for jobs that are in no list, in several, or only in lists: once all workers have ended. */
const LISTS = ['wait', 'paused', 'active'];
const SETS = ['prioritized', 'delayed', 'waiting-children', 'completed', 'failed'];

async function keysLike(redis, pattern) {
  const keys = new Set();
  let cursor = '0';
  do {
    const [next, some] = await redis.scan(cursor, 'MATCH', pattern, 'COUNT', 1000);
    some.forEach((key) => keys.add(key));
    cursor = next;
  } while (cursor !== '0');
  return keys;
}

/** Returns the keys of jobs, each with the number of its places in a queue's lists and sets. */
async function places(redis, base) {
  const ids = (await Promise.all([
    ...LISTS.map((list) => redis.lrange(base + list, 0, -1)),
    ...SETS.map((set) => redis.zrange(base + set, 0, -1)),
  ])).flat().filter((id) => !id.startsWith('0:'));
  const counts = new Map();
  for (const id of ids) counts.set(base + id, (counts.get(base + id) ?? 0) + 1);
  return counts;
}

/** Returns what is wrong, as sentences. */
export async function audit(redis, pattern) {
  const wrong = [];
  const keys = await keysLike(redis, pattern);
  const bases = [...keys].filter((key) => key.endsWith(':meta')).map((key) => key.slice(0, -4));
  for (const base of bases) {
    const counts = await places(redis, base);
    for (const [key, count] of counts) {
      if (count > 1) wrong.push(`${key} is in ${count} places`);
      if (!keys.has(key)) wrong.push(`${key} is listed, and does not exist`);
    }
    for (const key of keys) {
      if (!key.startsWith(base) || counts.has(key)) continue;
      if (await redis.type(key) === 'hash' && await redis.hexists(key, 'timestamp')) {
        wrong.push(`${key} is in no list`);
      }
    }
  }
  return wrong;
}
