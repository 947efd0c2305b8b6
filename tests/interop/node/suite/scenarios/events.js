import assert from 'node:assert/strict';

import { QueueEvents } from 'bullmq';

import { about, scenario } from '../stage.js';

about('events');

const of = (log, id) => log.filter(({ jobId }) => jobId === id).map(({ event }) => event);

scenario('a job is heard as added, waiting, active, completed', async (s) => {
  await s.work(async () => 7);
  const job = await s.add('a');
  const completed = await s.heard('completed', job.id);
  assert.equal(completed.returnvalue, 7);
  assert.equal(completed.prev, 'active');
  assert.deepEqual(of(await s.follow(), job.id), ['added', 'waiting', 'active', 'completed']);
});

scenario('a failed job is heard with its reason', async (s) => {
  await s.work(async () => { throw new Error('no luck'); });
  const job = await s.add('a');
  const failed = await s.heard('failed', job.id);
  assert.equal(failed.failedReason, 'no luck');
  assert.equal(failed.prev, 'active');
});

scenario('an attempt that is to be repeated is heard as waiting, not as failed', async (s) => {
  await s.work(async ({ attemptsMade }) => { if (attemptsMade === 0) throw new Error('once'); });
  const job = await s.add('a', {}, { attempts: 2 });
  await s.heard('completed', job.id);
  assert.deepEqual(of(await s.follow(), job.id), [
    'added', 'waiting', 'active', 'waiting', 'active', 'completed',
  ]);
});

scenario('an attempt that is to be repeated later is heard as delayed', async (s) => {
  await s.work(async ({ attemptsMade }) => { if (attemptsMade === 0) throw new Error('once'); });
  const job = await s.add('a', {}, { attempts: 2, backoff: 50 });
  await s.heard('completed', job.id);
  assert.deepEqual(of(await s.follow(), job.id), [
    'added', 'waiting', 'active', 'delayed', 'waiting', 'active', 'completed',
  ]);
});

scenario('every job is heard as active once and as completed once', async (s) => {
  await s.work(async () => {}, { concurrency: 10 });
  await s.work(async () => {}, { concurrency: 10 });
  const jobs = await s.queue().addBulk(Array.from({ length: 200 }, () => ({ name: 'a' })));
  const log = await s.follow();
  await s.until(() => log.filter(({ event }) => event === 'completed').length >= 200, '200 events');
  for (const event of ['active', 'completed']) {
    const ids = log.filter((one) => one.event === event).map(({ jobId }) => jobId);
    assert.deepEqual(ids.toSorted(), jobs.map(({ id }) => id).toSorted(), event);
  }
});

scenario('drained is heard once all jobs have ended', async (s) => {
  const jobs = await s.queue().addBulk(Array.from({ length: 5 }, () => ({ name: 'a' })));
  await s.work(async () => {});
  await s.results(jobs);
  await s.heard('drained');
  const log = await s.follow();
  assert.equal(log.filter(({ event }) => event === 'drained').length, 1);
  const last = log.findLastIndex(({ event }) => event === 'completed');
  assert.ok(log.findIndex(({ event }) => event === 'drained') > last, JSON.stringify(log));
});

scenario('drained is heard with more jobs at once', async (s) => {
  const jobs = await s.queue().addBulk(Array.from({ length: 9 }, () => ({ name: 'a' })));
  await s.work(async () => {}, { concurrency: 4 });
  await s.results(jobs);
  await s.heard('drained');
});

scenario('a second job with the id of the first is heard as duplicated', async (s) => {
  await s.work(async () => 'first');
  const job = await s.add('a', {}, { jobId: 'one' });
  await s.result(job);
  await s.add('b', {}, { jobId: 'one' });
  await s.heard('duplicated', 'one');
  assert.equal((await s.queue().getJob('one')).name, 'a');
});

scenario('a removed job is heard with the state it had', async (s) => {
  await s.work(async () => {});
  const job = await s.add('a');
  await s.result(job);
  await job.remove();
  assert.equal((await s.heard('removed', job.id)).prev, 'completed');
});

scenario('a parent is heard as waiting for its children, and then as waiting', async (s) => {
  await s.work(async () => {});
  await s.flow('q', 'parent', {}, [s.node('q', 'kid')]);
  await s.heard('completed', 'parent');
  assert.deepEqual(of(await s.follow(), 'parent'), [
    'added', 'waiting-children', 'waiting', 'active', 'completed',
  ]);
});

scenario('the result of a job that is removed at once is heard', async (s) => {
  await s.work(async () => ({ big: 'x'.repeat(1000) }));
  const job = await s.add('a', {}, { removeOnComplete: true });
  const { returnvalue } = await s.heard('completed', job.id);
  assert.equal(returnvalue.big.length, 1000);
  assert.equal(await s.queue().getJob(job.id), undefined);
});

scenario('a listener hears what happened before it came', async (s) => {
  await s.work(async () => 'early');
  const job = await s.add('a');
  await s.reaches(job, 'completed');
  assert.equal((await s.heard('completed', job.id)).returnvalue, 'early');
});

scenario('a listener for new events hears no old ones', async (s) => {
  await s.work(async () => {});
  await s.result(await s.add('old'));
  const late = new QueueEvents(s.name(), s.store);
  await late.waitUntilReady();
  const heard = [];
  late.on('completed', ({ jobId }) => heard.push(jobId));
  const job = await s.add('new');
  await s.until(() => heard.length > 0, 'the new event');
  await late.close();
  assert.deepEqual(heard, [job.id]);
});

for (const maxLen of [10, 100]) {
  scenario(`events are heard though only ${maxLen} are kept`, async (s) => {
    s.queue('q', { streams: { events: { maxLen } } });
    await s.queue().waitUntilReady();
    const log = await s.follow();
    await s.work(async () => {}, { concurrency: 5 });
    const jobs = [];
    for (let n = 0; n < 30; n += 1) jobs.push(await s.add('a'));
    await s.until(async () => await s.queue().getCompletedCount() === 30, 'all to complete');
    await s.until(() => log.filter(({ event }) => event === 'completed').length === 30,
      () => `30 to be heard (${log.filter(({ event }) => event === 'completed').length} were)`);
  });
}

scenario('the stream of events stays as short as the queue says', async (s) => {
  s.queue('q', { streams: { events: { maxLen: 20 } } });
  await s.queue().waitUntilReady();
  await s.work(async () => {}, { concurrency: 5 });
  await s.results(await s.queue().addBulk(Array.from({ length: 300 }, () => ({ name: 'a' }))));
  const length = await s.connection.xlen(s.key('events'));
  assert.ok(length < 250, length);
});

scenario('the newest events are there though none are to be kept', async (s) => {
  s.queue('q', { streams: { events: { maxLen: 0 } } });
  await s.queue().waitUntilReady();
  await s.work(async () => {});
  const job = await s.add('a');
  await s.reaches(job, 'completed');
  const stream = await s.connection.xrange(s.key('events'), '-', '+');
  assert.ok(stream.some(([, fields]) => fields.includes('completed')), JSON.stringify(stream));
});

scenario('the stream of events can be trimmed by hand', async (s) => {
  await s.work(async () => {});
  await s.results(await s.queue().addBulk(Array.from({ length: 10 }, () => ({ name: 'a' }))));
  await s.queue().trimEvents(0);
  assert.equal(await s.connection.xlen(s.key('events')), 0);
  assert.equal(await s.result(await s.add('more')), null);
});
