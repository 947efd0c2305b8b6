/** Ten bytes as JSON, the same for every peer. */
const PAYLOAD = { p: 'xy' };

/** Add `count` no-op jobs, `chunk` a call, and return their ids. */
export async function addJobs(queue, count, chunk) {
  const ids = [];
  for (let left = count; left > 0; left -= chunk) {
    const jobs = Array.from({ length: Math.min(chunk, left) }, () => ({
      name: 'noop',
      data: PAYLOAD,
    }));
    for (const job of await queue.addBulk(jobs)) ids.push(job.id);
  }
  return ids;
}

/** Add one no-op job. */
export function addJob(queue) {
  return queue.add('noop', PAYLOAD);
}
