import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { about, scenario } from '../stage.js';

about('deduplication');

const ONCE = { id: 'k' };

/** A worker that keeps the jobs named `hold`. */
async function holding(s, opts = {}) {
  const gate = s.gate();
  const ran = [];
  await s.work(async ({ name, data }) => {
    ran.push(data.n ?? name);
    if (name === 'hold') await gate.wait();
    if (name === 'bad') throw new Error('bad');
    return name;
  }, opts);
  return { ran, gate };
}

scenario('a second job with the same key is not added', async (s) => {
  const first = await s.add('a', { n: 1 }, { deduplication: ONCE });
  const second = await s.add('a', { n: 2 }, { deduplication: ONCE });
  assert.equal(second.id, first.id);
  const { ran } = await holding(s);
  await s.result(first);
  assert.deepEqual(ran, [1]);
});

for (const [how, name] of [['completed', 'a'], ['failed', 'bad']]) {
  scenario(`a key is free once its job has ${how}`, async (s) => {
    const { ran } = await holding(s);
    const first = await s.add(name, { n: 1 }, { deduplication: ONCE });
    await s.reaches(first, how);
    const second = await s.add('a', { n: 2 }, { deduplication: ONCE });
    assert.notEqual(second.id, first.id);
    await s.result(second);
    assert.deepEqual(ran, [1, 2]);
  });
}

scenario('a key is held while its job runs', async (s) => {
  const { gate } = await holding(s);
  const first = await s.add('hold', {}, { deduplication: ONCE });
  await s.reaches(first, 'active');
  assert.equal((await s.add('a', {}, { deduplication: ONCE })).id, first.id);
  gate.open();
  await s.result(first);
});

scenario('a key is held until the last attempt', async (s) => {
  const job = await s.add('a', {}, { attempts: 2, backoff: 600_000, deduplication: ONCE });
  let fail = true;
  await s.work(async () => { if (fail) throw new Error('once'); });
  await s.reaches(job, 'delayed');
  assert.equal((await s.add('a', {}, { deduplication: ONCE })).id, job.id);
  fail = false;
  await (await s.queue().getJob(job.id)).promote();
  await s.reaches(job, 'completed');
  assert.notEqual((await s.add('a', {}, { deduplication: ONCE })).id, job.id);
});

scenario('a key with a time is held for this time, though its job has ended', async (s) => {
  const deduplication = { id: 'k', ttl: 2500 };
  const { ran } = await holding(s);
  const first = await s.add('a', { n: 1 }, { deduplication });
  await s.result(first);
  assert.equal((await s.add('a', { n: 2 }, { deduplication })).id, first.id);
  await s.until(async () => !await s.connection.exists(s.key('de:k')), 'the time to pass');
  await s.result(await s.add('a', { n: 3 }, { deduplication }));
  assert.deepEqual(ran, [1, 3]);
});

scenario('a key with a time can be extended', async (s) => {
  const deduplication = { id: 'k', ttl: 60_000, extend: true };
  const { ran } = await holding(s);
  const first = await s.add('a', { n: 1 }, { deduplication });
  await s.result(first);
  await s.connection.pexpire(s.key('de:k'), 20_000);
  await s.add('a', { n: 2 }, { deduplication });
  assert.ok(await s.connection.pttl(s.key('de:k')) > 30_000);
  await s.result(await s.add('other', { n: 9 }));
  assert.deepEqual(ran, [1, 9]);
});

scenario('the last job of a debounce runs, and only that one', async (s) => {
  const opts = { delay: 700, deduplication: { id: 'k', ttl: 5000, extend: true, replace: true } };
  const { ran } = await holding(s);
  const jobs = [];
  for (const n of [1, 2, 3]) jobs.push(await s.add('a', { n }, opts));
  await s.result(jobs[2]);
  assert.deepEqual(ran, [3]);
  assert.equal(await s.queue().getJob(jobs[0].id), undefined);
});

scenario('a job that is replaced without a time leaves one that runs', async (s) => {
  const opts = { delay: 500, deduplication: { id: 'k', replace: true } };
  const { ran } = await holding(s);
  await s.add('a', { n: 1 }, opts);
  const last = await s.add('a', { n: 2 }, opts);
  await s.result(last);
  assert.deepEqual(ran, [2]);
});

scenario('what was not added is heard as deduplicated', async (s) => {
  await holding(s);
  const first = await s.add('a', {}, { delay: 600_000, deduplication: ONCE });
  await s.add('a', {}, { deduplication: ONCE });
  const heard = await s.heard('deduplicated', first.id);
  assert.equal(heard.deduplicationId, 'k');
});

scenario('a key can be freed by hand', async (s) => {
  const { ran } = await holding(s);
  const first = await s.add('a', { n: 1 }, { delay: 300, deduplication: ONCE });
  assert.equal(await s.queue().getDeduplicationJobId('k'), first.id);
  assert.equal(await s.queue().removeDeduplicationKey('k'), 1);
  const second = await s.add('a', { n: 2 }, { deduplication: ONCE });
  await s.results([first, second]);
  assert.deepEqual(ran.toSorted(), [1, 2]);
});

