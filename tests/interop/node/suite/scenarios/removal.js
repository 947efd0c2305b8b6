import assert from 'node:assert/strict';

import { about, scenario } from '../stage.js';

about('retention');

const many = (s, length, opts) => s.queue().addBulk(
  Array.from({ length }, (_, n) => ({ name: 'a', data: { n }, opts: { jobId: `j${n}`, ...opts } })),
);
const ids = (jobs) => jobs.map(({ id }) => id);
const ended = (s, all, event) => s.until(async () => {
  const log = await s.follow();
  return log.filter((one) => one.event === event).length === all;
}, `${all} to be ${event}`);

const KINDS = {
  completed: ['removeOnComplete', async () => {}, 'getCompleted'],
  failed: ['removeOnFail', async () => { throw new Error('no'); }, 'getFailed'],
};
for (const [event, [option, processor, get]] of Object.entries(KINDS)) {
  scenario(`a ${event} job is removed if it is not to be kept`, async (s) => {
    await s.work(processor);
    const job = await s.add('a', {}, { [option]: true });
    await s.heard(event, job.id);
    assert.equal(await s.queue().getJob(job.id), undefined);
    assert.deepEqual(await s.connection.keys(s.key(`${job.id}*`)), []);
  });

  scenario(`as many ${event} jobs are kept as they say`, async (s) => {
    await many(s, 8, { [option]: 3 });
    await s.work(processor);
    await ended(s, 8, event);
    assert.deepEqual(ids(await s.queue()[get]()), ['j7', 'j6', 'j5']);
    assert.equal(await s.queue().getJob('j0'), undefined);
  });

  scenario(`${event} jobs are kept as long as they say`, async (s) => {
    await many(s, 4, { [option]: { age: 60 } });
    await s.work(processor);
    await ended(s, 4, event);
    for (const id of ['j0', 'j1']) await s.connection.zincrby(s.key(event), -120_000, id);
    const last = await s.add('a', {}, { jobId: 'last', [option]: { age: 60 } });
    await s.heard(event, last.id);
    assert.deepEqual(ids(await s.queue()[get]()), ['last', 'j3', 'j2']);
  });

  scenario(`${event} jobs are kept by age and by number`, async (s) => {
    await many(s, 6, { [option]: { age: 3600, count: 2 } });
    await s.work(processor);
    await ended(s, 6, event);
    assert.deepEqual(ids(await s.queue()[get]()), ['j5', 'j4']);
  });

  scenario(`${event} jobs are kept as the queue says`, async (s) => {
    s.queue('q', { defaultJobOptions: { [option]: 1 } });
    await many(s, 4);
    await s.work(processor);
    await ended(s, 4, event);
    assert.deepEqual(ids(await s.queue()[get]()), ['j3']);
  });

  scenario(`${event} jobs are kept as the worker says`, async (s) => {
    await many(s, 4);
    await s.work(processor, { [option]: { count: 1 } });
    await ended(s, 4, event);
    assert.deepEqual(ids(await s.queue()[get]()), ['j3']);
  });

  scenario(`all ${event} jobs are kept unless told otherwise`, async (s) => {
    await many(s, 30, { [option]: false });
    await s.work(processor, { concurrency: 5 });
    await ended(s, 30, event);
    assert.equal((await s.queue()[get]()).length, 30);
  });
}

scenario('a job is not removed before its last attempt', async (s) => {
  await s.work(async ({ attemptsMade }) => { if (attemptsMade < 2) throw new Error('again'); return 'ok'; });
  const job = await s.add('a', {}, { attempts: 3, removeOnFail: true });
  assert.equal(await s.result(job), 'ok');
});

about('removing');

scenario('a removed job never runs', async (s) => {
  const jobs = [await s.add('a'), await s.add('b'), await s.add('c', {}, { priority: 1 }), await s.add('d')];
  await jobs[0].remove();
  await jobs[2].remove();
  const ran = [];
  await s.work(async ({ name }) => { ran.push(name); });
  await s.results([jobs[1], jobs[3]]);
  assert.deepEqual(ran, ['b', 'd']);
});

scenario('a running job cannot be removed', async (s) => {
  const gate = s.gate();
  await s.work(async () => { await gate.wait(); return 'whole'; });
  const job = await s.add('a');
  await s.reaches(job, 'active');
  await assert.rejects(job.remove(), /locked/);
  gate.open();
  assert.equal(await s.result(job), 'whole');
});

