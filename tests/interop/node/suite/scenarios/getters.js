import assert from 'node:assert/strict';

import { about, scenario } from '../stage.js';

about('getters');

const ids = (jobs) => jobs.map(({ id }) => id);

/** Run ten jobs: those with an even number succeed. */
async function ran(s, opts = {}) {
  await s.work(async ({ data }) => {
    if (data.n % 2) throw new Error(`odd ${data.n}`);
    return data.n;
  }, opts);
  const jobs = await s.queue().addBulk(Array.from({ length: 10 }, (_, n) => (
    { name: 'a', data: { n }, opts: { jobId: `job-${n}` } })));
  await s.until(async () => await s.queue().getFailedCount() + await s.queue().getCompletedCount()
    === jobs.length, 'all to end');
}

scenario('jobs are counted in the state that they are in', async (s) => {
  const gate = s.gate();
  await s.work(async ({ name }) => {
    if (name === 'bad') throw new Error('bad');
    if (name === 'long') await gate.wait();
  });
  await s.reaches(await s.add('good'), 'completed');
  await s.reaches(await s.add('bad'), 'failed');
  const long = await s.add('long');
  await s.reaches(long, 'active');
  await s.add('waits');
  await s.add('urgent', {}, { priority: 1 });
  await s.add('late', {}, { delay: 600_000 });
  await s.flow('q', 'parent', {}, [s.node('kids', 'kid')]);
  assert.deepEqual(await s.queue().getJobCounts(), {
    active: 1, completed: 1, delayed: 1, failed: 1, prioritized: 1, waiting: 1,
    'waiting-children': 1,
  });
  assert.equal(await s.queue().count(), 4);
  assert.equal(await s.queue().getJobCountByTypes('completed', 'failed'), 2);
  gate.open();
  await s.result(long);
});

scenario('a job tells its state', async (s) => {
  const gate = s.gate();
  const job = await s.add('a', {}, { delay: 300 });
  assert.ok(await job.isDelayed());
  await s.work(async () => gate.wait());
  await s.reaches(job, 'active');
  assert.ok(await job.isActive());
  const next = await s.add('b');
  assert.ok(await next.isWaiting());
  gate.open();
  await s.results([job, next]);
  assert.ok(await job.isCompleted());
  assert.ok(!await job.isFailed());
});

scenario('an unknown job has the state unknown', async (s) => {
  assert.equal(await s.queue().getJobState('nobody'), 'unknown');
  assert.equal(await s.queue().getJob('nobody'), undefined);
});

scenario('completed and failed jobs are listed, the newest first', async (s) => {
  await ran(s);
  assert.deepEqual(ids(await s.queue().getCompleted()), ['job-8', 'job-6', 'job-4', 'job-2', 'job-0']);
  assert.deepEqual(ids(await s.queue().getFailed()), ['job-9', 'job-7', 'job-5', 'job-3', 'job-1']);
});

scenario('completed jobs are listed in parts and in both directions', async (s) => {
  await ran(s);
  assert.deepEqual(ids(await s.queue().getCompleted(0, 1)), ['job-8', 'job-6']);
  assert.deepEqual(ids(await s.queue().getCompleted(-2, -1)), ['job-2', 'job-0']);
  assert.deepEqual(ids(await s.queue().getJobs(['completed'], 1, 2, true)), ['job-2', 'job-4']);
  assert.equal((await s.queue().getJobs(['completed', 'failed'])).length, 10);
});

scenario('an ended job reads back as it was', async (s) => {
  await ran(s);
  const [good, bad] = [await s.queue().getJob('job-4'), await s.queue().getJob('job-3')];
  assert.deepEqual([good.returnvalue, good.failedReason, good.data], [4, undefined, { n: 4 }]);
  assert.deepEqual([bad.returnvalue, bad.failedReason, bad.data], [null, 'odd 3', { n: 3 }]);
  assert.equal(good.asJSON().stacktrace, '[]');
});