scenario('a job frees its key, and not that of another', async (s) => {
  const first = await s.add('a', {}, { deduplication: ONCE });
  assert.ok(await first.removeDeduplicationKey());
  const second = await s.add('a', {}, { deduplication: ONCE });
  await first.removeDeduplicationKey();
  assert.equal(await s.queue().getDeduplicationJobId('k'), second.id);
  const { ran } = await holding(s);
  await s.results([first, second]);
  assert.equal(ran.length, 2);
});

scenario('removing a job frees its key', async (s) => {
  const { ran } = await holding(s);
  const first = await s.add('a', { n: 1 }, { delay: 600_000, deduplication: { id: 'k', ttl: 60_000 } });
  await first.remove();
  await s.result(await s.add('a', { n: 2 }, { deduplication: ONCE }));
  assert.deepEqual(ran, [2]);
});

scenario('keys of other names do not matter', async (s) => {
  const { ran } = await holding(s);
  const jobs = [];
  for (const n of [1, 2, 3]) jobs.push(await s.add('a', { n }, { deduplication: { id: `k${n}` } }));
  await s.results(jobs);
  assert.deepEqual(ran, [1, 2, 3]);
});

about('keeping the last job');

const KEEP = { deduplication: { id: 'k', keepLastIfActive: true } };

scenario('a job that comes while another runs is run after it', async (s) => {
  const { ran, gate } = await holding(s);
  const first = await s.add('hold', { n: 1 }, KEEP);
  await s.reaches(first, 'active');
  await s.add('a', { n: 2 }, KEEP);
  gate.open();
  await s.until(() => ran.length === 2, 'the second to run');
  assert.deepEqual(ran, [1, 2]);
});

scenario('of those that come while another runs, the last is run', async (s) => {
  const { ran, gate } = await holding(s);
  const first = await s.add('hold', { n: 1 }, KEEP);
  await s.reaches(first, 'active');
  for (const n of [2, 3, 4]) await s.add('a', { n }, KEEP);
  gate.open();
  await s.until(() => ran.includes(4), 'the last to run');
  await s.until(async () => await s.queue().getCompletedCount() === 2, 'two to complete');
  assert.deepEqual(ran, [1, 4]);
});

scenario('jobs with one key do not run at the same time', async (s) => {
  let now = 0;
  let most = 0;
  const done = [];
  await s.work(async ({ data }) => {
    now += 1;
    most = Math.max(most, now);
    await sleep(40);
    now -= 1;
    done.push(data.n);
  }, { concurrency: 5 });
  for (let n = 0; n < 20; n += 1) {
    await s.add('a', { n }, KEEP);
    await sleep(15);
  }
  await s.until(() => done.includes(19), 'the last to run');
  assert.equal(most, 1);
});

scenario('the kept job runs if the running one fails for good', async (s) => {
  const gate = s.gate();
  const ran = [];
  await s.work(async ({ data }) => {
    ran.push(data.n);
    if (data.n === 1) { await gate.wait(); throw new Error('bad'); }
  });
  const first = await s.add('a', { n: 1 }, KEEP);
  await s.reaches(first, 'active');
  await s.add('a', { n: 2 }, KEEP);
  gate.open();
  await s.until(() => ran.includes(2), 'the kept job to run');
  assert.equal(await s.queue().getJobState(first.id), 'failed');
});

scenario('the kept job runs after the retries of the running one', async (s) => {
  const gate = s.gate();
  const ran = [];
  await s.work(async ({ data, attemptsMade }) => {
    ran.push(`${data.n}.${attemptsMade}`);
    if (data.n === 1 && attemptsMade === 0) { await gate.wait(); throw new Error('once'); }
  });
  const first = await s.add('a', { n: 1 }, { ...KEEP, attempts: 2 });
  await s.reaches(first, 'active');
  await s.add('a', { n: 2 }, KEEP);
  gate.open();
  await s.until(() => ran.includes('2.0'), 'the kept job to run');
  assert.deepEqual(ran, ['1.0', '1.1', '2.0']);
});

scenario('the kept job has its own delay', async (s) => {
  const { ran, gate } = await holding(s);
  const first = await s.add('hold', { n: 1 }, KEEP);
  await s.reaches(first, 'active');
  await s.add('a', { n: 2 }, { ...KEEP, delay: 300 });
  gate.open();
  await s.until(() => ran.includes(2), 'the kept job to run');
});

scenario('the kept job waits in a paused queue', async (s) => {
  const { ran, gate } = await holding(s);
  const first = await s.add('hold', { n: 1 }, KEEP);
  await s.reaches(first, 'active');
  await s.add('a', { n: 2 }, KEEP);
  await s.queue().pause();
  gate.open();
  await s.reaches(first, 'completed');
  await s.until(async () => await s.queue().getWaitingCount() === 1, 'the kept job to wait');
  assert.deepEqual(ran, [1]);
  await s.queue().resume();
  await s.until(() => ran.includes(2), 'the kept job to run');
});
