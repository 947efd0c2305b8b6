import assert from 'node:assert/strict';

import { UnrecoverableError } from 'bullmq';

import { about, scenario } from '../stage.js';

about('retries');

/** A processor that fails some times, and notes when it ran. */
function failing(times, { starts = [] } = {}) {
  return async ({ attemptsMade }) => {
    starts.push(Date.now());
    if (attemptsMade < times) throw new Error(`attempt ${attemptsMade + 1}`);
    return `after ${attemptsMade}`;
  };
}

/** The least time between two starts, in ms: timers may be early by one. */
const gaps = (starts) => starts.slice(1).map((at, n) => at - starts[n] + 1);

scenario('a job runs as often as its attempts allow, and fails', async (s) => {
  const starts = [];
  await s.work(failing(99, { starts }));
  const job = await s.add('a', {}, { attempts: 3 });
  await assert.rejects(s.result(job), /attempt 3/);
  const failed = await s.queue().getJob(job.id);
  assert.equal(starts.length, 3);
  assert.equal(failed.attemptsMade, 3);
  assert.equal(failed.attemptsStarted, 3);
});

scenario('a job that fails and then succeeds is completed', async (s) => {
  await s.work(failing(2));
  const job = await s.add('a', {}, { attempts: 5 });
  assert.equal(await s.result(job), 'after 2');
  assert.equal((await s.queue().getJob(job.id)).attemptsMade, 3);
});

scenario('a job without attempts runs once', async (s) => {
  const starts = [];
  await s.work(failing(99, { starts }));
  await assert.rejects(s.result(await s.add('a')), /attempt 1/);
  assert.equal(starts.length, 1);
});

scenario('zero attempts mean one', async (s) => {
  const starts = [];
  await s.work(failing(99, { starts }));
  await assert.rejects(s.result(await s.add('a', {}, { attempts: 0 })), /attempt 1/);
  assert.equal(starts.length, 1);
});

scenario('the attempts of a queue are those of its jobs', async (s) => {
  s.queue('q', { defaultJobOptions: { attempts: 3 } });
  await s.work(failing(2));
  assert.equal(await s.result(await s.add('a')), 'after 2');
});

scenario('a fixed backoff passes between the attempts', async (s) => {
  const starts = [];
  await s.work(failing(2, { starts }));
  await s.result(await s.add('a', {}, { attempts: 3, backoff: { type: 'fixed', delay: 300 } }));
  assert.ok(gaps(starts).every((gap) => gap >= 300), gaps(starts));
});

scenario('a backoff that is a number is fixed', async (s) => {
  const starts = [];
  await s.work(failing(2, { starts }));
  await s.result(await s.add('a', {}, { attempts: 3, backoff: 200 }));
  assert.ok(gaps(starts).every((gap) => gap >= 200), gaps(starts));
});

scenario('an exponential backoff doubles', async (s) => {
  const starts = [];
  await s.work(failing(3, { starts }));
  const backoff = { type: 'exponential', delay: 100 };
  await s.result(await s.add('a', {}, { attempts: 4, backoff }));
  const [first, second, third] = gaps(starts);
  assert.ok(first >= 100 && second >= 200 && third >= 400, gaps(starts));
});

for (const type of ['fixed', 'exponential']) {
  scenario(`jitter shortens a backoff that is ${type}, and not to nothing below one`, async (s) => {
    await s.work(failing(99));
    const backoff = { type, delay: 60_000, jitter: 0.5 };
    const jobs = await s.queue().addBulk(Array.from({ length: 10 }, () => (
      { name: 'a', opts: { attempts: 2, backoff } })));
    for (const { id } of jobs) await s.reaches(id, 'delayed');
    const delays = await Promise.all(jobs.map(async ({ id }) => (await s.queue().getJob(id)).delay));
    assert.ok(delays.every((delay) => delay >= 30_000 && delay <= 60_000), delays);
    assert.ok(new Set(delays).size > 1, delays);
  });
}

scenario('a job is delayed between its attempts, and says why it failed', async (s) => {
  await s.work(failing(99));
  const job = await s.add('a', {}, { attempts: 2, backoff: 60_000 });
  await s.reaches(job, 'delayed');
  const now = await s.queue().getJob(job.id);
  assert.equal(now.attemptsMade, 1);
  assert.equal(now.delay, 60_000);
  assert.equal(now.failedReason, 'attempt 1');
  assert.equal(now.stacktrace.length, 1);
  assert.equal(now.finishedOn, undefined);
});

scenario('a backoff of zero runs the job again at once', async (s) => {
  await s.work(failing(2));
  const job = await s.add('a', {}, { attempts: 3, backoff: { type: 'fixed', delay: 0 } });
  assert.equal(await s.result(job), 'after 2');
});

scenario('other jobs run while one waits for its next attempt', async (s) => {
  const order = [];
  await s.work(async ({ name, attemptsMade }) => {
    order.push(name);
    if (name === 'flaky' && attemptsMade === 0) throw new Error('once');
  });
  const flaky = await s.add('flaky', {}, { attempts: 2, backoff: 400 });
  await s.result(await s.add('b'));
  await s.result(flaky);
  assert.deepEqual(order, ['flaky', 'b', 'flaky']);
});

