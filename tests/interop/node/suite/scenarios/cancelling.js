import assert from 'node:assert/strict';

import { UnrecoverableError } from 'bullmq';

import { about, scenario } from '../stage.js';

about('cancelling');

/** Rejects once the job is told to stop; until then, `running` has its id. */
const aborted = (running, { id }, signal) => new Promise((_, reject) => {
  signal.addEventListener('abort', () => reject(new UnrecoverableError('stopped')));
  running.add(id);
});

scenario('a running job is told to stop, and fails', async (s) => {
  const running = new Set();
  const worker = await s.work(async (job, token, signal) => aborted(running, job, signal));
  const job = await s.add('a', {}, { attempts: 3 });
  await s.until(() => running.has(job.id), 'the job to run');
  worker.cancelJob(job.id);
  await s.reaches(job, 'failed');
  assert.equal((await s.queue().getJob(job.id)).attemptsMade, 1);
});

scenario('only the job that is cancelled stops', async (s) => {
  const gate = s.gate();
  const running = new Set();
  const worker = await s.work(async (job, token, signal) => (
    Promise.race([aborted(running, job, signal), gate.wait().then(() => job.name)])), {
    concurrency: 2,
  });
  const [stopped, other] = [await s.add('stopped'), await s.add('other')];
  await s.until(() => running.size === 2, 'both to run');
  worker.cancelJob(stopped.id);
  await s.reaches(stopped, 'failed');
  gate.open();
  assert.equal(await s.result(other), 'other');
});

scenario('a worker takes the next job after one that was cancelled', async (s) => {
  const running = new Set();
  const worker = await s.work(async (job, token, signal) => (
    job.name === 'long' ? aborted(running, job, signal) : job.name));
  const long = await s.add('long');
  await s.until(() => running.has(long.id), 'the job to run');
  worker.cancelJob(long.id);
  assert.equal(await s.result(await s.add('next')), 'next');
});
