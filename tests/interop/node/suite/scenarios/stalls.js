import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { about, scenario } from '../stage.js';

about('stalled jobs');

const QUICK = { lockDuration: 1000, stalledInterval: 400 };
const PATIENT = { lockDuration: 5000, stalledInterval: 500 };
/** Neither renews its locks, as after a crash, nor looks for stalled jobs. */
const DOOMED = { ...QUICK, skipLockRenewal: true, skipStalledCheck: true };

/** Let a worker take these jobs and die. */
async function crash(s, jobs, which = 'q') {
  const gate = s.gate();
  const worker = await s.work(async () => gate.wait(), {
    ...DOOMED, maxStalledCount: 100, concurrency: jobs.length, queue: which,
  });
  for (const { id } of jobs) await s.reaches(id, 'active', which);
  await worker.close(true);
}

scenario('the job of a worker that died runs again', async (s) => {
  const job = await s.add('a');
  await crash(s, [job]);
  await s.work(async ({ attemptsMade, attemptsStarted }) => [attemptsMade, attemptsStarted], PATIENT);
  assert.deepEqual(await s.result(job), [0, 2]);
  assert.equal((await s.queue().getJob(job.id)).stalledCounter, 1);
});

scenario('all jobs of a worker that died run again, once', async (s) => {
  const runs = [];
  const jobs = await s.queue().addBulk(Array.from({ length: 8 }, () => ({ name: 'a' })));
  await crash(s, jobs);
  await s.work(async ({ id }) => { runs.push(id); }, PATIENT);
  await s.results(jobs);
  assert.deepEqual(runs.toSorted(), jobs.map(({ id }) => id).toSorted());
});

scenario('a stalled job is heard as stalled, and as waiting again', async (s) => {
  const job = await s.add('a');
  await crash(s, [job]);
  await s.work(async () => {}, PATIENT);
  await s.heard('completed', job.id);
  const log = (await s.follow()).filter(({ jobId }) => jobId === job.id).map(({ event }) => event);
  assert.equal(log.filter((event) => event === 'stalled').length, 1);
  assert.equal(log.filter((event) => event === 'waiting').length, 2);
});

scenario('the worker that finds a stalled job emits it', async (s) => {
  const job = await s.add('a');
  await crash(s, [job]);
  const stalled = [];
  const worker = await s.work(async () => {}, PATIENT);
  worker.on('stalled', (id) => stalled.push(id));
  await s.result(job);
  assert.deepEqual(stalled, [job.id]);
});

scenario('a stalled job runs before those that wait', async (s) => {
  const order = [];
  const job = await s.add('stalled');
  await crash(s, [job]);
  const gate = s.gate();
  await s.work(async ({ name }) => {
    order.push(name);
    if (name === 'first') await gate.wait();
  }, PATIENT);
  const jobs = [await s.add('first'), await s.add('second')];
  await s.heard('stalled', job.id);
  gate.open();
  await s.results([job, ...jobs]);
  assert.ok(order.indexOf('stalled') < order.indexOf('second'), order);
});

scenario('a job that stalls too often fails without running', async (s) => {
  const job = await s.add('a');
  await crash(s, [job]);
  let runs = 0;
  await s.work(async () => { runs += 1; }, { ...PATIENT, maxStalledCount: 0 });
  await assert.rejects(s.result(job), /stalled more than allowable limit/);
  assert.equal(runs, 0);
});

scenario('a job may stall as often as the worker allows', async (s) => {
  const job = await s.add('a');
  await crash(s, [job]);
  const gate = s.gate();
  const second = await s.work(async () => gate.wait(), {
    ...PATIENT, skipLockRenewal: true, maxStalledCount: 2,
  });
  await s.until(async () => (await s.queue().getJob(job.id)).attemptsStarted === 2, 'the second run');
  await second.close(true);
  await s.work(async () => 'third', { ...PATIENT, maxStalledCount: 2 });
  assert.equal(await s.result(job), 'third');
  assert.equal((await s.queue().getJob(job.id)).stalledCounter, 2);
});

scenario('a job that failed for its stalls can be retried', async (s) => {
  const job = await s.add('a');
  await crash(s, [job]);
  await s.work(async () => 'ran', { ...PATIENT, maxStalledCount: 0 });
  await s.reaches(job, 'failed');
  const failed = await s.queue().getJob(job.id);
  await failed.retry();
  await s.reaches(job, 'completed');
});