scenario('running jobs are listed', async (s) => {
  const gate = s.gate();
  await s.work(async () => gate.wait(), { concurrency: 3 });
  const jobs = await s.queue().addBulk(Array.from({ length: 3 }, () => ({ name: 'a' })));
  await s.until(async () => await s.queue().getActiveCount() === 3, 'three to run');
  assert.deepEqual(ids(await s.queue().getActive()).toSorted(), ids(jobs).toSorted());
  gate.open();
  await s.results(jobs);
  assert.deepEqual(await s.queue().getActive(), []);
});

scenario('waiting, delayed and prioritized jobs are listed behind a running one', async (s) => {
  const gate = s.gate();
  await s.work(async () => gate.wait());
  const first = await s.add('first');
  await s.reaches(first, 'active');
  const [a, b] = [await s.add('a'), await s.add('b')];
  const late = await s.add('late', {}, { delay: 600_000 });
  const [low, high] = [await s.add('l', {}, { priority: 8 }), await s.add('h', {}, { priority: 1 })];
  assert.deepEqual(ids(await s.queue().getWaiting()), [a.id, b.id]);
  assert.deepEqual(ids(await s.queue().getDelayed()), [late.id]);
  assert.deepEqual(ids(await s.queue().getPrioritized()), [high.id, low.id]);
  gate.open();
  await s.results([first, a, b, low, high]);
});

scenario('a log can be read in parts and in both directions', async (s) => {
  await s.work(async (job) => { for (let n = 0; n < 5; n += 1) await job.log(`${n}`); });
  const job = await s.add('a');
  await s.result(job);
  assert.deepEqual((await s.queue().getJobLogs(job.id, 1, 2)).logs, ['1', '2']);
  assert.deepEqual((await s.queue().getJobLogs(job.id, 0, 1, false)).logs, ['3', '4'].toReversed());
});

scenario('a log can be cleared', async (s) => {
  await s.work(async (job) => { for (let n = 0; n < 5; n += 1) await job.log(`${n}`); });
  const job = await s.add('a');
  await s.result(job);
  await job.clearLogs(2);
  assert.deepEqual((await s.queue().getJobLogs(job.id)).logs, ['3', '4']);
  await job.clearLogs();
  assert.equal((await s.queue().getJobLogs(job.id)).count, 0);
});

scenario('the workers of a queue are listed', async (s) => {
  assert.equal(await s.queue().getWorkersCount(), 0);
  await s.work(async () => {}, { name: 'the-one' });
  await s.result(await s.add('a'));
  const workers = await s.until(async () => {
    const found = await s.queue().getWorkers();
    return found.length > 0 && found;
  }, 'a worker to be listed');
  assert.equal(workers.length, 1);
});

scenario('the numbers can be exported for Prometheus', async (s) => {
  await ran(s);
  const text = await s.queue().exportPrometheusMetrics();
  assert.match(text, /bullmq_job_count\{queue="[^"]*", state="completed"\} 5/);
  assert.match(text, /bullmq_job_count\{queue="[^"]*", state="failed"\} 5/);
});

about('metrics');

scenario('completed and failed jobs are counted', async (s) => {
  await ran(s, { metrics: { maxDataPoints: 60 } });
  const completed = await s.queue().getMetrics('completed');
  const failed = await s.queue().getMetrics('failed');
  assert.equal(Number(failed.meta.count), 5);
  assert.equal(Number(completed.meta.count), 5);
});

scenario('data points are kept by the minute', async (s) => {
  await s.work(async () => {}, { metrics: { maxDataPoints: 60 } });
  await s.result(await s.add('a'));
  await s.connection.hincrby(s.key('metrics:completed'), 'prevTS', -120_000);
  for (const key of await s.connection.keys(`${s.prefix}::toril:${s.name()}:minute:*`)) {
    await s.connection.hdel(key, 'completed');
  }
  await s.result(await s.add('b'));
  const { meta, data, count } = await s.queue().getMetrics('completed');
  assert.equal(Number(meta.count), 2);
  assert.equal(count, 2);
  assert.equal(data.map(Number).reduce((a, b) => a + b, 0), 1);
});
