import assert from 'node:assert/strict';

import { about, scenario } from '../stage.js';

about('ids');

scenario('a job with an id that exists is not added again', async (s) => {
  await s.add('first', {}, { jobId: 'one' });
  await s.add('second', {}, { jobId: 'one' });
  const runs = [];
  await s.work(async ({ name }) => { runs.push(name); });
  await s.reaches('one', 'completed');
  await s.add('third', {}, { jobId: 'one' });
  await s.result(await s.add('other'));
  assert.deepEqual(runs, ['first', 'other']);
});

scenario('the id of a removed job can be used again', async (s) => {
  const runs = [];
  await s.work(async ({ name }) => { runs.push(name); });
  const first = await s.add('first', {}, { jobId: 'one' });
  await s.result(first);
  await first.remove();
  await s.result(await s.add('second', {}, { jobId: 'one' }));
  assert.deepEqual(runs, ['first', 'second']);
});

scenario('the id of a job that is not kept can be used again', async (s) => {
  const runs = [];
  await s.work(async ({ name }) => { runs.push(name); });
  for (const name of ['first', 'second', 'third']) {
    await s.add(name, {}, { jobId: 'one', removeOnComplete: true });
    await s.until(() => runs.includes(name), name);
    await s.until(async () => !await s.queue().getJob('one'), 'the job to go');
  }
  assert.deepEqual(runs, ['first', 'second', 'third']);
});

scenario('ids of the store grow, and do not repeat', async (s) => {
  await s.work(async () => {}, { concurrency: 3 });
  const jobs = [];
  for (let n = 0; n < 10; n += 1) jobs.push(await s.add('a'));
  await s.results(jobs);
  const numbers = jobs.map(({ id }) => Number(id));
  assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
  assert.equal(new Set(numbers).size, 10);
});

scenario('ids stay whole numbers beyond three hundred million', async (s) => {
  await s.connection.set(s.key('id'), 299_999_999);
  await s.work(async ({ id }) => id);
  const jobs = [await s.add('a'), await s.add('b', {}, { priority: 1 })];
  assert.deepEqual(await s.results(jobs), ['300000000', '300000001']);
});

for (const jobId of ['with space', 'ünïcode-🐴', 'a/b?c=d', '*', '[a]', '%', '{x}', 'x'.repeat(300)]) {
  scenario(`an id can be ${jobId.slice(0, 12)}`, async (s) => {
    await s.work(async (job) => {
      await job.log('a line');
      await job.updateProgress(50);
      if (job.attemptsMade === 0) throw new Error('once');
      return job.id;
    });
    const job = await s.add('a', {}, { jobId, attempts: 2, backoff: 10 });
    assert.equal(await s.result(job), jobId);
    assert.equal((await s.queue().getJobLogs(jobId)).count, 2);
    await (await s.queue().getJob(jobId)).remove();
    assert.equal(await s.queue().getJob(jobId), undefined);
  });
}

scenario('data beyond its size limit is refused', async (s) => {
  await assert.rejects(s.add('a', { text: 'x'.repeat(100) }, { sizeLimit: 50 }));
  await s.work(async () => 'ran');
  assert.equal(await s.result(await s.add('b', { text: 'x' }, { sizeLimit: 50 })), 'ran');
});