scenario('a long job does not stall while its worker lives', async (s) => {
  let runs = 0;
  const opts = { lockDuration: 3000, stalledInterval: 1000 };
  await s.work(async () => { runs += 1; await sleep(7000); return 'long'; }, opts);
  const job = await s.add('a');
  await s.reaches(job, 'active');
  await s.work(async () => { runs += 1; return 'stolen'; }, opts);
  assert.equal(await s.result(job), 'long');
  assert.equal(runs, 1);
  assert.ok(!(await s.follow()).some(({ event }) => event === 'stalled'));
});

scenario('a job whose lock another has is not completed by the first', async (s) => {
  const gate = s.gate();
  const worker = await s.work(async () => { await gate.wait(); return 'stale'; }, {
    lockDuration: 8000, skipStalledCheck: true,
  });
  const job = await s.add('a');
  await s.reaches(job, 'active');
  await s.connection.set(s.key(`${job.id}:lock`), 'another', 'PX', 2000);
  gate.open();
  await worker.close();
  assert.equal(await s.queue().getJobState(job.id), 'active');
  await s.work(async () => 'fresh', PATIENT);
  assert.equal(await s.result(job), 'fresh');
});

scenario('a job whose lock ran out is not failed by its worker', async (s) => {
  const gate = s.gate();
  const worker = await s.work(async () => { await gate.wait(); throw new Error('stale'); }, {
    lockDuration: 8000, skipStalledCheck: true,
  });
  const job = await s.add('a');
  await s.reaches(job, 'active');
  await s.connection.del(s.key(`${job.id}:lock`));
  gate.open();
  await worker.close();
  assert.notEqual(await s.queue().getJobState(job.id), 'failed');
  await s.work(async () => 'fresh', PATIENT);
  assert.equal(await s.result(job), 'fresh');
});

scenario('a stalled job that is not to be kept is gone after it failed', async (s) => {
  const job = await s.add('a', {}, { removeOnFail: true });
  await crash(s, [job]);
  await s.work(async () => {}, { ...PATIENT, maxStalledCount: 0 });
  await s.heard('failed', job.id);
  await s.until(async () => !await s.queue().getJob(job.id), 'the job to go');
});

scenario('as many failed stalled jobs are kept as they say', async (s) => {
  const jobs = await s.queue().addBulk(Array.from({ length: 6 }, () => (
    { name: 'a', opts: { removeOnFail: 2 } })));
  await crash(s, jobs);
  await s.work(async () => {}, { ...PATIENT, maxStalledCount: 0 });
  for (const { id } of jobs) await s.heard('failed', id);
  await s.until(async () => await s.queue().getFailedCount() === 2, 'two to be kept');
});

const PARENTS = {
  failParentOnFailure: async (s, parent) => {
    await assert.rejects(s.result(parent), /child .* failed/);
  },
  ignoreDependencyOnFailure: async (s, parent) => {
    const { ignored } = await s.result(parent);
    assert.match(Object.values(ignored)[0], /stalled more than allowable limit/);
  },
  removeDependencyOnFailure: async (s, parent) => {
    assert.deepEqual(await s.result(parent), { ignored: {} });
  },
  continueParentOnFailure: async (s, parent) => {
    await s.result(parent);
  },
};
for (const [option, check] of Object.entries(PARENTS)) {
  scenario(`a child that stalls too often does to its parent what ${option} says`, async (s) => {
    const { job } = await s.flow('q', 'parent', {}, [s.node('kids', 'kid', { [option]: true })]);
    await crash(s, [{ id: 'kid' }], 'kids');
    await s.work(async () => {}, { ...PATIENT, maxStalledCount: 0, queue: 'kids' });
    await s.work(async (parent) => ({ ignored: await parent.getIgnoredChildrenFailures() }));
    await check(s, job);
  });
}

scenario('a worker that was closed in peace leaves nothing to stall', async (s) => {
  const worker = await s.work(async () => 'ran', QUICK);
  const job = await s.add('a');
  await s.result(job);
  await worker.close();
  await s.work(async () => 'again', QUICK);
  await s.result(await s.add('b'));
  assert.equal((await s.queue().getJob(job.id)).returnvalue, 'ran');
  assert.equal((await s.queue().getJob(job.id)).stalledCounter, 0);
});
