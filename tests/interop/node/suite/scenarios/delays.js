import assert from 'node:assert/strict';

import { DelayedError, WaitingError } from 'bullmq';

import { about, scenario } from '../stage.js';

about('delays');

const LONG = 600_000;

scenario('a delayed job does not run before its time', async (s) => {
  await s.work(async () => Date.now());
  const job = await s.add('a', {}, { delay: 500 });
  assert.equal(await s.queue().getJobState(job.id), 'delayed');
  assert.ok(await s.result(job) >= job.timestamp + 500);
});

scenario('delayed jobs run in the order of their times', async (s) => {
  const order = [];
  const timestamp = Date.now();
  const jobs = [];
  for (const [name, delay] of [['c', 900], ['a', 300], ['d', 1200], ['b', 600]]) {
    jobs.push(await s.add(name, {}, { delay, timestamp }));
  }
  await s.work(async ({ name }) => { order.push(name); });
  await s.results(jobs);
  assert.deepEqual(order, ['a', 'b', 'c', 'd']);
});

scenario('jobs of the same time run in the order in which they were added', async (s) => {
  const order = [];
  const timestamp = Date.now();
  const jobs = [];
  for (let n = 0; n < 15; n += 1) jobs.push(await s.add('a', { n }, { delay: 1000, timestamp }));
  await s.work(async ({ data }) => { order.push(data.n); });
  await s.results(jobs);
  assert.deepEqual(order, [...Array(15).keys()]);
});

scenario('a delayed job does not hold up the others', async (s) => {
  await s.work(async ({ name }) => name);
  const late = await s.add('late', {}, { delay: LONG });
  assert.equal(await s.result(await s.add('now')), 'now');
  assert.equal(await s.queue().getJobState(late.id), 'delayed');
});

scenario('a shorter delay than that of the job the worker waits for is kept', async (s) => {
  await s.work(async ({ name }) => name);
  await s.add('late', {}, { delay: LONG });
  assert.equal(await s.result(await s.add('soon', {}, { delay: 300 })), 'soon');
});

scenario('a job without a delay runs while the worker waits for a delayed one', async (s) => {
  const order = [];
  await s.work(async ({ name }) => { order.push(name); });
  const soon = await s.add('soon', {}, { delay: 800 });
  await s.result(await s.add('now'));
  await s.result(soon);
  assert.deepEqual(order, ['now', 'soon']);
});

scenario('a delay of zero is none', async (s) => {
  assert.equal(await s.queue().getJobState((await s.add('a', {}, { delay: 0 })).id), 'waiting');
  const other = await s.add('b', {}, { delay: 0, priority: 1 });
  assert.equal(await s.queue().getJobState(other.id), 'prioritized');
  await s.work(async () => 'ran');
  assert.equal(await s.result(other), 'ran');
});

scenario('due jobs run by their priority', async (s) => {
  const order = [];
  const timestamp = Date.now();
  const jobs = [];
  for (const priority of [3, 1, 2]) {
    jobs.push(await s.add('a', {}, { delay: 50, priority, timestamp }));
  }
  const gate = s.gate();
  const first = await s.add('first');
  await s.work(async (job) => {
    if (job.id === first.id) await gate.wait();
    else order.push(job.priority);
  });
  await s.reaches(first, 'active');
  await s.until(() => Date.now() > timestamp + 200, 'them to be due');
  gate.open();
  await s.results(jobs);
  assert.deepEqual(order, [1, 2, 3]);
});

scenario('several workers run each delayed job once', async (s) => {
  const runs = [];
  for (let n = 0; n < 3; n += 1) await s.work(async ({ id }) => { runs.push(id); });
  const jobs = await s.queue().addBulk(Array.from({ length: 60 }, (_, n) => (
    { name: 'a', opts: { delay: 100 + 10 * (n % 20) } })));
  await s.results(jobs);
  assert.deepEqual(runs.toSorted(), jobs.map(({ id }) => id).toSorted());
});

scenario('many jobs that are due at once all run', async (s) => {
  const timestamp = Date.now();
  const jobs = await s.queue().addBulk(Array.from({ length: 1500 }, () => (
    { name: 'a', opts: { delay: 500, timestamp } })));
  await s.work(async () => {}, { concurrency: 20 });
  await s.until(async () => await s.queue().getCompletedCount() === jobs.length, 'all to complete');
  assert.equal(await s.queue().getDelayedCount(), 0);
});

scenario('a promoted job runs at once', async (s) => {
  await s.work(async () => 'ran');
  const job = await s.add('a', {}, { delay: LONG });
  await job.promote();
  assert.equal(await s.result(job), 'ran');
  assert.equal((await s.queue().getJob(job.id)).delay, 0);
});

scenario('a promoted job runs by its priority', async (s) => {
  const order = [];
  const jobs = [await s.add('low', {}, { priority: 5 })];
  const promoted = await s.add('high', {}, { priority: 2, delay: LONG });
  await promoted.promote();
  jobs.push(promoted, await s.add('none'));
  await s.work(async ({ name }) => { order.push(name); });
  await s.results(jobs);
  assert.deepEqual(order, ['none', 'high', 'low']);
});