scenario('a job that is retried at once goes behind the jobs that wait', async (s) => {
  const order = [];
  const jobs = [await s.add('flaky', {}, { attempts: 2 }), await s.add('b'), await s.add('c')];
  await s.work(async ({ name, attemptsMade }) => {
    order.push(name);
    if (name === 'flaky' && attemptsMade === 0) throw new Error('once');
  });
  await s.results(jobs);
  assert.deepEqual(order, ['flaky', 'b', 'c', 'flaky']);
});

scenario('a job with lifo that is retried at once goes before the jobs that wait', async (s) => {
  const order = [];
  const jobs = [
    await s.add('b'), await s.add('c'), await s.add('flaky', {}, { attempts: 2, lifo: true }),
  ];
  await s.work(async ({ name, attemptsMade }) => {
    order.push(name);
    if (name === 'flaky' && attemptsMade === 0) throw new Error('once');
  });
  await s.results(jobs);
  assert.deepEqual(order, ['flaky', 'flaky', 'b', 'c']);
});

scenario('a retried job keeps its priority', async (s) => {
  const order = [];
  const jobs = [
    await s.add('urgent', {}, { attempts: 2, priority: 1 }),
    await s.add('later', {}, { priority: 9 }),
  ];
  await s.work(async ({ name, attemptsMade }) => {
    order.push(name);
    if (name === 'urgent' && attemptsMade === 0) throw new Error('once');
  });
  await s.results(jobs);
  assert.deepEqual(order, ['urgent', 'urgent', 'later']);
});

scenario('retries-exhausted is heard once, with the attempts', async (s) => {
  await s.work(failing(99));
  const job = await s.add('a', {}, { attempts: 2 });
  const { attemptsMade } = await s.heard('retries-exhausted', job.id);
  assert.equal(attemptsMade, '2');
  const log = await s.follow();
  assert.equal(log.filter(({ event }) => event === 'retries-exhausted').length, 1);
  assert.equal(log.filter(({ event }) => event === 'failed').length, 1);
});

scenario('retries-exhausted is not heard if the last attempt succeeds', async (s) => {
  await s.work(failing(1));
  const job = await s.add('a', {}, { attempts: 2 });
  await s.result(job);
  await s.heard('completed', job.id);
  const log = await s.follow();
  assert.ok(!log.some(({ event }) => event === 'retries-exhausted'));
});

scenario('an UnrecoverableError fails the job at once', async (s) => {
  let runs = 0;
  await s.work(async () => { runs += 1; throw new UnrecoverableError('hopeless'); });
  const job = await s.add('a', {}, { attempts: 5, backoff: 10 });
  await assert.rejects(s.result(job), /hopeless/);
  assert.equal(runs, 1);
  assert.equal((await s.queue().getJob(job.id)).attemptsMade, 1);
});

scenario('a strategy of its own decides about the backoff', async (s) => {
  const starts = [];
  const asked = [];
  await s.work(failing(2, { starts }), {
    settings: { backoffStrategy: (made) => { asked.push(made); return made * 150; } },
  });
  await s.result(await s.add('a', {}, { attempts: 3, backoff: { type: 'custom' } }));
  assert.deepEqual(asked, [1, 2]);
  const [first, second] = gaps(starts);
  assert.ok(first >= 150 && second >= 300, gaps(starts));
});

scenario('a strategy of its own sees the type and the error', async (s) => {
  const asked = [];
  await s.work(failing(1), {
    backoffTypes: ['careful'],
    settings: {
      backoffStrategy: (made, type, error) => { asked.push([made, type, error.message]); return 5; },
    },
  });
  await s.result(await s.add('a', {}, { attempts: 2, backoff: { type: 'careful' } }));
  assert.deepEqual(asked, [[1, 'careful', 'attempt 1']]);
});

scenario('a strategy of its own may be asynchronous', async (s) => {
  await s.work(failing(1), { settings: { backoffStrategy: async () => 10 } });
  const job = await s.add('a', {}, { attempts: 2, backoff: { type: 'custom' } });
  assert.equal(await s.result(job), 'after 1');
});

scenario('a strategy of its own can end the attempts with -1', async (s) => {
  let runs = 0;
  await s.work(async () => { runs += 1; throw new Error('no more'); }, {
    settings: { backoffStrategy: () => -1 },
  });
  const job = await s.add('a', {}, { attempts: 5, backoff: { type: 'custom' } });
  await assert.rejects(s.result(job), /no more/);
  assert.equal(runs, 1);
});

scenario('every failed attempt leaves its stack trace', async (s) => {
  await s.work(failing(99));
  const job = await s.add('a', {}, { attempts: 3 });
  await s.reaches(job, 'failed');
  const { stacktrace } = await s.queue().getJob(job.id);
  assert.equal(stacktrace.length, 3);
  [1, 2, 3].forEach((n) => assert.match(stacktrace[n - 1], new RegExp(`attempt ${n}`)));
});