scenario('an ended job is removed with its log', async (s) => {
  await s.work(async (job) => { await job.log('a line'); });
  const job = await s.add('a');
  await s.result(job);
  await job.remove();
  assert.deepEqual(await s.connection.keys(s.key(`${job.id}*`)), []);
});

scenario('ended jobs are cleaned', async (s) => {
  await s.work(async ({ data }) => { if (data.n % 2) throw new Error('odd'); });
  await many(s, 10);
  await s.until(async () => await s.queue().getCompletedCount() + await s.queue().getFailedCount()
    === 10, 'all to end');
  assert.deepEqual((await s.queue().clean(0, 0, 'completed')).toSorted(), ['j0', 'j2', 'j4', 'j6', 'j8']);
  assert.equal((await s.queue().clean(0, 2, 'failed')).length, 2);
  assert.equal(await s.queue().getFailedCount(), 3);
  assert.deepEqual(await s.queue().clean(60_000, 0, 'failed'), []);
});

scenario('waiting, prioritized and delayed jobs are cleaned, and the rest runs', async (s) => {
  const kept = await s.add('kept', {}, { lifo: true });
  const gate = s.gate();
  await s.work(async () => { await gate.wait(); return 'ran'; });
  await s.reaches(kept, 'active');
  await many(s, 3);
  await s.add('p', {}, { priority: 1 });
  await s.add('d', {}, { delay: 600_000 });
  assert.equal((await s.queue().clean(0, 0, 'wait')).length, 3);
  assert.equal((await s.queue().clean(0, 0, 'prioritized')).length, 1);
  assert.equal((await s.queue().clean(0, 0, 'delayed')).length, 1);
  gate.open();
  assert.equal(await s.result(kept), 'ran');
  assert.equal(await s.result(await s.add('more')), 'ran');
});

scenario('a drained queue keeps the job that runs, and takes new ones', async (s) => {
  const gate = s.gate();
  await s.work(async () => { await gate.wait(); return 'ran'; });
  const running = await s.add('running');
  await s.reaches(running, 'active');
  await many(s, 5);
  await s.add('p', {}, { priority: 1 });
  const late = await s.add('late', {}, { delay: 500 });
  await s.queue().drain();
  assert.equal(await s.queue().getWaitingCount() + await s.queue().getPrioritizedCount(), 0);
  gate.open();
  assert.equal(await s.result(running), 'ran');
  assert.equal(await s.result(late), 'ran');
  assert.equal(await s.result(await s.add('new')), 'ran');
});

scenario('a drained queue loses its delayed jobs if told so', async (s) => {
  await s.work(async () => 'ran');
  await s.add('late', {}, { delay: 600_000 });
  await s.queue().drain(true);
  assert.equal(await s.queue().getDelayedCount(), 0);
  assert.equal(await s.result(await s.add('new')), 'ran');
});

scenario('a queue in which a job runs is not obliterated', async (s) => {
  const gate = s.gate();
  await s.work(async () => { await gate.wait(); return 'ran'; });
  const job = await s.add('a');
  await s.reaches(job, 'active');
  await assert.rejects(s.queue().obliterate());
  await s.queue().resume();
  gate.open();
  assert.equal(await s.result(job), 'ran');
});

scenario('an obliterated queue leaves nothing behind', async (s) => {
  const worker = await s.work(async (job) => { await job.log('x'); if (job.data.n % 2) throw new Error('odd'); });
  await many(s, 10);
  await s.add('late', {}, { delay: 600_000 });
  await s.until(async () => await s.queue().getCompletedCount() + await s.queue().getFailedCount()
    === 10, 'all to end');
  await worker.close();
  await s.queue().obliterate();
  assert.deepEqual(await s.connection.keys(s.key('*')), []);
});

scenario('a queue can be used again after it was obliterated', async (s) => {
  await s.work(async () => 'ran');
  await s.result(await s.add('a'));
  await s.queue().obliterate({ force: true });
  const job = await s.add('b', {}, { jobId: 'again' });
  await s.reaches(job, 'completed');
  await s.add('c', {}, { jobId: 'more' });
  await s.reaches('more', 'completed');
});

scenario('a queue is obliterated by force while a job runs, and the worker lives on', async (s) => {
  const gate = s.gate();
  await s.work(async ({ name }) => { if (name === 'long') await gate.wait(); return 'ran'; });
  const long = await s.add('long');
  await s.reaches(long, 'active');
  await s.queue().obliterate({ force: true });
  gate.open();
  const job = await s.add('b', {}, { jobId: 'again' });
  await s.reaches(job, 'completed');
});
