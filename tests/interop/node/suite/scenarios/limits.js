import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { RateLimitError, Worker } from 'bullmq';

import { about, scenario } from '../stage.js';

about('concurrency');

/** Counts how many jobs run at once. */
function meter(ms = 30) {
  const seen = { now: 0, most: 0, all: 0 };
  const processor = async () => {
    seen.now += 1;
    seen.all += 1;
    seen.most = Math.max(seen.most, seen.now);
    await sleep(ms);
    seen.now -= 1;
  };
  return [seen, processor];
}

const many = (s, length, opts = {}) => s.queue().addBulk(
  Array.from({ length }, (_, n) => ({ name: `${n}`, data: { n }, opts })),
);

scenario('one job runs at a time unless told otherwise', async (s) => {
  const [seen, processor] = meter(5);
  const jobs = await many(s, 15);
  await s.work(processor);
  await s.results(jobs);
  assert.equal(seen.most, 1);
});

scenario('as many jobs run at once as the concurrency, and no more', async (s) => {
  const gate = s.gate();
  let now = 0;
  const jobs = await many(s, 12);
  await s.work(async () => { now += 1; await gate.wait(); }, { concurrency: 4 });
  await s.until(() => now === 4, 'four jobs to run');
  await sleep(200);
  assert.equal(now, 4);
  assert.equal(await s.queue().getActiveCount(), 4);
  gate.open();
  await s.results(jobs);
});

scenario('a slot that is free is filled while others are busy', async (s) => {
  const gate = s.gate();
  await s.work(async ({ name }) => { if (name === 'long') await gate.wait(); return name; }, {
    concurrency: 2,
  });
  const long = await s.add('long');
  for (const name of ['a', 'b', 'c']) assert.equal(await s.result(await s.add(name)), name);
  gate.open();
  await s.result(long);
});

scenario('a concurrency can be changed while the worker runs', async (s) => {
  const gate = s.gate();
  let now = 0;
  const jobs = await many(s, 8);
  const worker = await s.work(async () => { now += 1; await gate.wait(); }, { concurrency: 2 });
  await s.until(() => now === 2, 'two jobs to run');
  worker.concurrency = 4;
  gate.open();
  await s.results(jobs);
  assert.equal(worker.concurrency, 4);
});

scenario('the concurrency of a queue holds for all of its workers', async (s) => {
  const [seen, processor] = meter();
  await s.queue().setGlobalConcurrency(2);
  const jobs = await many(s, 16);
  for (let n = 0; n < 3; n += 1) await s.work(processor, { concurrency: 4 });
  await s.results(jobs);
  assert.equal(seen.most, 2);
});

scenario('a queue with a concurrency of one runs jobs in order, on two workers', async (s) => {
  const order = [];
  await s.queue().setGlobalConcurrency(1);
  const jobs = await many(s, 12);
  const processor = async ({ data }) => { order.push(data.n); await sleep(5); };
  await s.work(processor);
  await s.work(processor);
  await s.results(jobs);
  assert.deepEqual(order, [...Array(12).keys()]);
});

scenario('a worker serves both kinds beside it under the concurrency of the queue', async (s) => {
  const [seen, processor] = meter();
  await s.queue().setGlobalConcurrency(3);
  const beside = new Worker(s.name(), processor, { ...s.store, concurrency: 4 });
  s.workers.push(beside);
  await beside.waitUntilReady();
  await s.work(processor, { concurrency: 4 });
  await s.results(await many(s, 30));
  assert.ok(seen.most <= 3, seen.most);
  assert.equal(seen.all, 30);
});

scenario('the concurrency of a queue can be raised', async (s) => {
  const gate = s.gate();
  let now = 0;
  await s.queue().setGlobalConcurrency(1);
  const jobs = await many(s, 6);
  await s.work(async () => { now += 1; await gate.wait(); }, { concurrency: 6 });
  await s.until(() => now === 1, 'one job to run');
  await s.queue().setGlobalConcurrency(3);
  await s.add('more');
  await s.until(() => now === 3, 'three jobs to run');
  gate.open();
  await s.results(jobs);
});

