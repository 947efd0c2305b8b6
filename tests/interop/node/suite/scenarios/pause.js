import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { about, scenario } from '../stage.js';

about('pause');

scenario('a paused queue runs nothing until it is resumed', async (s) => {
  const ran = [];
  await s.queue().pause();
  await s.work(async ({ name }) => { ran.push(name); });
  const jobs = [await s.add('a'), await s.add('b', {}, { priority: 1 })];
  await sleep(400);
  assert.deepEqual(ran, []);
  await s.queue().resume();
  await s.results(jobs);
  assert.deepEqual(ran, ['a', 'b']);
});

scenario('a job that runs ends while its queue is paused', async (s) => {
  const gate = s.gate();
  await s.work(async () => { await gate.wait(); return 'done'; });
  const running = await s.add('a');
  await s.reaches(running, 'active');
  await s.queue().pause();
  const next = await s.add('b');
  gate.open();
  assert.equal(await s.result(running), 'done');
  assert.equal(await s.queue().getJobState(next.id), 'waiting');
  await s.queue().resume();
  assert.equal(await s.result(next), 'done');
});

scenario('a queue says whether it is paused', async (s) => {
  assert.equal(await s.queue().isPaused(), false);
  await s.queue().pause();
  assert.equal(await s.queue().isPaused(), true);
  await s.queue().resume();
  assert.equal(await s.queue().isPaused(), false);
});

scenario('a pause and a resume are heard', async (s) => {
  await s.work(async () => {});
  await s.follow();
  await s.queue().pause();
  await s.heard('paused');
  await s.queue().resume();
  await s.heard('resumed');
});

scenario('pausing twice is like pausing once', async (s) => {
  await s.work(async () => 'ran');
  await s.queue().pause();
  await s.queue().pause();
  const job = await s.add('a');
  await s.queue().resume();
  await s.queue().resume();
  assert.equal(await s.result(job), 'ran');
});

scenario('all workers of a queue pause', async (s) => {
  const ran = [];
  for (let n = 0; n < 3; n += 1) await s.work(async ({ id }) => { ran.push(id); });
  await s.result(await s.add('warm'));
  await s.queue().pause();
  const jobs = await s.queue().addBulk(Array.from({ length: 9 }, () => ({ name: 'a' })));
  await sleep(300);
  assert.equal(ran.length, 1);
  await s.queue().resume();
  await s.results(jobs);
  assert.equal(ran.length, 10);
});

scenario('a delayed job does not run while its queue is paused', async (s) => {
  await s.queue().pause();
  const ran = [];
  await s.work(async ({ id }) => { ran.push(id); });
  const job = await s.add('a', {}, { delay: 100 });
  await sleep(600);
  assert.deepEqual(ran, []);
  await s.queue().resume();
  await s.result(job);
});

scenario('a promoted job waits in a paused queue', async (s) => {
  await s.queue().pause();
  await s.work(async () => 'ran');
  const job = await s.add('a', {}, { delay: 600_000 });
  await job.promote();
  assert.equal(await s.queue().getJobState(job.id), 'waiting');
  await s.queue().resume();
  assert.equal(await s.result(job), 'ran');
});

scenario('a job that is retried at once waits in a paused queue', async (s) => {
  const gate = s.gate();
  let runs = 0;
  await s.work(async () => {
    runs += 1;
    if (runs === 1) { await gate.wait(); throw new Error('once'); }
    return 'ran';
  });
  const job = await s.add('a', {}, { attempts: 2 });
  await s.reaches(job, 'active');
  await s.queue().pause();
  gate.open();
  await s.reaches(job, 'waiting');
  await sleep(200);
  assert.equal(runs, 1);
  await s.queue().resume();
  assert.equal(await s.result(job), 'ran');
});

scenario('failed jobs that are retried wait in a paused queue', async (s) => {
  let fail = true;
  await s.work(async () => { if (fail) throw new Error('once'); return 'ran'; });
  const job = await s.add('a');
  await s.reaches(job, 'failed');
  fail = false;
  await s.queue().pause();
  await s.queue().retryJobs();
  await s.reaches(job, 'waiting');
  await s.queue().resume();
  await s.reaches(job, 'completed');
});

scenario('jobs of a paused queue can be removed and changed', async (s) => {
  await s.queue().pause();
  const jobs = [await s.add('a'), await s.add('b'), await s.add('c')];
  await jobs[0].remove();
  await jobs[1].changePriority({ priority: 5 });
  const order = [];
  await s.work(async ({ name }) => { order.push(name); });
  await s.queue().resume();
  await s.results(jobs.slice(1));
  assert.deepEqual(order, ['c', 'b']);
});

scenario('a resume wakes a worker that has waited for long', async (s) => {
  await s.work(async () => 'awake');
  await s.queue().pause();
  const job = await s.add('a');
  await sleep(1500);
  await s.queue().resume();
  assert.equal(await s.result(job), 'awake');
});

scenario('jobs that an old version left in the paused list run after a resume', async (s) => {
  await s.queue().pause();
  const jobs = [await s.add('a'), await s.add('b')];
  await s.connection.rename(s.key('wait'), s.key('paused'));
  await s.work(async ({ name }) => name);
  await s.queue().resume();
  assert.deepEqual(await s.results(jobs), ['a', 'b']);
});

scenario('a worker can pause and go on by itself', async (s) => {
  const worker = await s.work(async () => 'ran');
  await worker.pause();
  const job = await s.add('a');
  await sleep(200);
  assert.equal(await s.queue().getJobState(job.id), 'waiting');
  worker.resume();
  assert.equal(await s.result(job), 'ran');
});