scenario('only a delayed job can be promoted', async (s) => {
  const job = await s.add('a');
  await assert.rejects(job.promote());
  await s.work(async () => 'ran');
  assert.equal(await s.result(job), 'ran');
  await assert.rejects(job.promote());
});

scenario('all delayed jobs can be promoted in one call', async (s) => {
  await s.work(async () => {}, { concurrency: 4 });
  const jobs = await s.queue().addBulk(Array.from({ length: 20 }, () => (
    { name: 'a', opts: { delay: LONG } })));
  await s.queue().promoteJobs();
  await s.results(jobs);
});

scenario('a delay can be made shorter', async (s) => {
  await s.work(async () => 'ran');
  const job = await s.add('a', {}, { delay: LONG });
  await job.changeDelay(100);
  assert.equal(await s.result(job), 'ran');
});

scenario('a delay can be made longer', async (s) => {
  await s.work(async () => Date.now());
  const job = await s.add('a', {}, { delay: 400 });
  await job.changeDelay(1200);
  const changed = Date.now();
  assert.ok(await s.result(job) >= changed + 1200 - 50);
});

scenario('only a delayed job has a delay that can be changed', async (s) => {
  const job = await s.add('a');
  await assert.rejects(job.changeDelay(1000));
});

scenario('a delayed job is heard as delayed, waiting, active, completed', async (s) => {
  await s.work(async () => {});
  const job = await s.add('a', {}, { delay: 100 });
  await s.heard('completed', job.id);
  const log = (await s.follow()).filter(({ jobId }) => jobId === job.id).map(({ event }) => event);
  assert.deepEqual(log, ['added', 'delayed', 'waiting', 'active', 'completed']);
});

scenario('a removed delayed job never runs', async (s) => {
  const ran = [];
  await s.work(async ({ id }) => { ran.push(id); });
  const job = await s.add('a', {}, { delay: 300 });
  const other = await s.add('b', {}, { delay: 600 });
  await job.remove();
  await s.result(other);
  assert.deepEqual(ran, [other.id]);
});

scenario('delayed jobs still run if the marker is lost', async (s) => {
  const job = await s.add('a', {}, { delay: 500 });
  await s.connection.del(s.key('marker'));
  await s.work(async () => 'ran', { drainDelay: 1 });
  assert.equal(await s.result(job), 'ran');
});

about('moving a running job');

scenario('a job can delay itself, and uses no attempt', async (s) => {
  const seen = [];
  await s.work(async (job, token) => {
    seen.push(job.attemptsMade);
    if (seen.length === 1) {
      await job.moveToDelayed(Date.now() + 300, token);
      throw new DelayedError();
    }
    return 'later';
  });
  const job = await s.add('a');
  const begun = Date.now();
  assert.equal(await s.result(job), 'later');
  assert.ok(Date.now() - begun >= 300);
  assert.deepEqual(seen, [0, 0]);
  const ended = await s.queue().getJob(job.id);
  assert.equal(ended.attemptsMade, 1);
  assert.equal(ended.attemptsStarted, 2);
});

scenario('a job that delayed itself is delayed and not failed', async (s) => {
  await s.work(async (job, token) => {
    await job.moveToDelayed(Date.now() + LONG, token);
    throw new DelayedError();
  });
  const job = await s.add('a');
  await s.reaches(job, 'delayed');
  const now = await s.queue().getJob(job.id);
  assert.equal(now.failedReason, undefined);
  assert.ok(now.delay > LONG - 30_000);
  assert.equal(await s.connection.exists(s.key(`${job.id}:lock`)), 0);
});

scenario('a job goes through its steps, with a delay after each', async (s) => {
  await s.work(async (job, token) => {
    const { step } = job.data;
    if (step === 3) return 'all steps';
    await job.updateData({ step: step + 1 });
    await job.moveToDelayed(Date.now() + 50, token);
    throw new DelayedError();
  });
  const job = await s.add('a', { step: 0 });
  assert.equal(await s.result(job), 'all steps');
  assert.equal((await s.queue().getJob(job.id)).attemptsStarted, 4);
});

scenario('a job can give itself back, and runs again at once', async (s) => {
  const seen = [];
  await s.work(async (job, token) => {
    seen.push(job.attemptsMade);
    if (seen.length < 3) {
      await job.moveToWait(token);
      throw new WaitingError();
    }
    return 'third time';
  });
  assert.equal(await s.result(await s.add('a')), 'third time');
  assert.deepEqual(seen, [0, 0, 0]);
});

scenario('a job that delayed itself can be promoted', async (s) => {
  let runs = 0;
  await s.work(async (job, token) => {
    runs += 1;
    if (runs > 1) return 'ran';
    await job.moveToDelayed(Date.now() + LONG, token);
    throw new DelayedError();
  });
  const job = await s.add('a');
  await s.reaches(job, 'delayed');
  await (await s.queue().getJob(job.id)).promote();
  assert.equal(await s.result(job), 'ran');
});