scenario('the concurrency of a queue can be removed', async (s) => {
  const gate = s.gate();
  let now = 0;
  await s.queue().setGlobalConcurrency(1);
  const jobs = await many(s, 4);
  await s.work(async () => { now += 1; await gate.wait(); }, { concurrency: 4 });
  await s.until(() => now === 1, 'one job to run');
  await s.queue().removeGlobalConcurrency();
  await s.add('more');
  await s.until(() => now === 4, 'four jobs to run');
  gate.open();
  await s.results(jobs);
});

scenario('a queue at its concurrency goes on after jobs with a backoff', async (s) => {
  await s.queue().setGlobalConcurrency(1);
  for (const backoff of [0, 50]) await many(s, 4, { attempts: 2, backoff });
  await s.work(async ({ attemptsMade }) => { if (attemptsMade === 0) throw new Error('once'); });
  await s.until(async () => await s.queue().getCompletedCount() === 8, 'all to complete');
});

scenario('a queue at its concurrency goes on when a stalled job is removed', async (s) => {
  await s.queue().setGlobalConcurrency(1);
  const gate = s.gate();
  const first = await s.work(async () => gate.wait(), {
    lockDuration: 1000, skipLockRenewal: true, skipStalledCheck: true,
  });
  const stuck = await s.add('stuck');
  const next = await s.add('next');
  await s.reaches(stuck, 'active');
  await first.close(true);
  await s.until(async () => !await s.connection.exists(s.key(`${stuck.id}:lock`)), 'the lock to go');
  await s.queue().remove(stuck.id);
  await s.work(async () => 'ran', { drainDelay: 1 });
  assert.equal(await s.result(next), 'ran');
});

about('rate limits');

/** When jobs were taken, in ms. */
async function startsOf(s, jobs) {
  const found = await Promise.all(jobs.map(({ id }) => s.queue().getJob(id)));
  return found.map(({ processedOn }) => processedOn).toSorted();
}

scenario('a limiter lets so many jobs start in a time', async (s) => {
  const jobs = await many(s, 6);
  await s.work(async () => {}, { limiter: { max: 2, duration: 500 } });
  await s.results(jobs);
  const starts = await startsOf(s, jobs);
  assert.ok(starts[5] - starts[0] >= 2 * 500 - 20, starts);
});

scenario('a limited queue keeps the order of its jobs', async (s) => {
  const order = [];
  const jobs = await many(s, 8);
  await s.work(async ({ data }) => { order.push(data.n); }, { limiter: { max: 2, duration: 150 } });
  await s.results(jobs);
  assert.deepEqual(order, [...Array(8).keys()]);
});

scenario('jobs that a limit holds back are waiting, not delayed', async (s) => {
  await many(s, 5);
  await s.work(async () => {}, { limiter: { max: 1, duration: 60_000 } });
  await s.until(async () => await s.queue().getCompletedCount() === 1, 'the first to complete');
  const { waiting, delayed, active } = await s.queue().getJobCounts();
  assert.deepEqual({ waiting, delayed, active }, { waiting: 4, delayed: 0, active: 0 });
});

scenario('a worker closes at once while a limit holds back the jobs', async (s) => {
  await many(s, 5);
  const worker = await s.work(async () => {}, { limiter: { max: 1, duration: 600_000 } });
  await s.until(async () => await s.queue().getCompletedCount() === 1, 'the first to complete');
  await worker.close();
  assert.equal(await s.queue().getWaitingCount(), 4);
});

scenario('a limit obeys priorities', async (s) => {
  const order = [];
  const jobs = [];
  for (const priority of [3, 1, 2, 1]) jobs.push(await s.add('a', {}, { priority }));
  await s.work(async (job) => { order.push(job.priority); }, { limiter: { max: 1, duration: 100 } });
  await s.results(jobs);
  assert.deepEqual(order, [1, 1, 2, 3]);
});

scenario('a limit of the queue holds for all of its workers', async (s) => {
  await s.queue().setGlobalRateLimit(2, 400);
  const jobs = await many(s, 6);
  for (let n = 0; n < 2; n += 1) await s.work(async () => {}, { concurrency: 3 });
  await s.results(jobs);
  const starts = await startsOf(s, jobs);
  assert.ok(starts[5] - starts[0] >= 2 * 400 - 20, starts);
});