scenario('the newest stack traces are kept if the job says how many', async (s) => {
  await s.work(failing(99));
  const job = await s.add('a', {}, { attempts: 4, stackTraceLimit: 2 });
  await s.reaches(job, 'failed');
  const { stacktrace } = await s.queue().getJob(job.id);
  assert.equal(stacktrace.length, 2);
  assert.match(stacktrace[1], /attempt 4/);
});

scenario('no stack trace is kept if the limit is zero', async (s) => {
  await s.work(failing(99));
  const job = await s.add('a', {}, { attempts: 2, stackTraceLimit: 0 });
  await s.reaches(job, 'failed');
  assert.deepEqual((await s.queue().getJob(job.id)).stacktrace, []);
});

about('retries by hand');

scenario('a failed job can be retried', async (s) => {
  let fail = true;
  await s.work(async () => { if (fail) throw new Error('once'); return 'at last'; });
  const job = await s.add('a');
  await s.reaches(job, 'failed');
  fail = false;
  const failed = await s.queue().getJob(job.id);
  await failed.retry();
  await s.reaches(job, 'completed');
  const now = await s.queue().getJob(job.id);
  assert.equal(now.returnvalue, 'at last');
  assert.equal(now.failedReason, undefined);
  assert.equal(await s.queue().getFailedCount(), 0);
});

scenario('a completed job can be retried', async (s) => {
  let runs = 0;
  await s.work(async () => { runs += 1; return runs; });
  const job = await s.add('a');
  assert.equal(await s.result(job), 1);
  await (await s.queue().getJob(job.id)).retry('completed');
  await s.until(() => runs === 2, 'the second run');
  await s.reaches(job, 'completed');
  assert.equal((await s.queue().getJob(job.id)).returnvalue, 2);
});

scenario('a retry by hand keeps the attempts that were made', async (s) => {
  const seen = [];
  await s.work(async ({ attemptsMade }) => { seen.push(attemptsMade); throw new Error('no'); });
  const job = await s.add('a', {}, { attempts: 2 });
  await s.reaches(job, 'failed');
  await (await s.queue().getJob(job.id)).retry();
  await s.until(() => seen.length === 3, 'the third run');
  await s.reaches(job, 'failed');
  assert.deepEqual(seen, [0, 1, 2]);
});

scenario('a retry by hand can start the attempts anew', async (s) => {
  const seen = [];
  await s.work(async ({ attemptsMade }) => { seen.push(attemptsMade); throw new Error('no'); });
  const job = await s.add('a', {}, { attempts: 2 });
  await s.reaches(job, 'failed');
  const failed = await s.queue().getJob(job.id);
  await failed.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true });
  await s.until(() => seen.length === 4, 'the fourth run');
  await s.reaches(job, 'failed');
  assert.deepEqual(seen, [0, 1, 0, 1]);
});

scenario('a job that runs or waits cannot be retried', async (s) => {
  const gate = s.gate();
  await s.work(async () => gate.wait());
  const running = await s.add('a');
  await s.reaches(running, 'active');
  const waiting = await s.add('b');
  await assert.rejects((await s.queue().getJob(running.id)).retry());
  await assert.rejects((await s.queue().getJob(waiting.id)).retry());
  gate.open();
  await s.results([running, waiting]);
});

scenario('all failed jobs can be retried in one call', async (s) => {
  let fail = true;
  await s.work(async () => { if (fail) throw new Error('once'); }, { concurrency: 5 });
  const jobs = await s.queue().addBulk(Array.from({ length: 25 }, () => ({ name: 'a' })));
  await s.until(async () => await s.queue().getFailedCount() === 25, '25 to fail');
  fail = false;
  await s.queue().retryJobs({ count: 10 });
  await s.until(async () => await s.queue().getCompletedCount() === jobs.length, 'all to complete');
  assert.equal(await s.queue().getFailedCount(), 0);
});

scenario('all completed jobs can be retried in one call', async (s) => {
  let runs = 0;
  await s.work(async () => { runs += 1; }, { concurrency: 5 });
  await s.queue().addBulk(Array.from({ length: 12 }, () => ({ name: 'a' })));
  await s.until(async () => await s.queue().getCompletedCount() === 12, '12 to complete');
  await s.queue().retryJobs({ state: 'completed' });
  await s.until(() => runs === 24, '24 runs');
  await s.until(async () => await s.queue().getCompletedCount() === 12, '12 to complete again');
});

scenario('a job that is retried by hand wakes an idle worker', async (s) => {
  let fail = true;
  await s.work(async () => { if (fail) throw new Error('once'); return 'awake'; });
  const job = await s.add('a', {}, { priority: 3 });
  await s.reaches(job, 'failed');
  fail = false;
  await (await s.queue().getJob(job.id)).retry();
  await s.reaches(job, 'completed');
});