scenario('a limit of the queue can be removed', async (s) => {
  await s.queue().setGlobalRateLimit(1, 2000);
  await many(s, 10);
  await s.work(async () => {}, { concurrency: 3 });
  await s.until(async () => await s.queue().getCompletedCount() >= 1, 'the first to complete');
  await s.queue().removeGlobalRateLimit();
  await s.until(async () => await s.queue().getCompletedCount() === 10, 'all to complete');
});

scenario('delayed jobs are promoted while a limit holds', async (s) => {
  await s.work(async () => {}, { limiter: { max: 1, duration: 1000 } });
  await s.result(await s.add('first'));
  const late = await s.add('late', {}, { delay: 200 });
  assert.equal(await s.result(late), null);
});

scenario('the rest of a limit can be asked for', async (s) => {
  await s.queue().setGlobalRateLimit(1, 60_000);
  assert.ok(await s.queue().getRateLimitTtl() <= 0);
  await s.work(async () => {});
  await s.result(await s.add('a'));
  const left = await s.queue().getRateLimitTtl(1);
  assert.ok(left > 0 && left <= 60_000, left);
});

scenario('a queue that was limited by hand stands still for that time', async (s) => {
  const begun = Date.now();
  await s.queue().rateLimit(700);
  await s.work(async () => Date.now(), { limiter: { max: 100, duration: 1000 } });
  assert.ok(await s.result(await s.add('a')) - begun >= 690);
});

scenario('a limit by hand can be lifted', async (s) => {
  await s.queue().rateLimit(600_000);
  await s.work(async () => 'ran', {
    limiter: { max: 100, duration: 1000 }, maximumRateLimitDelay: 500,
  });
  const job = await s.add('a');
  await s.queue().removeRateLimitKey();
  await s.add('another');
  assert.equal(await s.result(job), 'ran');
});

scenario('a processor can limit the queue, and its job uses no attempt', async (s) => {
  const seen = [];
  const worker = await s.work(async ({ attemptsMade }) => {
    seen.push(attemptsMade);
    if (seen.length === 1) {
      await worker.rateLimit(400);
      throw new RateLimitError();
    }
    return Date.now();
  }, { limiter: { max: 10, duration: 50 } });
  const begun = Date.now();
  const job = await s.add('a');
  assert.ok(await s.result(job) - begun >= 390);
  assert.deepEqual(seen, [0, 0]);
  assert.equal((await s.queue().getJob(job.id)).attemptsMade, 1);
});

scenario('a job that limited the queue is the next to run', async (s) => {
  const order = [];
  const jobs = [await s.add('a'), await s.add('b'), await s.add('c')];
  await s.work(async ({ name }) => {
    order.push(name);
    if (order.length === 1) {
      await s.queue().rateLimit(100);
      throw new RateLimitError();
    }
  }, { limiter: { max: 10, duration: 50 } });
  await s.results(jobs);
  assert.deepEqual(order, ['a', 'a', 'b', 'c']);
});

scenario('a job with a priority that limited the queue runs by its priority', async (s) => {
  const order = [];
  const jobs = [];
  for (const priority of [1, 2, 3]) jobs.push(await s.add(`${priority}`, {}, { priority }));
  await s.work(async ({ name }) => {
    order.push(name);
    if (order.length === 2) {
      await s.queue().rateLimit(100);
      throw new RateLimitError();
    }
  }, { limiter: { max: 10, duration: 50 } });
  await s.results(jobs);
  assert.deepEqual(order, ['1', '2', '2', '3']);
});

scenario('a paused queue with a limit goes on after it is resumed', async (s) => {
  await many(s, 6);
  await s.work(async () => {}, { limiter: { max: 2, duration: 100 } });
  await s.until(async () => await s.queue().getCompletedCount() >= 2, 'two to complete');
  await s.queue().pause();
  await s.queue().resume();
  await s.until(async () => await s.queue().getCompletedCount() === 6, 'all to complete');
});

scenario('a flow obeys the limit of each queue', async (s) => {
  await s.work(async () => 1, { queue: 'kids', limiter: { max: 1, duration: 150 } });
  await s.work(async (job) => Object.values(await job.getChildrenValues()).length);
  const { job } = await s.flow('q', 'parent', {}, ['x', 'y', 'z'].map((id) => s.node('kids', id)));
  assert.equal(await s.result(job), 3);
});
